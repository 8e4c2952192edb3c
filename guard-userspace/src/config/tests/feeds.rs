//! `[[feed]]`, and who may deny everyone.

use std::path::PathBuf;

use tempfile::TempDir;

use super::*;

/// Text, line and column of the only problem, what it says, and the fix. The list `good` is there.
const BAD: &[(&str, (usize, usize), &str, &str)] = &[
    (
        "[[feed]]\nfile = \"good\"",
        (1, 1),
        "has no `name`",
        "add `name = \"drop-list\"`",
    ),
    (
        "[[feed]]\nname = \"a\"",
        (1, 1),
        "has neither a `file` nor a `url`",
        "add `file = \"drop.netset\"`, or `url",
    ),
    (
        "[[feed]]\nname = \"A b\"\nfile = \"good\"",
        (2, 8),
        "`A b` cannot be the name of a feed",
        "a-z",
    ),
    (
        "[[feed]]\nname = \"a\"\nfile = \"\"",
        (3, 8),
        "the path is empty",
        "drop.netset",
    ),
    (
        "[[feed]]\nname = \"a\"\nfile = \"good\"\n[[feed]]\nname = \"a\"\nfile = \"good\"",
        (5, 8),
        "another feed `a`",
        "a name of its own",
    ),
    (
        "[[feed]]\nname = \"a\"\nfile = \"good\"\nurl = \"https://lists.example/a\"",
        (4, 1),
        "has a `file` and a `url`",
        "keep one of them",
    ),
    (
        "[[feed]]\nname = \"a\"\nurl = \"ftp://lists.example/a\"",
        (3, 7),
        "`ftp://lists.example/a` is not the address of a list",
        "https://lists.example/drop.netset",
    ),
    (
        "[[feed]]\nname = \"a\"\nfile = \"good\"\nrefresh = \"1s\"",
        (4, 11),
        "`1s` is too often",
        "\"10s\" to \"30d\"",
    ),
    (
        "[[feed]]\nname = \"a\"\nfile = \"good\"\nrefresh = \"31d\"",
        (4, 11),
        "`31d` is too long",
        "\"10s\" to \"30d\"",
    ),
    (
        "[[feed]]\nname = \"a\"\nfile = \"absent\"",
        (3, 8),
        "there is no file",
        "put the list there",
    ),
    (
        "[[feed]]\nname = \"a\"\nfile = \".\"",
        (3, 8),
        "is no regular file",
        "that holds the list",
    ),
    (
        "[[feed]]\nname = \"a\"\nfile = \"/dev/zero\"",
        (3, 8),
        "/dev/zero is no regular file",
        "that holds the list",
    ),
    (
        "[[feed]]\nname = \"a\"\nfile = \"wide\"",
        (3, 8),
        "wide:2: `0.0.0.0/0` is everyone",
        "everyone = true",
    ),
    (
        "[[deny]]\ncidr = \"0.0.0.0/0\"",
        (2, 8),
        "`0.0.0.0/0` denies everyone",
        "add `everyone = true` here",
    ),
    (
        "[[deny]]\ncidr = \"::/0\"\neveryone = false",
        (2, 8),
        "`::/0` denies everyone",
        "name the networks",
    ),
    (
        "[[deny]]\ncidr = \"::ffff:0:0/96\"",
        (2, 8),
        "`0.0.0.0/0` denies everyone",
        "everyone",
    ),
    (
        "[[deny]]\ncidr = \"10.0.0.0/8\"\neveryone = true",
        (3, 12),
        "`10.0.0.0/8` is not everyone",
        "remove `everyone`",
    ),
    (
        "[[allow]]\ncidr = \"0.0.0.0/0\"\neveryone = true",
        (3, 1),
        "no key `everyone` in [[allow]]",
        "[[deny]]",
    ),
];

/// A folder with lists, and the name of a configuration in it.
fn folder() -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().expect("a temporary folder");
    for (name, text) in [
        ("good", "192.0.2.0/24\n2001:db8::1\n198.51.100.7"),
        ("more", "198.51.100.7\n192.0.2.0/24\n203.0.113.0/24\n"),
        ("wide", "10.0.0.0/8\n0.0.0.0/0\n"),
    ] {
        fs::write(folder.path().join(name), text).expect("a list");
    }
    let name = folder.path().join("guard.toml");
    (folder, name)
}

fn parse(name: &Path, text: &str) -> Result<Config, ConfigErrors> {
    Config::parse(&name.to_string_lossy(), text)
}

