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
