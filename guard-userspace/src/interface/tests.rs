use rtnetlink::packet_route::{AddressFamily, RouteNetlinkMessage};

use super::watch::Known;
use super::*;

fn link(index: u32, name: &str) -> LinkMessage {
    let mut link = LinkMessage::default();
    link.header.index = index;
    link.attributes = vec![
        LinkAttribute::IfName(name.to_owned()),
        LinkAttribute::Mtu(9000),
    ];
    link
}

fn known(names: &[&str]) -> Known {
    let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
    Known::new(&names)
}

fn new(index: u32, name: &str) -> RouteNetlinkMessage {
    RouteNetlinkMessage::NewLink(link(index, name))
}

fn del(index: u32, name: &str) -> RouteNetlinkMessage {
    RouteNetlinkMessage::DelLink(link(index, name))
}

fn appeared(index: u32, name: &str) -> Change {
    Change::Appeared {
        index,
        name: name.to_owned(),
    }
}

#[test]
fn an_interface_that_goes_and_comes_back_is_two_changes() {
    let mut known = known(&["eth0"]);
    assert_eq!(
        known.compare(&[link(2, "eth0"), link(3, "eth1")]),
        [appeared(2, "eth0")]
    );
    assert_eq!(known.apply(&new(2, "eth0")), []);
    assert_eq!(known.apply(&del(3, "eth1")), []);
    assert_eq!(known.apply(&del(2, "eth0")), [Change::Gone { index: 2 }]);
    assert_eq!(known.apply(&del(2, "eth0")), []);
    assert_eq!(known.apply(&new(7, "eth0")), [appeared(7, "eth0")]);
}

#[test]
fn a_renamed_interface_is_gone_and_its_name_may_go_on() {
    let mut known = known(&["eth0", "wan"]);
    known.compare(&[link(2, "eth0"), link(3, "eth1")]);
    assert_eq!(known.apply(&new(2, "old")), [Change::Gone { index: 2 }]);
    assert_eq!(known.apply(&new(3, "eth0")), [appeared(3, "eth0")]);
    assert_eq!(
        known.apply(&new(3, "wan")),
        [Change::Gone { index: 3 }, appeared(3, "wan")]
    );
}

#[test]
fn a_port_that_leaves_its_bridge_is_not_gone() {
    let mut known = known(&["eth0"]);
    known.compare(&[link(2, "eth0")]);
    let mut of_bridge = link(2, "eth0");
    of_bridge.header.interface_family = AddressFamily::Bridge;
    assert_eq!(known.apply(&RouteNetlinkMessage::DelLink(of_bridge)), []);
}

#[test]
fn a_new_list_finds_what_messages_missed() {
    let mut known = known(&["eth0", "eth1", "eth2"]);
    known.compare(&[link(2, "eth0"), link(3, "eth1")]);
    let mut changes = known.compare(&[link(9, "eth0"), link(4, "eth2")]);
    changes.sort_by_key(|change| matches!(change, Change::Appeared { .. }));
    changes[..2].sort_by_key(|change| match change {
        Change::Gone { index } | Change::Appeared { index, .. } => *index,
    });
    let gone = [2, 3].map(|index| Change::Gone { index });
    assert_eq!(changes[..2], gone);
    assert_eq!(changes[2..], [appeared(9, "eth0"), appeared(4, "eth2")]);
}

#[test]
fn the_program_that_runs_first_is_the_one_named() {
    let one = [
        LinkXdp::Attached(XdpAttached::SocketBuffer),
        LinkXdp::SkbProgId(u32::MAX),
    ];
    let found = attached(&one).expect("one program");
    assert_eq!(
        (found.mode, found.program_id),
        (AttachedMode::Generic, u32::MAX)
    );
    assert_eq!(found.program_name(), "?");
    let two = [
        LinkXdp::SkbProgId(u32::MAX),
        LinkXdp::DrvProgId(u32::MAX - 1),
    ];
    assert_eq!(
        attached(&two).map(|found| found.mode),
        Some(AttachedMode::Native)
    );
    assert_eq!(attached(&[LinkXdp::Attached(XdpAttached::None)]), None);
}

#[test]
fn unknown_names_are_told_all_at_once() {
    let error = InterfaceError::Unknown {
        unknown: vec!["eth7".to_owned(), "a\x1bb".to_owned()],
        existing: vec!["eth0".to_owned(), "lo".to_owned()],
    };
    assert_eq!(
        error.to_string(),
        "no interface named `eth7`, `a\\u{1b}b`; there are: eth0, lo; \
         correct --iface or `interfaces`"
    );
}

#[test]
fn a_long_list_is_cut() {
    let names: Vec<String> = (0..25).map(|number| format!("v{number}")).collect();
    let text = Names {
        names: &names,
        quote: "",
    }
    .to_string();
    assert!(text.ends_with("v18, v19 and 5 more"), "{text}");
}