#[test]
fn each_problem_with_a_feed_has_its_place_and_its_fix() {
    let (_folder, name) = folder();
    for (text, place, message, help) in BAD {
        let errors = parse(&name, text).expect_err(text);
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
fn what_two_feeds_list_counts_once_and_belongs_to_the_first() {
    let (folder, name) = folder();
    let text =
        "[[feed]]\nname = \"one\"\nfile = \"good\"\n[[feed]]\nname = \"two\"\nfile = \"more\"";
    let config = parse(&name, text).expect("a configuration");
    let nets = |feed: &Feed| -> Vec<String> { feed.nets.iter().map(IpNet::to_string).collect() };
    assert_eq!(
        nets(&config.feeds[0]),
        ["192.0.2.0/24", "198.51.100.7/32", "2001:db8::1/128"]
    );
    assert_eq!(nets(&config.feeds[1]), ["203.0.113.0/24"]);
    assert_eq!(config.feeds[1].file, folder.path().join("more"));
    assert!(
        config
            .summary()
            .ends_with("0 allow, 2 feeds with 4 entries"),
        "{}",
        config.summary()
    );
    let json = serde_json::to_value(&config).expect("a configuration serializes");
    assert_eq!(json["feeds"][0]["name"], "one");
    assert_eq!(json["feeds"][0]["entries"], 3);
}

#[test]
fn a_list_that_is_fetched_is_neither_fetched_nor_looked_for_by_who_checks() {
    let (_folder, name) = folder();
    let text = "[[feed]]\nname = \"a\"\nurl = \"http://user:pw@127.0.0.1:1/a?key=pw\"\n\
                [[feed]]\nname = \"b\"\nfile = \"good\"\nrefresh = \"90s\"";
    let config = parse(&name, text).expect("a configuration");
    assert!(config.feeds[0].nets.is_empty());
    let json = serde_json::to_value(&config).expect("a configuration serializes");
    let expected = serde_json::json!({
        "name": "a", "url": "http://127.0.0.1:1/a", "refresh": "1h", "everyone": false, "entries": 0,
    });
    assert_eq!(json["feeds"][0], expected);
    assert_eq!(json["feeds"][1]["entries"], 3);
}

#[test]
fn who_means_everyone_says_so() {
    let (_folder, name) = folder();
    let text = "[[deny]]\ncidr = \"0.0.0.0/0\"\neveryone = true\n\
                [[feed]]\nname = \"wide\"\nfile = \"wide\"\neveryone = true";
    let config = parse(&name, text).expect("a configuration");
    assert_eq!(config.deny[0].cidr.prefix_len(), 0);
    assert_eq!(config.feeds[0].nets.len(), 2);
}

#[test]
fn a_pipe_that_nobody_writes_to_is_refused_and_not_waited_for() {
    let (folder, name) = folder();
    let pipe = folder.path().join("pipe");
    nix::unistd::mkfifo(&pipe, nix::sys::stat::Mode::S_IRWXU).expect("a pipe");
    let errors = parse(&name, "[[feed]]\nname = \"a\"\nfile = \"pipe\"").expect_err("a pipe");
    assert!(errors.to_string().contains("no regular file"), "{errors}");
}

#[test]
fn a_file_that_is_too_large_is_refused() {
    let (folder, name) = folder();
    let file = fs::File::create(folder.path().join("large")).expect("a file");
    file.set_len(MAX_FEED_BYTES + 1)
        .expect("a file with a hole");
    let errors = parse(&name, "[[feed]]\nname = \"a\"\nfile = \"large\"").expect_err("too large");
    assert!(
        errors.to_string().contains("larger than 256 MiB"),
        "{errors}"
    );
}

#[test]
fn more_than_the_tables_hold_is_refused_with_both_numbers() {
    let net = |number: u32, len| {
        let address = std::net::Ipv4Addr::from_bits(number << (32 - len));
        IpNet::from(ipnet::Ipv4Net::new(address, len).expect("a network"))
    };
    let feed = |nets: Vec<IpNet>| Feed {
        name: "a".to_owned(),
        file: PathBuf::new(),
        download: None,
        everyone: false,
        listed: nets.len(),
        all: nets.clone().into(),
        fault: None,
        nets: nets.into(),
    };
    let most = u32::try_from(crate::kernel::MAX_PREFIXES).expect("a number");
    let full = feed((0..most).map(|number| net(number, 24)).collect());
    let entry = |net: IpNet| Entry {
        cidr: net,
        reason: None,
        expires: None,
    };
    let told = |deny: &[Entry]| {
        let mut problems = Vec::new();
        let feeds = std::slice::from_ref(&full);
        super::super::feeds::refuse_too_many((feeds, &[], deny), &mut problems);
        problems
    };
    // What is on two lists counts once.
    let listed = [entry(net(7, 24)), entry(net(0, 25)), entry(net(0, 32))];
    assert_eq!(told(&listed[..1]), []);
    let too_many = told(&listed);
    assert_eq!(too_many.len(), 1, "{too_many:?}");
    assert!(
        too_many[0]
            .message
            .contains("name 3900001 prefixes of IPv4, and guard holds 3900000"),
        "{too_many:?}"
    );
}
