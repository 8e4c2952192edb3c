//! The control socket over a real one, with requests of every bad kind.

use std::{
    collections::BTreeSet,
    io::{Read as _, Write as _},
    net::Shutdown,
    os::unix::net::UnixStream,
    path::PathBuf,
    sync::Mutex,
    time::{Duration, Instant},
};

use axum::body::Body;
use http_body_util::BodyExt as _;
use hyper::service::Service as _;
use hyper_util::service::TowerToHyperService;
use serde_json::Value;
use tempfile::TempDir;
use tokio::{
    net::UnixListener,
    task::{JoinSet, spawn_blocking},
};

use super::*;
use crate::{
    findings::{Findings, Follower},
    http::{Access, Audit, peer::Peer, serve_control},
};

/// An agent that only notes what it was told to do.
#[derive(Default)]
struct Fake {
    told: Mutex<Vec<String>>,
    findings: Findings,
}

impl Fake {
    fn note(&self, what: &str) {
        self.told
            .lock()
            .expect("not poisoned")
            .push(what.to_owned());
    }

    fn told(&self) -> Vec<String> {
        self.told.lock().expect("not poisoned").clone()
    }
}

impl Source for Fake {
    fn status(&self) -> anyhow::Result<Status> {
        Err(anyhow::anyhow!("no\u{1b}[2J kernel\u{9b}"))
    }

    fn reload(&self, _: Reload) -> anyhow::Result<Done> {
        self.note("reload");
        Ok(Done::default())
    }

    fn confirm(&self) -> anyhow::Result<Done> {
        self.note("confirm");
        Ok(Done::default())
    }

    fn bypass(&self, _: Bypass) -> anyhow::Result<Done> {
        self.note("bypass");
        Ok(Done::default())
    }

    fn edit(&self, edit: Edit) -> anyhow::Result<Done> {
        self.note(&format!("edit {}", edit.add.len()));
        Ok(Done::default())
    }

    fn entries(&self, _: List) -> Vec<Listed> {
        Vec::new()
    }

    fn bans(&self) -> Vec<Banned> {
        Vec::new()
    }

    fn unban(&self, _: &Unban) -> anyhow::Result<()> {
        self.note("unban");
        Ok(())
    }

    fn explain(&self, source: IpAddr, port: Option<u16>) -> Explanation {
        let config = crate::config::Config::parse("test", "").expect("a configuration");
        Explanation::new((source, port), None, (Vec::new(), None), (&config, false))
    }

    fn events(&self) -> Vec<Told> {
        self.findings.latest()
    }

    fn follow(&self) -> Option<Follower> {
        self.findings.follow()
    }

    fn talkers(&self) -> TopTalkers {
        TopTalkers::default()
    }

    fn is_ready(&self) -> bool {
        true
    }
}

/// The socket of a fake agent, served for as long as it lives.
struct Served {
    folder: TempDir,
    source: Arc<Fake>,
    _server: JoinSet<()>,
}

impl Served {
    fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let source = Arc::new(Fake::default());
        let gate = Gate::new(Audit::new(folder.path()));
        let router = control(Arc::clone(&source), &gate);
        let listener = UnixListener::bind(folder.path().join("sock")).expect("a socket");
        let access = Access {
            uid: nix::unistd::geteuid().as_raw(),
            group: None,
        };
        let mut server = JoinSet::new();
        server.spawn(serve_control(listener, router, access));
        Self {
            folder,
            source,
            _server: server,
        }
    }

    fn audit_log(&self) -> PathBuf {
        self.folder.path().join("audit.log")
    }

    /// What is answered to these bytes, until the connection is closed; it may be by a stop of the
    /// sender, too.
    async fn exchange(&self, bytes: &[u8], stop: bool) -> Vec<u8> {
        let (socket, bytes) = (self.folder.path().join("sock"), bytes.to_owned());
        let exchange = spawn_blocking(move || {
            let mut stream = UnixStream::connect(socket).expect("it listens");
            // It may be refused before all of it is sent.
            let _ = stream.write_all(&bytes);
            if stop {
                stream.shutdown(Shutdown::Write).expect("it is closed");
            }
            let mut answer = Vec::new();
            let _ = stream.read_to_end(&mut answer);
            answer
        });
        exchange.await.expect("it does not panic")
    }

    async fn send(&self, bytes: &[u8]) -> Vec<u8> {
        self.exchange(bytes, false).await
    }

    /// Status and JSON of an answer.
    async fn ask(&self, bytes: &[u8]) -> (u16, Value) {
        let answer = self.send(bytes).await;
        let answer = String::from_utf8(answer).expect("text");
        let (head, body) = answer.split_once("\r\n\r\n").expect("HTTP");
        assert!(head.contains("content-type: application/json"), "{head}");
        let obeyed = body
            .chars()
            .find(|c| *c != '\n' && printable::is_obeyed(*c));
        assert_eq!(obeyed, None, "{body}");
        let status = head.split(' ').nth(1).expect("a status");
        let status = status.parse().expect("a number");
        (status, serde_json::from_str(body).expect("JSON"))
    }
}

