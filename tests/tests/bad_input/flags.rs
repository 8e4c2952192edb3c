//! Flags that make no sense: each is named with the fix, and the exit code is 2.

use anyhow::Result;
use lab::agent;

use crate::attempt::{BAD_CONFIGURATION, end_of};

/// A flag of `run`, a value it does not take, and what the complaint must say.
const BAD_VALUES: [(&str, &str, &str); 24] = [
    ("--deny", "10.0.0.1/8", "10.0.0.0/8"),
    ("--deny", "10.0.0.0/33", "32"),
    ("--deny", "2001:db8::/129", "128"),
    ("--deny", "10.0.0.256", "10.0.0.256"),
    ("--deny", "0.0.0.0/0", "everyone = true"),
    ("--deny", "192.0.2.1,::/0", "everyone = true"),
    ("--allow", "everyone", "everyone"),
    ("--allow", "", "CIDR"),
    ("--limit-packets", "20k", "/s"),
    ("--limit-packets", "0/s", "off"),
    ("--limit-packets", "-1/s", "-1/s"),
    ("--limit-packets", "fast", "fast"),
    (
        "--limit-packets",
        "99999999999999999999/s",
        "99999999999999999999",
    ),
    ("--limit-bytes", "100MiB/year", "100MiB/year"),
    ("--limit-connections", "1.5/s", "1.5/s"),
    ("--api-port", "0", "65535"),
    ("--api-port", "65536", "65535"),
    ("--api-port", "9010-9000", "9000-9010"),
    ("--api-port", "http", "http"),
    ("--listen", "127.0.0.1", "127.0.0.1:9797"),
    ("--listen", "localhost:99999", "localhost:99999"),
    ("--iface", "an interface", "an interface"),
    ("--xdp-mode", "natve", "native"),
    ("--on-plaintext", "dorp", "drop"),
];

#[test]
fn bad_values_are_named_with_the_fix() -> Result<()> {
    for (flag, value, fix) in BAD_VALUES {
        let words = ["run", "--iface", "lo", &format!("{flag}={value}")];
        let failed = end_of(&mut agent::command(&words)?)?;
        failed.assert(BAD_CONFIGURATION, &[flag, fix]);
    }
    Ok(())
}

#[test]
fn long_socket_paths_are_refused_before_the_kernel_does() -> Result<()> {
    let path = format!("/run/{}", "x".repeat(120));
    for command in ["run", "status"] {
        let words = [command, "--socket", &path];
        let failed = end_of(&mut agent::command(&words)?)?;
        failed.assert(BAD_CONFIGURATION, &["--socket", "107"]);
    }
    Ok(())
}

#[test]
fn unknown_flags_and_commands_are_named() -> Result<()> {
    for (words, named) in [
        (&["run", "--interface", "lo"][..], "--interface"),
        (&["frobnicate"], "frobnicate"),
        (&["status", "--verbose"], "--verbose"),
        (&["check", "--output", "xml"], "xml"),
        (&["run", "--log-format", "yaml"], "yaml"),
        (&["run", "lo"], "lo"),
    ] {
        end_of(&mut agent::command(words)?)?.assert(BAD_CONFIGURATION, &[named]);
    }
    Ok(())
}

#[test]
fn a_bad_environment_variable_is_named() -> Result<()> {
    for (variable, value) in [
        ("GUARD_DENY", "10.0.0.1/8"),
        ("GUARD_LIMIT_PACKETS", "much"),
        ("GUARD_DRY_RUN", "perhaps"),
    ] {
        let mut command = agent::command(&["run", "--iface", "lo"])?;
        let output = command.env(variable, value).output()?;
        let said = String::from_utf8(output.stderr)?;
        assert_eq!(output.status.code(), Some(BAD_CONFIGURATION), "{said}");
        assert!(said.contains(variable) && said.contains(value), "{said}");
    }
    Ok(())
}
