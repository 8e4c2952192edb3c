//! As many services as a configuration may have: the last of them is one like the first.

use std::{collections::BTreeMap, fmt::Write as _, time::Duration};

use guard::config::MAX_SERVICES;
use guard_common::reason::Reason::{LimitService, Pass, ServiceAcl};

use crate::{
    case::{ack, case, check, drops, passes, syn},
    conversation::{
        Conversation,
        Does::{C, Close, S},
        Opens, Way,
    },
    rig::{MANUAL, Rig},
};

/// The port before that of the first service.
const BEFORE: u16 = 10_000;
const SSH: &[u8] = b"SSH-2.0-OpenSSH_9.2\r\n";

/// Each service has a port of its own; the last one has a list and a limit besides.
fn configuration() -> String {
    let mut text =
        String::from("[limits]\npackets = \"off\"\nconnections = \"off\"\nnew_sources = \"off\"\n");
    for number in 1..=MAX_SERVICES {
        let port = usize::from(BEFORE) + number;
        // Writing to a string cannot fail.
        let _ = writeln!(text, "[[service]]\nname = \"s{number}\"\nports = [{port}]");
    }
    text + "allow = [\"198.51.100.0/24\", \"2001:db8:c::/48\"]\nlimits = { packets = \"50/s\" }\n"
}

/// The port of a service, from one.
fn port(number: usize) -> u16 {
    BEFORE + u16::try_from(number).expect("a port")
}

#[test]
fn the_last_of_very_many_has_its_own_list_and_limits() {
    let (last, before) = (port(MAX_SERVICES), port(MAX_SERVICES - 1));
    let (listed, stranger) = ("198.51.100.9", "203.0.113.9");
    check(
        &configuration(),
        [
            case(
                "its list",
                [
                    passes(syn(listed, last), Pass),
                    passes(syn("2001:db8:c::9", last), Pass),
                    drops(syn(stranger, last), ServiceAcl),
                    drops(syn("2001:db8:d::9", last), ServiceAcl),
                ],
            ),
            case(
                "its limit",
                [
                    passes(ack(listed, last), Pass).times(50),
                    drops(ack(listed, last), LimitService),
                    passes(ack("198.51.100.10", last), Pass),
                ],
            ),
            case(
                "neither is the one's before",
                [
                    passes(syn(stranger, before), Pass),
                    passes(ack(listed, before), Pass).times(60),
                ],
            ),
        ],
    );
}

#[test]
fn connections_count_for_their_service_whichever_it_is() {
    let mut rig = Rig::load(&configuration(), MANUAL);
    let mut now = Duration::from_secs(1);
    for number in [1, 2, 255, 256, 257, 512, MAX_SERVICES - 1, MAX_SERVICES] {
        let ports = [40_000, port(number)];
        let conversation = Conversation::new(&mut rig, &mut now, Way::Whole, false, ports);
        let (counts, passed) = conversation.run(Opens::Shakes, &[S(SSH), C(SSH), Close]);
        let name = format!("connections s{number}/encrypted/ssh");
        assert_eq!(counts, BTreeMap::from([(name, 1)]));
        assert!(!passed.contains(&false), "{passed:?}");
    }
}
