use super::*;
use crate::config::{Config, Encryption, OnPlaintext};

fn command(line: &str) -> Command {
    parse_from(line.split_whitespace()).unwrap_or_else(|error| panic!("{line}: {error}"))
}

fn refused(line: &str) -> String {
    match parse_from(line.split_whitespace()) {
        Ok(command) => panic!("{line}: {command:?}"),
        Err(error) => {
            assert_eq!(error.exit_code(), 2, "{line}");
            error.to_string()
        }
    }
}

fn run(line: &str) -> Box<RunFlags> {
    match command(line) {
        Command::Run(flags) => flags,
        other => panic!("{line}: {other:?}"),
    }
}

fn resolved(line: &str) -> Config {
    Config::resolve(None, &run(line)).unwrap_or_else(|error| panic!("{line}: {error}"))
}

#[test]
fn the_command_line_is_well_formed() {
    Cli::command()
        .subcommands(UNBUILT.map(|(name, _)| unbuilt_command(name)))
        .debug_assert();
}

#[test]
fn every_flag_of_run_has_its_variable() {
    let cli = Cli::command();
    let run = cli.find_subcommand("run").expect("run");
    for argument in run
        .get_arguments()
        .filter(|argument| argument.get_id() != "help")
    {
        let long = argument.get_long().expect("a long flag");
        let variable = format!("GUARD_{}", long.replace('-', "_").to_uppercase());
        assert_eq!(argument.get_env(), Some(variable.as_ref()), "--{long}");
    }
}

#[test]
fn complaints_about_any_command_can_be_written_out() {
    let long = "x".repeat(108);
    refused(&format!("guard status --socket {long}"));
    refused("guard check --output xml");
    refused("guard doctor --iface a/b");
    refused("guard frobnicate");
}

#[test]
fn every_flag_reaches_the_configuration() {
    let config = resolved(
        "guard run --iface eth0 --iface eth1,eth0 --xdp-mode generic --dry-run \
         --limit-packets 20k/s --limit-bytes 100MiB/s --limit-connections off \
         --api-port 80 --api-port 443,9000-9010 --on-plaintext drop --allow 192.0.2.10 \
         --deny 203.0.113.0/24 --deny ::ffff:198.51.100.1 --listen [::1]:0 --socket /tmp/s \
         --state-dir /tmp/state --bpffs /tmp/bpf",
    );
    let json = serde_json::to_value(config).expect("a configuration serializes");
    let expected = serde_json::json!({
        "interfaces": ["eth0", "eth1"],
        "xdp_mode": "generic",
        "dry_run": true,
        "protect_self": true,
        "on_stop": "detach",
        "watch": true,
        "on_stop": "detach",
        "listen": "[::1]:0",
        "socket": "/tmp/s",
        "state_dir": "/tmp/state",
        "bpffs": "/tmp/bpf",
        "limits": {
            "packets": "20k/s",
            "bytes": "100MiB/s",
            "connections": "off",
            "burst": "1s",
            "ipv6_prefix": 64,
            "new_sources": "200k/s",
            "aggregate": { "packets": "off", "connections": "off" },
            "protocol": { "icmp": "10k/s", "fragments": "10k/s", "udp": "off", "stray": "off" },
            "ban": "off",
        },
        "services": [{
            "name": "api",
            "direction": "inbound",
            "ports": [80, 443, "9000-9010"],
            "encryption": "required",
            "on_plaintext": "drop",
            "strict": false,
            "allow": null,
            "limits": { "packets": "off", "bytes": "off", "connections": "off" },
        }],
        "allow": [{ "cidr": "192.0.2.10/32", "reason": null }],
        "deny": [
            { "cidr": "203.0.113.0/24", "reason": null },
            { "cidr": "198.51.100.1/32", "reason": null },
        ],
        "feeds": [],
        "alerts": [],
    });
    assert_eq!(json, expected);
}

