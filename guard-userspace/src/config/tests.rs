//! Whole files: what is wrong with them, where, and the fix.

use std::fs;
use std::path::Path;
use std::time::Duration;

use proptest::prelude::*;

use super::*;

mod alerts;
mod bad;
mod feeds;

fn accepted(text: &str) -> Config {
    match Config::parse("guard.toml", text) {
        Ok(config) => config,
        Err(errors) => panic!("refused:\n{}", errors.render(Style::Plain)),
    }
}

fn refused(text: &str) -> ConfigErrors {
    match Config::parse("guard.toml", text) {
        Ok(config) => panic!("accepted {text:?} as {config:?}"),
        Err(errors) => errors,
    }
}

#[test]
fn an_empty_file_has_the_defaults() {
    let config = accepted("");
    assert_eq!(config.xdp_mode, XdpMode::Auto);
    assert!(!config.dry_run);
    assert_eq!(config.listen.to_string(), "127.0.0.1:9797");
    assert_eq!(config.socket, Path::new("/run/guard/guard.sock"));
    assert_eq!(config.state_dir, Path::new("/var/lib/guard"));
    assert_eq!(config.bpffs, Path::new("/sys/fs/bpf/guard"));
    assert_eq!(
        config
            .limits
            .packets
            .map(|rate| rate.to_string())
            .as_deref(),
        Some("250k/s")
    );
    assert_eq!(config.limits.bytes, None);
    assert_eq!(
        config
            .limits
            .connections
            .map(|rate| rate.to_string())
            .as_deref(),
        Some("120k/min")
    );
    assert_eq!(config.limits.burst, Duration::from_secs(1));
    assert_eq!(config.limits.ipv6_prefix, 64);
    let [api] = config.services.as_slice() else {
        panic!("one service: {:?}", config.services)
    };
    assert_eq!(api.name, "api");
    let ports: Vec<u16> = api.ports.iter().flat_map(Clone::clone).collect();
    assert_eq!(
        ports,
        [
            80, 443, 3000, 5000, 8000, 8080, 8081, 8443, 8888, 9000, 9443
        ]
    );
    assert_eq!(api.encryption, Encryption::Required);
    assert_eq!(api.on_plaintext, OnPlaintext::Flag);
    assert_eq!(api.allow, None);
    assert_eq!(config.summary(), "0 interfaces, 1 service, 0 deny, 0 allow");
}

#[test]
fn a_value_that_asks_for_what_happens_anyway_is_accepted() {
    accepted(
        r#"
        on_stop = "detach"
        protect_self = false
        [limits]
        ban = "off"
        new_sources = "off"
        aggregate = { packets = "off", connections = "off" }
        [[service]]
        name = "a"
        ports = [80]
        direction = "inbound"
        strict = false
        limits = { packets = "off", bytes = "off", connections = "off" }
        "#,
    );
}

#[test]
fn each_problem_has_its_place_and_its_fix() {
    for (text, place, message, help) in bad::BAD {
        let errors = refused(text);
        let rendered = errors.render(Style::Plain);
        let [problem] = errors.problems() else {
            panic!("one problem in {text:?}:\n{rendered}")
        };
        assert_eq!(
            errors.position(problem),
            Some(*place),
            "{text:?}:\n{rendered}"
        );
        assert!(
            problem.message.contains(message),
            "{text:?}: {message:?} in\n{rendered}"
        );
        assert!(
            problem.help.contains(help),
            "{text:?}: {help:?} in\n{rendered}"
        );
        let (line, column) = place;
        assert!(
            rendered.contains(&format!("[guard.toml:{line}:{column}]")),
            "{rendered}"
        );
        assert!(rendered.contains(&problem.help), "{rendered}");
    }
}

#[test]
fn all_problems_are_reported_at_once_in_the_order_of_the_file() {
    let errors = refused(
        r#"interfaces = ["a/b"]
xdp_mode = "hardware"
listen = "nowhere"
listen 9797
[limits]
packets = "250k"
burst = "1d"
ban = "1h"
[[service]]
name = "x"
ports = [0, 8443]
[[service]]
name = "x"
ports = [8443]
[[deny]]
cidr = "10.0.0.1/8"
"#,
    );
    let lines: Vec<Option<usize>> = errors
        .problems()
        .iter()
        .map(|p| errors.position(p).map(|(line, _)| line))
        .collect();
    assert_eq!(
        lines,
        [1, 2, 3, 4, 6, 7, 8, 11, 13, 14, 16].map(Some),
        "{errors}"
    );
    assert_eq!(
        errors.to_string().split_once(": ").map(|(place, _)| place),
        Some("guard.toml:1:15"),
        "{errors}"
    );
    assert!(
        errors.to_string().ends_with("(and 10 more problems)"),
        "{errors}"
    );
}