fn post(path: &str, body: &[u8]) -> Vec<u8> {
    let head = format!(
        "POST {path} HTTP/1.1\r\nhost: guard\r\ncontent-type: application/json\r\n\
         content-length: {}\r\n\r\n",
        body.len()
    );
    [head.as_bytes(), body].concat()
}

fn get(path: &str) -> Vec<u8> {
    format!("GET {path} HTTP/1.1\r\nhost: guard\r\n\r\n").into_bytes()
}

#[test]
fn every_route_is_in_the_openapi_document_and_the_other_way_round() {
    let document: Value = serde_json::from_str(OPENAPI).expect("JSON");
    let mut documented = BTreeSet::new();
    for (path, methods) in document["paths"].as_object().expect("paths") {
        for method in methods.as_object().expect("methods").keys() {
            documented.insert((path.clone(), method.clone()));
        }
    }
    let served = routes::<Fake>().into_iter().map(|route| {
        let method = if route.change.is_some() {
            "post"
        } else {
            "get"
        };
        (route.path.to_owned(), method.to_owned())
    });
    assert_eq!(documented, served.collect());
}

/// Calls `visit` with every schema of an object in `value`, and where it is.
fn objects(value: &Value, at: &str, visit: &mut impl FnMut(&Value, &str)) {
    let is_object = value["type"] == "object" || value["properties"].is_object();
    if is_object && value["type"].is_string() {
        visit(value, at);
    }
    let inner: Vec<(String, &Value)> = match value {
        Value::Object(fields) => fields
            .iter()
            .map(|(name, value)| (name.clone(), value))
            .collect(),
        Value::Array(values) => values
            .iter()
            .enumerate()
            .map(|(place, value)| (place.to_string(), value))
            .collect(),
        _ => Vec::new(),
    };
    for (name, value) in inner {
        objects(value, &format!("{at}/{name}"), visit);
    }
}

#[test]
fn the_openapi_document_says_of_each_object_that_there_is_nothing_else() {
    let document: Value = serde_json::from_str(OPENAPI).expect("JSON");
    let mut seen = 0;
    objects(&document, "", &mut |object, at| {
        seen += 1;
        let others = &object["additionalProperties"];
        if object["properties"].is_object() {
            assert_eq!(others, &Value::Bool(false), "{at}");
            return;
        }
        // Counts by a word, and what another standard describes.
        let is_standard = at.contains("/v1/openapi.json/");
        assert!(others.is_object() || is_standard && others == true, "{at}");
    });
    assert!(seen > 40, "{seen}");
}

#[test]
fn what_a_handshake_shows_is_all_in_the_openapi_document() {
    let document: Value = serde_json::from_str(OPENAPI).expect("JSON");
    let described = &document["components"]["schemas"]["TlsFacts"]["properties"];
    let facts = crate::tls::TlsFacts {
        certificate: Some(crate::tls::Certificate {
            not_before: 0,
            not_after: 1,
        }),
        ..Default::default()
    };
    let told = serde_json::to_value(facts).expect("JSON");
    let names = |value: &Value| -> Vec<String> {
        let fields = value.as_object().expect("fields");
        let mut names: Vec<_> = fields.keys().cloned().collect();
        names.sort();
        names
    };
    assert_eq!(names(described), names(&told));
    let dates = &described["certificate"]["anyOf"][1]["properties"];
    assert_eq!(names(dates), names(&told["certificate"]));
}

#[test]
fn every_route_is_in_the_description_for_people() {
    let text = include_str!("../../../../docs/API.md");
    for route in routes::<Fake>() {
        let method = if route.change.is_some() {
            "POST"
        } else {
            "GET"
        };
        let line = format!("`{method} {}`", route.path);
        assert!(text.contains(&line), "{line}");
    }
}

