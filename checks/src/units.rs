//! Single values of configurations and flags.

use std::{fmt::Debug, time::Duration};

use guard::config::{
    MAX_UNITS, OnPlaintext, Rate, RateSetting, Unit, XdpMode,
    units::{self, Invalid},
};

use crate::assert_one_line;

/// The value is the input: every reader is tried on it.
pub fn check(input: &[u8]) {
    let Ok(text) = std::str::from_utf8(input) else {
        return;
    };
    for unit in [Unit::Count, Unit::Bytes] {
        if let Some(rate) = read(Rate::parse(text, unit)) {
            assert_eq!(Rate::parse(&rate.to_string(), unit), Ok(rate));
            assert_allowance(rate);
        }
    }
    let _ = read(RateSetting::count(text));
    let _ = read(RateSetting::bytes(text));
    if let Some(cidr) = read(units::cidr(text)) {
        assert_eq!(units::cidr(&cidr.to_string()), Ok(cidr));
        assert_eq!(cidr.trunc(), cidr);
        assert!(
            cidr.addr().to_canonical() == cidr.addr() || cidr.prefix_len() < 96,
            "{cidr}"
        );
    }
    if let Some(ports) = read(units::ports(text)) {
        assert!(0 < *ports.start() && ports.start() <= ports.end());
        let written = format!("{}-{}", ports.start(), ports.end());
        assert_eq!(units::ports(&written), Ok(ports));
    }
    if let Some(burst) = read(units::burst(text)) {
        assert!((Duration::from_millis(10)..=Duration::from_hours(1)).contains(&burst));
        assert_eq!(units::burst(&format!("{}ms", burst.as_millis())), Ok(burst));
    }
    if let Some(period) = read(units::period(text)) {
        assert!(period >= Duration::from_secs(1));
        assert_eq!(units::period(&format!("{}s", period.as_secs())), Ok(period));
    }
    if let Some(listen) = read(units::listen(text)) {
        assert_eq!(units::listen(&listen.to_string()), Ok(listen));
    }
    let _ = read(XdpMode::parse(text));
    let _ = read(OnPlaintext::parse(text));
    let names = [units::interface, units::service_name, units::reason];
    for name in names.into_iter().filter_map(|name| read(name(text))) {
        assert_eq!(name, text);
        assert_one_line(&name);
    }
    if let Some(socket) = read(units::socket(text)) {
        assert_eq!(socket.to_str(), Some(text));
    }
}

/// The value, or that what is wrong with it can be told in one line, with a remedy.
fn read<T: Debug>(value: Result<T, Invalid>) -> Option<T> {
    if let Err(invalid) = &value {
        assert_one_line(&invalid.to_string());
        assert!(!invalid.message.is_empty() && !invalid.help.is_empty());
    }
    value.ok()
}

/// What may come at once is worth its refill, to the nanosecond.
fn assert_allowance(rate: Rate) {
    assert!((1..=MAX_UNITS).contains(&rate.amount));
    for burst in [
        Duration::from_millis(10),
        Duration::from_secs(1),
        Duration::from_hours(1),
    ] {
        let allowance = rate.allowance(burst);
        assert!(allowance.units >= 1);
        let earned_ns = u128::from(allowance.units) * rate.per.as_nanos();
        let refill_ns = earned_ns / u128::from(rate.amount);
        assert_eq!(allowance.refill.as_nanos(), refill_ns, "{rate}, {burst:?}");
    }
}
