//! The files of the state folder, which hold entries and bans, and what the control socket is asked
//! for.

use guard::{
    config::units,
    entries::{Banned, Edit, Listed, Unban},
};
use ipnet::IpNet;
use serde::{Serialize, de::DeserializeOwned};

use crate::assert_one_line;

/// The file, or the body of a request, is the input.
pub fn check(input: &[u8]) {
    for entry in read::<Vec<Listed>>(input).into_iter().flatten() {
        assert_plain(entry.cidr, entry.reason.as_deref());
        assert_one_line(&entry.render());
    }
    for ban in read::<Vec<Banned>>(input).into_iter().flatten() {
        assert_plain(ban.source, None);
    }
    if let Some(edit) = read::<Edit>(input) {
        for new in &edit.add {
            assert_plain(new.cidr, new.reason.as_deref());
        }
        for cidr in &edit.remove {
            assert_plain(*cidr, edit.reason.as_deref());
        }
    }
    let _ = read::<Unban>(input);
}

/// What the input says, and says again when it is written.
fn read<T: Serialize + DeserializeOwned>(input: &[u8]) -> Option<T> {
    let value: T = serde_json::from_slice(input).ok()?;
    let written = serde_json::to_value(&value).expect("what was read");
    let again: T = serde_json::from_value(written.clone()).expect("what was written");
    assert_eq!(serde_json::to_value(again).expect("what was read"), written);
    Some(value)
}

/// A configuration could say the same.
fn assert_plain(cidr: IpNet, reason: Option<&str>) {
    assert_eq!(units::cidr(&cidr.to_string()), Ok(cidr));
    if let Some(reason) = reason {
        assert_eq!(units::reason(reason).as_deref(), Ok(reason));
    }
}