#[tokio::test]
async fn what_is_asked_for_is_answered_or_done_and_written_down() {
    let served = Served::new();
    let (status, document) = served.ask(&get("/v1/openapi.json")).await;
    assert_eq!((status, &document["openapi"]), (200, &Value::from("3.1.0")));
    let (status, explained) = served
        .ask(&get("/v1/explain/::ffff:192.0.2.7?port=443"))
        .await;
    assert_eq!(
        (status, &explained["source"]),
        (200, &Value::from("192.0.2.7"))
    );
    assert_eq!(explained["at"]["service"]["name"], "api");
    assert!(!served.audit_log().exists(), "nothing was to be changed");

    let edit = br#"{"list":"deny","add":["192.0.2.7",{"cidr":"2001:db8::/32","reason":"a"}]}"#;
    assert_eq!(served.ask(&post("/v1/entries", edit)).await.0, 200);
    assert_eq!(
        served.ask(&post("/v1/unban", br#"{"all":true}"#)).await.0,
        200
    );
    assert_eq!(served.ask(&post("/v1/reload", b"{}")).await.0, 200);
    let bare = b"POST /v1/reload HTTP/1.1\r\nhost: guard\r\n\r\n";
    assert_eq!(served.ask(bare).await.0, 200);
    assert_eq!(
        served.source.told(),
        ["edit 2", "unban", "reload", "reload"]
    );

    let log = std::fs::read_to_string(served.audit_log()).expect("the audit log");
    let lines: Vec<Value> = log
        .lines()
        .map(|line| serde_json::from_str(line).expect("JSON"))
        .collect();
    assert_eq!(lines.len(), 8);
    assert_eq!(
        lines[0]["request"],
        std::str::from_utf8(edit).expect("text")
    );
    assert_eq!(lines[0]["uid"], nix::unistd::geteuid().as_raw());
    assert_eq!(lines[0]["pid"], std::process::id());
    assert_eq!(
        (&lines[1]["status"], &lines[1]["outcome"]),
        (&200.into(), &"done".into())
    );
}

/// A body, the status that refuses it, and a part of the sentence.
const BAD_BODIES: [(&[u8], u16, &str); 22] = [
    (b"", 400, "cannot be read"),
    (b"{", 400, "cannot be read"),
    (b"{}", 422, "missing field `list`"),
    (b"[]", 422, "as it should be"),
    (b"null", 422, "as it should be"),
    (b"\"deny\"", 422, "as it should be"),
    (b"{\"list\":\"deny\"}{}", 400, "trailing characters"),
    (b"{\"list\":\"deny\",}", 400, "cannot be read"),
    (b"{\"list\":\"dney\"}", 422, "unknown variant `dney`"),
    (b"{\"list\":1}", 400, "list: expected"),
    (b"{\"list\":\"deny\",\"add\":\"192.0.2.7\"}", 422, "add"),
    (b"{\"list\":\"deny\",\"add\":[1]}", 422, "a network like"),
    (
        b"{\"list\":\"deny\",\"add\":[{\"reason\":\"a\"}]}",
        422,
        "missing field `cidr`",
    ),
    (
        b"{\"list\":\"deny\",\"add\":[{\"cidr\":\"::\",\"b\":1}]}",
        422,
        "unknown field `b`",
    ),
    (
        b"{\"list\":\"deny\",\"add\":[\"192.0.2.7/24\"]}",
        422,
        "bits set beyond",
    ),
    (
        b"{\"list\":\"deny\",\"reason\":\"\\u001b[2J\"}",
        422,
        "on one line",
    ),
    (
        b"{\"list\":\"deny\",\"reason\":\"a\\u202eb\"}",
        422,
        "on one line",
    ),
    (b"{\"list\":\"deny\",\"seconds\":-1}", 422, "seconds"),
    (
        b"{\"list\":\"deny\",\"seconds\":0}",
        422,
        "1 to 316224000 seconds",
    ),
    (b"{\"list\":\"deny\",\"seconds\":1e99}", 422, "seconds"),
    (
        b"{\"list\":\"deny\",\"\\u001b[2J\\n\\u009b\":1}",
        422,
        "\\u{1b}[2J",
    ),
    (b"{\"list\":\"\xff\xfe\"}", 400, "cannot be read"),
];

#[tokio::test]
async fn bodies_that_are_not_right_are_refused_with_a_sentence() {
    let served = Served::new();
    for (body, status, part) in BAD_BODIES {
        let shown = String::from_utf8_lossy(body);
        let answer = served.ask(&post("/v1/entries", body)).await;
        assert_eq!(answer.0, status, "{shown}: {}", answer.1);
        let said = answer.1["error"].as_str().expect("a sentence");
        assert!(said.contains(part), "{shown}: {said}");
        assert_eq!(answer.1.as_object().map(serde_json::Map::len), Some(1));
    }
    for (path, body) in [
        ("/v1/unban", &b"{\"addresses\":[\"1.2.3\"]}"[..]),
        ("/v1/unban", b"{\"every\":true}"),
        ("/v1/reload", b"{\"confirm\":60}"),
        ("/v1/reload", b"true"),
    ] {
        assert_eq!(served.ask(&post(path, body)).await.0, 422, "{path}");
    }
    let deep = "[".repeat(100_000);
    let (status, said) = served.ask(&post("/v1/entries", deep.as_bytes())).await;
    assert_eq!(status, 400, "{said}");
    assert_eq!(served.source.told(), Vec::<String>::new());
    let log = std::fs::read_to_string(served.audit_log()).expect("the audit log");
    assert!(!log.chars().any(|c| c != '\n' && printable::is_obeyed(c)));
}

#[tokio::test]
async fn requests_that_are_not_right_are_refused_with_a_sentence() {
    let served = Served::new();
    let edit = br#"{"list":"deny","add":["192.0.2.7"]}"#;
    let with_type = |kind: &str| {
        let request = String::from_utf8(post("/v1/entries", edit)).expect("text");
        request.replace("application/json", kind).into_bytes()
    };
    let no_type = String::from_utf8(post("/v1/entries", edit)).expect("text");
    let no_type = no_type.replace("content-type: application/json\r\n", "");
    let untyped_reload = "POST /v1/reload HTTP/1.1\r\nhost: g\r\ncontent-length: 2\r\n\r\n{}";
    let cases = [
        (with_type("text/plain"), 415, "content-type"),
        (
            with_type("application/x-www-form-urlencoded"),
            415,
            "content-type",
        ),
        (no_type.into_bytes(), 415, "content-type"),
        (untyped_reload.into(), 415, "content-type"),
        (
            post("/v1/unban", &vec![b' '; (64 << 10) + 1]),
            413,
            "64 KiB",
        ),
        (
            post("/v1/entries", &vec![b' '; (16 << 20) + 1]),
            413,
            "16384 KiB",
        ),
        (get("/v1/nothing"), 404, "/v1/openapi.json"),
        (post("/", b"{}"), 404, "/v1/openapi.json"),
        (get("/v1/entries"), 405, "`allow`"),
        (post("/v1/status", b"{}"), 405, "`allow`"),
        (get("/v1/entries/feed"), 404, "no list `feed`"),
        (get("/v1/entries/%1b%5b2J%0a"), 404, "\\u{1b}[2J\\n"),
        (get("/v1/entries/%ff"), 400, ""),
        (
            get("/v1/explain/192.0.2"),
            400,
            "`192.0.2` is not an IP address",
        ),
        (get("/v1/explain/192.0.2.7?port=0"), 400, "behind the `?`"),
        (
            get("/v1/explain/192.0.2.7?port=70000"),
            400,
            "behind the `?`",
        ),
        (
            get("/v1/explain/192.0.2.7?prot=80"),
            400,
            "unknown field `prot`",
        ),
        (get("/v1/status"), 500, "no\\u{1b}[2J kernel"),
    ];
    for (request, status, part) in cases {
        let start = String::from_utf8_lossy(&request[..request.len().min(60)]).into_owned();
        let answer = served.ask(&request).await;
        assert_eq!(answer.0, status, "{start}: {}", answer.1);
        let said = answer.1["error"].as_str().expect("a sentence");
        assert!(said.contains(part), "{start}: {said}");
    }
    assert_eq!(served.source.told(), Vec::<String>::new());
    // What a router refuses is no change.
    let log = std::fs::read_to_string(served.audit_log()).expect("the audit log");
    assert!(
        !log.contains("/v1/status") && !log.contains("\"path\":\"/\""),
        "{log}"
    );
}

#[tokio::test]
async fn what_is_no_http_is_refused_and_what_never_ends_is_cut_off() {
    let served = Served::new();
    let many_headers = "a: b\r\n".repeat(100);
    let long_header = "a".repeat(100_000);
    for (request, status) in [
        ("GET / SSH-2.0\r\n\r\n".to_owned(), "400"),
        ("\u{0}\u{1}\u{2}\r\n\r\n".to_owned(), "400"),
        (format!("GET / HTTP/1.1\r\n{many_headers}\r\n"), "431"),
        (format!("GET / HTTP/1.1\r\na: {long_header}\r\n\r\n"), "431"),
    ] {
        let answer = served.send(request.as_bytes()).await;
        let answer = String::from_utf8_lossy(&answer).into_owned();
        assert!(
            answer.starts_with(&format!("HTTP/1.1 {status} ")),
            "{answer}"
        );
    }
    let chunked = "POST /v1/entries HTTP/1.1\r\nhost: g\r\ncontent-type: application/json\r\n\
                   transfer-encoding: chunked\r\n\r\n1\r\n{\r\n";
    let truncated = &post("/v1/entries", b"{\"list\":\"deny\"}")[..108];
    let started = Instant::now();
    let answers: [Vec<u8>; 4] = tokio::join!(
        served.send(b""),
        served.send(b"GET /v1/status HTTP/1.1\r\nhost: g\r\n"),
        served.send(chunked.as_bytes()),
        served.send(truncated),
    )
    .into();
    assert!(answers.iter().all(Vec::is_empty), "{answers:?}");
    assert!(
        started.elapsed() >= Duration::from_secs(4),
        "they had their time"
    );
    assert_eq!(served.source.told(), Vec::<String>::new());
}

#[tokio::test]
async fn a_body_that_breaks_off_changes_nothing() {
    let served = Served::new();
    let request = post("/v1/entries", b"{\"list\":\"deny\"}");
    let answer = served.exchange(&request[..request.len() - 1], true).await;
    let answer = String::from_utf8(answer).expect("text");
    assert!(
        answer.is_empty() || answer.starts_with("HTTP/1.1 400 "),
        "{answer}"
    );
    assert_eq!(served.source.told(), Vec::<String>::new());
}

#[tokio::test]
async fn a_change_that_cannot_be_written_down_is_not_made() {
    let served = Served::new();
    std::fs::create_dir(served.audit_log()).expect("a folder in the way");
    let (status, said) = served.ask(&post("/v1/reload", b"{}")).await;
    assert_eq!(status, 503, "{said}");
    let said = said["error"].as_str().expect("a sentence");
    assert!(
        said.contains("audit.log") && said.contains("make room"),
        "{said}"
    );
    assert_eq!(served.source.told(), Vec::<String>::new());
    // Whoever only asks is answered.
    assert_eq!(served.ask(&get("/v1/bans")).await.0, 200);
}

#[tokio::test]
async fn what_brings_service_back_waits_for_no_disk() {
    let folder = tempfile::tempdir().expect("a folder");
    let gate = Gate::new(Audit::new(&folder.path().join("missing")));
    let rescue = Change {
        needs_audit: false,
        ..Change::USUAL
    };
    let handler = change::guarded(axum::routing::post(async || "saved"), &gate, rescue);
    let router = Router::new().route("/v1/rescue", handler);
    assert_eq!(
        of_peer(router, "/v1/rescue", true).await,
        (200, "saved".to_owned())
    );
}

#[tokio::test]
async fn whom_the_socket_is_not_for_changes_nothing_and_reads() {
    let folder = tempfile::tempdir().expect("a folder");
    let source = Arc::new(Fake::default());
    let gate = Gate::new(Audit::new(folder.path()));
    let router = control(Arc::clone(&source), &gate);
    let (status, said) = of_peer(router.clone(), "/v1/reload", false).await;
    assert_eq!(status, 403, "{said}");
    assert!(said.contains("ask as one of them"), "{said}");
    assert_eq!(of_peer(router, "/v1/reload", true).await.0, 200);
    assert_eq!(source.told(), ["reload"]);
    let log = std::fs::read_to_string(folder.path().join("audit.log")).expect("the audit log");
    let events: Vec<Value> = log
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).expect("JSON")["event"].clone())
        .collect();
    assert_eq!(events, ["refused", "request", "outcome"]);
}

/// What a POST to `path` is answered that comes from somebody who may, or may not, change something.
async fn of_peer(router: Router, path: &str, may_change: bool) -> (u16, String) {
    let peer = Peer {
        uid: 12_345,
        gid: 12_345,
        pid: None,
        may_change,
    };
    let router = TowerToHyperService::new(router.layer(axum::Extension(peer)));
    let request = hyper::Request::post(path).body(Body::empty());
    let response = router.call(request.expect("a request")).await;
    let response: Response = response.expect("an answer");
    let status = response.status().as_u16();
    let body = response.into_body().collect().await.expect("a body");
    let body = String::from_utf8(body.to_bytes().to_vec());
    (status, body.expect("text"))
}