#[test]
fn flags_replace_or_add_to_the_file() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let file = folder.path().join("guard.toml");
    let text = "interfaces = [\"eth9\"]\ndry_run = true\n[limits]\npackets = \"1k/s\"\n\
                [[service]]\nname = \"a\"\nports = [1]\nencryption = \"optional\"\n\
                [[deny]]\ncidr = \"10.0.0.0/8\"\nreason = \"file\"\n";
    std::fs::write(&file, text).expect("the file is written");
    let with = |flags: &str| {
        Config::resolve(Some(&file), &run(&format!("guard run {flags}"))).expect("a configuration")
    };

    let unchanged = with("");
    assert_eq!(unchanged.interfaces, ["eth9"]);
    assert!(unchanged.dry_run);
    assert_eq!(unchanged.services[0].encryption, Encryption::Optional);

    let changed = with(
        "--iface eth0 --dry-run=false --limit-packets off --on-plaintext drop \
         --deny 10.0.0.0/8,192.0.2.1",
    );
    assert_eq!(changed.interfaces, ["eth0"]);
    assert!(!changed.dry_run);
    assert_eq!(changed.limits.packets, None);
    assert_eq!(changed.services[0].name, "a");
    assert_eq!(changed.services[0].on_plaintext, OnPlaintext::Drop);
    let denied: Vec<String> = changed
        .deny
        .iter()
        .map(|entry| entry.cidr.to_string())
        .collect();
    assert_eq!(denied, ["10.0.0.0/8", "192.0.2.1/32"]);
    assert_eq!(changed.deny[0].reason.as_deref(), Some("file"));

    let replaced = with("--api-port 8443");
    assert_eq!(replaced.services.len(), 1);
    assert_eq!(replaced.services[0].name, "api");
    assert_eq!(replaced.services[0].encryption, Encryption::Required);
}

#[test]
fn run_needs_an_interface_and_says_how_to_name_one() {
    let error =
        Config::resolve(None, &run("guard run --api-port 80,80")).expect_err("no interface");
    let help: Vec<&str> = error
        .problems()
        .iter()
        .map(|problem| problem.help.as_str())
        .collect();
    assert_eq!(help.len(), 2, "{error}");
    assert!(help[0].contains("each port once"), "{help:?}");
    assert!(help[1].contains("--iface eth0"), "{help:?}");
}

#[test]
fn a_bad_flag_is_refused_with_the_fix() {
    for (flags, fix) in [
        ("--iface a/b", "1 to 15 bytes"),
        ("--xdp-mode nativ", "did you mean \"native\"?"),
        ("--dry-run=perhaps", "not a boolean"),
        ("--limit-packets 20k", "/s, /min or /h"),
        ("--limit-bytes 10M/s", "\"10MiB/s\""),
        ("--limit-connections 0/s", "\"off\""),
        ("--api-port 0", "1 to 65535"),
        ("--api-port 80,90-85", "\"85-90\""),
        ("--allow 10.0.0.1/8", "\"10.0.0.0/8\""),
        ("--deny 10.0.0.0/8,x", "`x` is not an IP address"),
        ("--listen 127.0.0.1", "\"127.0.0.1:9797\""),
        ("--log-format xml", "text, json"),
        ("--confirm 2h", "\"1s\" to \"1h\""),
        ("--ifce eth0", "--iface"),
    ] {
        let error = refused(&format!("guard run {flags}"));
        assert!(error.contains(fix), "{flags}: {error}");
    }
}

#[test]
fn a_command_that_is_not_built_yet_is_refused_by_name() {
    for line in ["services -o json", "endpoints", "report --help"] {
        let error = refused(&format!("guard {line}"));
        let name = line.split(' ').next().unwrap_or(line);
        assert!(
            error.starts_with(&format!("error: `guard {name}` is not built yet: ")),
            "{error}"
        );
        assert_eq!(error.trim_end().lines().count(), 1, "{error}");
    }
    assert!(refused("guard stat").contains("status"));
}

#[test]
fn the_other_commands_have_their_flags() {
    let Command::Check(check) = command("guard check --config f.toml -o json") else {
        panic!("check")
    };
    assert_eq!(check.config.as_deref(), Some("f.toml".as_ref()));
    assert_eq!(check.output, OutputFormat::Json);
    let Command::Status(status) = command("guard status") else {
        panic!("status")
    };
    assert_eq!(status.socket, std::path::Path::new("/run/guard/guard.sock"));
    assert_eq!(status.output, OutputFormat::Table);
    let Command::Doctor(doctor) = command("guard doctor --iface eth0 --iface eth1") else {
        panic!("doctor")
    };
    assert_eq!(doctor.interfaces, ["eth0", "eth1"]);
}