#[test]
fn a_plain_rendering_is_ascii_and_points_at_the_problem() {
    let errors = refused("interfaces = [\"eth0\", \"a/b\"]\n");
    assert_eq!(
        errors.render(Style::Plain),
        r#"  x `a/b` cannot be the name of an interface
   ,-[guard.toml:1:23]
 1 | interfaces = ["eth0", "a/b"]
   :                       ^^^^^
   `----
  help: `ip -brief link` lists the names: 1 to 15 bytes without a space, `/` or `:`
"#
    );
}

#[test]
fn a_source_line_cannot_command_the_terminal_nor_fill_it() {
    let errors = refused(&format!("xdp_mode = \"\u{1b}[2J\"{}", " ".repeat(100_000)));
    let rendered = errors.render(Style::Plain);
    assert!(!rendered.contains('\u{1b}'), "{rendered:?}");
    assert!(rendered.len() < 2_000, "{} bytes", rendered.len());
}

#[test]
fn errors_as_json_name_line_and_column() {
    let json = serde_json::to_value(refused("dry_run = 1")).expect("errors serialize");
    assert_eq!(json["file"], "guard.toml");
    assert_eq!(json["problems"][0]["line"], 1);
    assert_eq!(json["problems"][0]["column"], 11);
}

#[test]
fn a_network_that_is_listed_twice_counts_once() {
    let config = accepted(
        "[[deny]]\ncidr = \"10.0.0.0/8\"\nreason = \"first\"\n\
         [[deny]]\ncidr = \"::ffff:10.0.0.0/104\"\n[[allow]]\ncidr = \"10.0.0.0/8\"",
    );
    assert_eq!(config.deny.len(), 1);
    assert_eq!(config.deny[0].reason.as_deref(), Some("first"));
    assert_eq!(config.allow.len(), 1);
}

#[test]
fn more_than_the_kernel_holds_is_refused() {
    let services: Vec<String> = (0..=MAX_SERVICES)
        .map(|n| format!("[[service]]\nname = \"s{n}\"\nports = [{}]\n", n + 1))
        .collect();
    assert!(
        refused(&services.concat())
            .to_string()
            .contains("1025 services are more than guard holds")
    );
    let names: Vec<String> = (0..17).map(|n| format!("eth{n}")).collect();
    assert!(
        refused(&format!("interfaces = {names:?}"))
            .to_string()
            .contains("17 interfaces")
    );
}

#[test]
fn a_file_that_cannot_be_used_is_named() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let file = |name: &str, content: &[u8]| {
        let path = folder.path().join(name);
        fs::write(&path, content).expect("the file is written");
        path
    };
    let too_large = usize::try_from(MAX_FILE_BYTES).expect("16 MiB") + 1;
    for (path, message) in [
        (folder.path().join("absent"), "there is no file"),
        (folder.path().to_owned(), "cannot be read"),
        (
            file("large", &vec![b'#'; too_large]),
            "is larger than 16 MiB",
        ),
        (
            file("latin1", b"# ok\n# \xe9\n"),
            "latin1:2:3: this byte is not UTF-8",
        ),
    ] {
        let error = Config::check(Some(&path)).expect_err(message).to_string();
        assert!(error.contains(message), "{error}");
        assert!(error.contains(&path.display().to_string()), "{error}");
    }
    let good = file("good", b"interfaces = [\"eth0\"]");
    let config = Config::check(Some(&good)).expect("a good file");
    assert_eq!(config.interfaces, ["eth0"]);
}

#[test]
fn a_document_of_an_api_is_read_with_the_service_it_is_of() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let write = |name: &str, text: &str| {
        fs::write(folder.path().join(name), text).expect("a file");
    };
    write(
        "orders.yaml",
        "openapi: 3.1.0\npaths: {/a: {get: {}, post: {}}, /b: {get: {}}}",
    );
    write("broken.yaml", "openapi: 3.1.0\npaths: {/a: {get: {}}");
    let name = folder.path().join("guard.toml");
    let service = |file: &str| {
        let text = format!("[[service]]\nname = \"a\"\nports = [80]\nopenapi = \"{file}\"");
        Config::parse(&name.to_string_lossy(), &text)
    };
    let config = service("orders.yaml").expect("a document");
    assert!(
        config.summary().ends_with(", 3 documented operations"),
        "{}",
        config.summary()
    );
    let json = serde_json::to_value(&config).expect("a configuration serializes");
    let openapi = &json["services"][0]["openapi"];
    assert_eq!(openapi["version"], "OpenAPI 3.1.0");
    assert_eq!(openapi["operations"], 3);
    for (file, message, help) in [
        ("absent.yaml", "there is no file", "put the document there"),
        (
            "broken.yaml",
            "broken.yaml: this is no YAML document",
            "mend it",
        ),
        (".", "is no regular file", "that holds the document"),
    ] {
        let errors = service(file).expect_err(file);
        let rendered = errors.render(Style::Plain);
        let [problem] = errors.problems() else {
            panic!("one problem:\n{rendered}")
        };
        assert_eq!(errors.position(problem), Some((4, 11)), "{rendered}");
        assert!(problem.message.contains(message), "{rendered}");
        assert!(problem.help.contains(help), "{rendered}");
    }
}

#[test]
fn the_files_of_a_configuration_are_known_whatever_is_wrong_with_it() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let name = folder.path().join("guard.toml");
    let files = || {
        let files = Config::files(&name).into_iter();
        let names = files.map(|file| {
            let file = file.strip_prefix(folder.path()).expect("in the folder");
            file.display().to_string()
        });
        names.collect::<Vec<_>>()
    };
    assert_eq!(files(), ["guard.toml"], "it may come");
    let text = "xdp_mode = \"nativ\"\n[[feed]]\nfile = \"lists/absent\"\n\
                [[service]]\nname = \"a\"\nopenapi = \"a.yaml\"";
    fs::write(&name, text).expect("a file");
    assert_eq!(files(), ["a.yaml", "guard.toml", "lists/absent"]);
    assert!(Config::files(Path::new("/dev/null")).is_empty());
}

#[test]
fn a_file_that_others_may_write_is_refused_beside_all_else() {
    use std::os::unix::fs::PermissionsExt as _;

    let folder = tempfile::tempdir().expect("a temporary folder");
    let file = folder.path().join("guard.toml");
    let set_mode = |name: &str, mode| {
        let file = folder.path().join(name);
        fs::set_permissions(file, fs::Permissions::from_mode(mode)).expect("a mode");
    };
    fs::write(folder.path().join("list"), "192.0.2.1").expect("a list");
    fs::write(&file, "[[feed]]\nname = \"a\"\nfile = \"list\"\n").expect("a file");
    set_mode("guard.toml", 0o664);
    set_mode("list", 0o666);
    let errors = Config::check(Some(&file)).expect_err("both are refused");
    let told: Vec<_> = errors
        .problems()
        .iter()
        .map(|problem| &problem.message)
        .collect();
    assert_eq!(told.len(), 2, "{told:?}");
    assert!(
        told[0].ends_with("list may be written by everybody"),
        "{told:?}"
    );
    assert!(
        told[1].ends_with("may be written by its whole group"),
        "{told:?}"
    );
    set_mode("guard.toml", 0o640);
    set_mode("list", 0o664);
    Config::check(Some(&file)).expect("nobody else decides");
}

#[test]
fn a_configuration_as_json_reads_like_its_toml() {
    let config = accepted(
        "[limits]\nbytes = \"100MiB/s\"\npackets = \"off\"\n\
         [[service]]\nname = \"a\"\nports = [80, \"90-99\"]\nallow = [\"10.0.0.0/8\"]",
    );
    let json = serde_json::to_value(&config).expect("a configuration serializes");
    assert_eq!(json["limits"]["bytes"], "100MiB/s");
    assert_eq!(json["limits"]["packets"], "off");
    assert_eq!(json["limits"]["burst"], "1s");
    assert_eq!(json["xdp_mode"], "auto");
    assert_eq!(
        json["services"][0]["ports"],
        serde_json::json!([80, "90-99"])
    );
    assert_eq!(json["services"][0]["allow"][0], "10.0.0.0/8");
}

#[test]
fn the_documented_examples_are_valid() {
    let page = include_str!("../../../docs/CONFIGURATION.md");
    // What the examples name lies beside them.
    let folder = tempfile::tempdir().expect("a temporary folder");
    fs::write(folder.path().join("drop.netset"), "192.0.2.0/24").expect("a list");
    let document = "openapi: 3.0.3\npaths: {/orders: {get: {}}}";
    fs::write(folder.path().join("orders.yaml"), document).expect("a document");
    let name = folder.path().join("guard.toml");
    let blocks: Vec<&str> = page
        .split("```toml\n")
        .skip(1)
        .filter_map(|rest| rest.split_once("```").map(|(block, _)| block))
        .collect();
    assert!(!blocks.is_empty());
    for block in blocks {
        if let Err(errors) = Config::parse(&name.to_string_lossy(), block) {
            panic!("refused:\n{}", errors.render(Style::Plain));
        }
    }
}

/// Text made of what configurations are made of, so that the walk is reached.
fn toml_like() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        any::<char>().prop_map(String::from),
        prop::sample::select(
            [
                "[limits]\n",
                "[[service]]\n",
                "[[deny]]\n",
                "[",
                "]",
                "{",
                "}",
                ",",
                "=",
                "\n",
                "\"",
                "interfaces",
                "ports",
                "cidr",
                "packets",
                "burst",
                "name",
                "allow",
                "80",
                "\"9-8\"",
                "\"10.0.0.1/8\"",
                "\"1k/s\"",
                "\"off\"",
                "true",
                ".",
                " = ",
                "1e9",
                "é",
            ]
            .as_slice()
        )
        .prop_map(str::to_owned),
    ];
    prop::collection::vec(piece, 0..40).prop_map(|pieces| pieces.concat())
}

proptest! {
    #[test]
    fn no_text_panics(text in toml_like()) {
        if let Err(errors) = Config::parse("guard.toml", &text) {
            prop_assert!(!errors.problems().is_empty());
            for style in [Style::Plain, Style::Terminal] {
                prop_assert!(!errors.render(style).is_empty());
            }
            prop_assert!(!errors.render(Style::Plain).contains("Failed to read"));
        }
    }
}
