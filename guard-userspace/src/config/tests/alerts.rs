//! `[[alert]]`, and that nothing secret of it is shown.

use std::os::unix::fs::PermissionsExt as _;

use super::*;
use crate::alerts::{formats::Format, rule::Rule};

/// Text, line and column of the only problem, what it says, and the fix. The file `token` holds a
/// token, `empty` none.
const BAD: &[(&str, (usize, usize), &str, &str)] = &[
    (
        "[[alert]]\nformat = \"json\"",
        (1, 1),
        "has no `webhook`",
        "add `webhook = \"http://127.0.0.1:9093/api/v2/alerts\"`",
    ),
    (
        "[[alert]]\nwebhook = \"http://127.0.0.1/\"",
        (1, 1),
        "has no `format`",
        "`format = \"json\"`",
    ),
    (
        "[[alert]]\nwebhook = \"hooks.example\"\nformat = \"json\"",
        (2, 11),
        "this is not an address",
        "write one like",
    ),
    (
        "[[alert]]\nwebhook = \"\"\nformat = \"json\"",
        (2, 11),
        "this is not an address",
        "write one like",
    ),
    (
        "[[alert]]\nwebhook = \"ftp://hooks.example/x\"\nformat = \"json\"",
        (2, 11),
        "`ftp` is neither http nor https",
        "write one like",
    ),
    (
        "[[alert]]\nwebhook = \"https://\"\nformat = \"json\"",
        (2, 11),
        "empty host",
        "write one like",
    ),
    (
        "[[alert]]\nwebhook = \"https://hooks.example/#x\"\nformat = \"json\"",
        (2, 11),
        "behind a `#`",
        "remove it",
    ),
    (
        "[[alert]]\nwebhook = \"http://me:pw@hooks.example/\"\nformat = \"json\"",
        (2, 11),
        "a login would cross the wire in clear",
        "https",
    ),
    (
        "[[alert]]\nwebhook = \"http://hooks.example/\"\nformat = \"json\"\ntoken_file = \"token\"",
        (4, 14),
        "the token would cross the wire in clear",
        "write https",
    ),
    (
        "[[alert]]\nwebhook = \"http://127.0.0.1:9093\"\nformat = \"alertmanager\"",
        (2, 11),
        "Alertmanager takes no alerts there",
        "/api/v2/alerts",
    ),
    (
        "[[alert]]\nwebhook = \"http://127.0.0.1:9093/api/v1/alerts\"\nformat = \"alertmanager\"",
        (2, 11),
        "Alertmanager takes no alerts there",
        "/api/v2/alerts",
    ),
    (
        "[[alert]]\nwebhook = \"http://127.0.0.1/\"\nformat = \"slack\"",
        (3, 10),
        "`slack` is none of alertmanager, json",
        "write one of",
    ),
    (
        "[[alert]]\nwebhook = \"http://127.0.0.1/\"\nformat = \"json\"\nrules = [\"bans\"]",
        (4, 10),
        "`bans` is none of",
        "did you mean \"ban\"?",
    ),
    (
        "[[alert]]\nwebhook = \"http://127.0.0.1/\"\nformat = \"json\"\nrules = []",
        (4, 9),
        "is told nothing",
        "remove `rules` for all",
    ),
    (
        "[[alert]]\nwebhook = \"http://127.0.0.1/\"\nformat = \"json\"\nheaders = {}",
        (4, 1),
        "there is no key `headers` in [[alert]]",
        "token_file",
    ),
    (
        "[[alert]]\nwebhook = \"https://a.example/\"\nformat = \"json\"\ntoken_file = \"absent\"",
        (4, 14),
        "there is no file",
        "put the token there",
    ),
    (
        "[[alert]]\nwebhook = \"https://a.example/\"\nformat = \"json\"\ntoken_file = \"empty\"",
        (4, 14),
        "holds no token",
        "on one line",
    ),
    (
        "[[alert]]\nwebhook = \"https://a.example/\"\nformat = \"json\"\ntoken_file = \"/dev/zero\"",
        (4, 14),
        "is no regular file",
        "that holds the token",
    ),
    (
        "[[alert]]\nwebhook = \"http://a.example/x\"\nformat = \"json\"\n\
         [[alert]]\nwebhook = \"http://A.example:80/x\"\nformat = \"json\"",
        (5, 11),
        "another [[alert]] has this webhook",
        "remove this one",
    ),
    (
        "[alert]\nwebhook = \"http://a.example/x\"\nformat = \"json\"",
        (1, 1),
        "must be an array of tables",
        "[[alert]]",
    ),
];

