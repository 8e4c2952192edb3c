use super::*;

#[test]
fn kernels_are_judged_by_their_version() {
    for (release, status) in [
        ("6.18.44-fc", Outcome::Ok),
        ("6.1.0-13-amd64", Outcome::Ok),
        ("5.18", Outcome::Ok),
        ("5.17.99", Outcome::Fail),
        ("5.4-rc1", Outcome::Fail),
        ("", Outcome::Warn),
        ("six", Outcome::Warn),
    ] {
        assert_eq!(host::judge_kernel(release).status, status, "{release}");
    }
}

#[test]
fn capabilities_are_read_from_the_process_status() {
    let status = |hex: &str| format!("Name:\tguard\nCapEff:\t{hex}\n");
    let all = ["CAP_NET_ADMIN", "CAP_PERFMON", "CAP_BPF"];
    assert_eq!(host::missing_from(&status("000001fffeffffff")), [""; 0]);
    assert_eq!(host::missing_from(&status("0000000000000000")), all);
    assert_eq!(host::missing_from(&status("000000c000001000")), [""; 0]);
    // CAP_SYS_ADMIN alone.
    assert_eq!(
        host::missing_from(&status("0000000000200000")),
        ["CAP_NET_ADMIN"]
    );
    assert_eq!(host::missing_from(""), all);
}

#[test]
fn only_a_failure_fails_the_report() {
    let warned = vec![
        Check::ok("kernel", "6.18"),
        Check::warn("jit", "off", "switch it on"),
    ];
    assert!(Report::new(warned.clone()).passed());
    let failed = [
        warned,
        vec![Check::fail("xdp", "taken", "leave it").about("eth0")],
    ]
    .concat();
    assert!(!Report::new(failed).passed());
}

#[test]
fn the_table_stays_within_80_columns_and_its_json_is_stable() {
    let long = "word ".repeat(40);
    let report = Report::new(vec![
        Check::ok("kernel", "6.18"),
        Check::fail("xdp", long.clone(), long).about("enp0s31f6"),
    ]);
    let text = report.render();
    assert!(
        text.lines().all(|line| line.chars().count() <= 80),
        "{text}"
    );
    assert!(
        text.starts_with("ok    kernel         6.18\nfail  enp0s31f6 xdp  word word"),
        "{text}"
    );

    let json = serde_json::to_value(&report).expect("a report");
    assert_eq!(json["passed"], false);
    let first = serde_json::json!({
        "name": "kernel", "interface": null, "status": "ok", "found": "6.18", "remedy": null,
    });
    assert_eq!(json["checks"][0], first);
}

#[test]
fn a_long_error_is_cut_to_its_first_words() {
    let error = anyhow::anyhow!("{}\nsecond line", "x".repeat(999));
    assert_eq!(
        trial::first_words(&error),
        format!("{}...", "x".repeat(200))
    );
    assert_eq!(trial::first_words(&anyhow::anyhow!("short")), "short");
}

mod outlooks {
    use std::collections::BTreeSet;

    use super::{
        super::{
            gateways,
            outlook::{self, Lifelines},
        },
        *,
    };
    use crate::ssh;

    fn lifelines() -> Lifelines {
        let connection = ssh::read_ends("192.0.2.9 50314 192.0.2.1 22");
        Lifelines {
            connections: connection.into_iter().collect::<BTreeSet<_>>(),
            resolvers: vec!["192.0.2.53".parse().expect("an address")],
            gateways: vec!["192.0.2.254".parse().expect("an address")],
        }
    }

    fn config(text: &str) -> Config {
        Config::parse("guard.toml", text).expect("a configuration")
    }

    /// Name and status of what is not as it should be.
    fn broken(text: &str) -> Vec<(&'static str, Outcome)> {
        let checks = outlook::of_lifelines(&config(text), &lifelines());
        let wrong = checks.iter().filter(|check| check.status != Outcome::Ok);
        wrong.map(|check| (check.name, check.status)).collect()
    }

    #[test]
    fn whoever_would_be_shut_out_is_named_before() {
        use Outcome::{Fail, Warn};

        let all = "deny = [{ cidr = \"192.0.2.0/24\" }]";
        let each = [("ssh", Warn), ("resolver", Warn), ("gateway", Warn)];
        assert_eq!(broken(all), each);
        let off = format!("protect_self = false\n{all}");
        let each = [("ssh", Fail), ("resolver", Fail), ("gateway", Warn)];
        assert_eq!(broken(&off), each);
        let allowed = format!("allow = [{{ cidr = \"192.0.2.0/28\" }}]\n{all}");
        assert_eq!(broken(&allowed), [("resolver", Warn), ("gateway", Warn)]);
        let over = "deny = [{ cidr = \"192.0.2.0/24\", expires = \"2001-01-01T00:00:00Z\" }]";
        assert_eq!(broken(over), []);
        let service = "[[service]]\nname = \"ssh\"\nports = [22]\nallow = [\"10.0.0.0/8\"]";
        assert_eq!(broken(service), [("ssh", Warn)]);
        assert_eq!(broken(&service.replace("22", "23")), []);
        assert_eq!(broken(&service.replace("10.0.0.0/8", "192.0.2.9")), []);
        assert_eq!(broken(""), []);
    }

    #[test]
    fn limits_that_cut_honest_clients_are_named() {
        let limits = |text: &str| outlook::limits(&config(text));
        assert_eq!(limits("").status, Outcome::Ok);
        let low = limits("[limits]\npackets = \"59k/min\"\nnew_sources = \"1k/s\"");
        assert_eq!(low.status, Outcome::Warn);
        assert!(
            low.found.ends_with(": limits.packets = \"59k/min\""),
            "{low:?}"
        );
        assert_eq!(
            limits("[limits]\npackets = \"60k/min\"").status,
            Outcome::Ok
        );
    }

    #[test]
    #[cfg(target_endian = "little")]
    fn default_gateways_are_read() {
        let v4 = |line| gateways::gateway_v4(line).map(|address| address.to_string());
        let route = "eth0\t00000000\t010200C0\t0003\t0\t0\t0\t00000000\t0\t0\t0";
        assert_eq!(v4(route).as_deref(), Some("192.0.2.1"));
        assert_eq!(v4("eth0 000200C0 00000000 0001 0 0 0 00FFFFFF 0 0 0"), None);
        assert_eq!(v4("Iface Destination Gateway Flags"), None);
        let v6 = |line| gateways::gateway_v6(line).map(|address| address.to_string());
        let zeros = "0".repeat(32);
        let route = format!(
            "{zeros} 00 {zeros} 00 20010db8{} 00000400",
            "0".repeat(23) + "1"
        );
        assert_eq!(v6(&route).as_deref(), Some("2001:db8::1"));
        assert_eq!(v6(&format!("{zeros} 00 {zeros} 00 {zeros} ffffffff")), None);
    }
}
