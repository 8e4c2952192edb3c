//! Allowed and denied networks, and the sources a service admits.

use anyhow::Result;
use lab::stage::{CLIENT, CLIENT_V6, OTHER, OTHER_V6};

use crate::{Site, TIMED_OUT, dropped_otherwise, packets, stop, wait_for_event};

#[test]
fn denied_sources_get_no_answer() -> Result<()> {
    let site = Site::new()?;
    let agent = site.guard(&["--deny", "203.0.113.20", "--deny", "2001:db8::20/128"])?;
    assert_eq!(site.https_in_vain(OTHER)?.exit, TIMED_OUT);
    assert_eq!(site.https_in_vain(OTHER_V6)?.exit, TIMED_OUT);
    assert!(site.https(CLIENT)?.is_ok());
    assert!(site.https(CLIENT_V6)?.is_ok());
    let denied = packets(&agent, "drop", "deny")?;
    assert!(denied >= 2, "at least the two SYNs: {denied}");
    assert_eq!(dropped_otherwise(&agent, "deny")?, 0);
    wait_for_event(&agent, "refused", OTHER)?;
    wait_for_event(&agent, "refused", OTHER_V6)?;
    stop(agent)
}

#[test]
fn the_most_specific_network_decides() -> Result<()> {
    let site = Site::new()?;
    let agent = site.guard(&[
        "--deny=203.0.113.0/24,2001:db8::/32",
        "--allow=203.0.113.10,2001:db8::10",
    ])?;
    assert!(site.https(CLIENT)?.is_ok(), "allowed inside what is denied");
    assert!(
        site.https(CLIENT_V6)?.is_ok(),
        "allowed inside what is denied"
    );
    assert_eq!(site.https_in_vain(OTHER)?.exit, TIMED_OUT);
    assert_eq!(site.https_in_vain(OTHER_V6)?.exit, TIMED_OUT);
    assert!(packets(&agent, "pass", "allow")? >= 2);
    assert!(packets(&agent, "drop", "deny")? >= 2);
    stop(agent)
}

#[test]
fn the_most_specific_network_decides_the_other_way_round() -> Result<()> {
    let site = Site::new()?;
    let agent = site.guard(&[
        "--allow=0.0.0.0/0,::/0,203.0.113.10/32",
        "--deny=203.0.113.20/32,2001:db8::20/128,203.0.113.10/32",
    ])?;
    assert!(site.https(CLIENT)?.is_ok(), "at equal length allow wins");
    assert!(site.https(CLIENT_V6)?.is_ok());
    assert_eq!(site.https_in_vain(OTHER)?.exit, TIMED_OUT);
    assert_eq!(site.https_in_vain(OTHER_V6)?.exit, TIMED_OUT);
    let metrics = agent.metrics()?;
    let list = |name, list| metrics.value(name, &[("list", list)]);
    assert_eq!(list("guard_rules_configured", "deny"), Some(3.0));
    assert_eq!(list("guard_rules", "deny"), Some(2.0), "one is overruled");
    assert_eq!(list("guard_rules", "allow"), Some(3.0));
    stop(agent)
}

#[test]
fn a_service_admits_only_the_sources_it_names() -> Result<()> {
    let site = Site::new()?;
    let agent = site.guard_configured(
        r#"
        interfaces = ["eth0"]
        [[service]]
        name = "orders"
        ports = [8443]
        allow = ["203.0.113.10/32", "2001:db8::10/128"]
        "#,
    )?;
    assert!(site.https(CLIENT)?.is_ok());
    assert!(site.https(CLIENT_V6)?.is_ok());
    assert_eq!(site.https_in_vain(OTHER)?.exit, TIMED_OUT);
    assert_eq!(site.https_in_vain(OTHER_V6)?.exit, TIMED_OUT);
    assert!(site.http(OTHER)?.is_ok(), "another port is another matter");
    let refused = packets(&agent, "drop", "service_acl")?;
    assert!(refused >= 2, "{refused}");
    assert_eq!(dropped_otherwise(&agent, "service_acl")?, 0);
    stop(agent)
}