/// A folder with tokens, and the name of a configuration in it.
fn folder() -> (tempfile::TempDir, String) {
    let folder = tempfile::tempdir().expect("a temporary folder");
    for (name, text) in [("token", "s3cret\n"), ("empty", " \n")] {
        fs::write(folder.path().join(name), text).expect("a file");
    }
    let name = folder.path().join("guard.toml");
    (folder, name.to_string_lossy().into_owned())
}

#[test]
fn each_problem_with_an_alert_has_its_place_and_its_fix() {
    let (_folder, name) = folder();
    for (text, place, message, help) in BAD {
        let errors = Config::parse(&name, text).expect_err(text);
        let rendered = errors.render(Style::Plain);
        let [problem] = errors.problems() else {
            panic!("one problem in {text:?}:\n{rendered}")
        };
        assert_eq!(errors.position(problem), Some(*place), "{rendered}");
        assert!(problem.message.contains(message), "{rendered}");
        assert!(problem.help.contains(help), "{rendered}");
    }
}

#[test]
fn an_alert_says_where_how_and_of_what() {
    let (folder, name) = folder();
    let text = "[[alert]]\nwebhook = \"http://127.0.0.1:9093/api/v2/alerts\"\n\
                format = \"alertmanager\"\n\
                [[alert]]\nwebhook = \"https://user:s3cret@hooks.example/T0/s3cret?k=s3cret\"\n\
                format = \"json\"\nrules = [\"ban\", \"flood\"]\ntoken_file = \"token\"";
    let config = Config::parse(&name, text).expect("a configuration");
    let [manager, hook] = config.alerts.as_slice() else {
        panic!("two receivers: {config:?}")
    };
    assert_eq!(manager.format, Format::Alertmanager);
    assert_eq!(manager.rules.len(), Rule::ALL.len());
    assert_eq!(hook.format, Format::Json);
    assert_eq!(hook.rules, [Rule::Ban, Rule::Flood].into());
    assert_eq!(hook.token_file, Some(folder.path().join("token")));
    assert_eq!(hook.token().expect("a token").as_deref(), Some("s3cret"));
    assert_ne!(manager.id(), hook.id());
    let summary = config.summary();
    assert!(
        summary.ends_with(
            "alerts to http://127.0.0.1:9093 (alertmanager), \
             alerts to https://hooks.example (json)"
        ),
        "{summary}"
    );
    let json = serde_json::to_string(&config).expect("a configuration serializes");
    for shown in [summary, json, format!("{config:?}"), hook.id()] {
        assert!(!shown.contains("s3cret"), "{shown}");
    }
}

#[test]
fn no_error_shows_what_is_secret() {
    let (_folder, name) = folder();
    for text in [
        "[[alert]]\nwebhook = \"http://u:s3cret@hooks.example/T0\"\nformat = \"json\"",
        "[[alert]]\nwebhook = \"https://hooks.example:x/s3cret\"\nformat = \"json\"",
        "[[alert]]\nwebhook = \"s3cret\"\nformat = \"json\"",
        "[[alert]]\nwebhook = 'ftp://me:s3cret@a/s3cret'\nformat = \"json\"\nlisten 1",
        "alert = [{ webhook = \"https://h.example/s3cret\", format = \"x\" }]",
        "alert = [{ webhook = \"https://h.example/s3cret\", format = \"json\" }] # 1\nx = ",
        "[[alert]]\nwebhook = \"https://h.example/s3cret\nformat = \"json\"",
    ] {
        let errors = Config::parse(&name, text).expect_err(text);
        let plain = errors.render(Style::Plain);
        let json = serde_json::to_string(&errors).expect("errors serialize");
        for shown in [plain, json, errors.to_string()] {
            assert!(!shown.contains("s3cret"), "{text}:\n{shown}");
        }
    }
}

#[test]
fn a_token_that_only_the_agent_may_read_is_no_problem_for_whoever_checks() {
    let (folder, name) = folder();
    let file = folder.path().join("token");
    fs::set_permissions(&file, fs::Permissions::from_mode(0o000)).expect("a mode");
    let text = "[[alert]]\nwebhook = \"https://a.example/\"\nformat = \"json\"\n\
                token_file = \"token\"";
    // Root may read it anyhow: either way it is no problem.
    assert!(Config::parse(&name, text).is_ok());
}

#[test]
fn there_are_only_so_many_receivers() {
    let one =
        |number| format!("[[alert]]\nwebhook = \"http://127.0.0.1/{number}\"\nformat = \"json\"\n");
    let some = |count| (0..count).map(one).collect::<String>();
    assert_eq!(accepted(&some(MAX_RECEIVERS)).alerts.len(), MAX_RECEIVERS);
    let errors = refused(&some(MAX_RECEIVERS + 1));
    assert!(errors.to_string().contains("17 receivers"), "{errors}");
}
