//! Delivery, to real servers that do what they should or anything else.

mod server;

use std::{
    fs,
    net::TcpListener,
    time::{Duration, Instant},
};

use tempfile::TempDir;
use tokio::time::{sleep, timeout};

use self::server::{Behaviour, Server};
use super::{
    message::Alert,
    rule::{Rule, Severity},
    testing::status as snapshot,
    *,
};
use crate::config::{Config, Receiver};

/// Long enough for whatever comes at all.
const PATIENCE: Duration = Duration::from_secs(30);

fn folder() -> TempDir {
    tempfile::tempdir().expect("a temporary folder")
}

fn receivers(text: &str) -> Vec<Receiver> {
    let config = Config::parse("guard.toml", text).expect("a configuration");
    config.alerts
}

/// A receiver of the own format.
fn json_to(port: u16) -> Vec<Receiver> {
    receivers(&format!(
        "[[alert]]\nwebhook = \"http://127.0.0.1:{port}/hook\"\nformat = \"json\""
    ))
}

/// An agent that was well, and is not pinned any more: the cause of one alert.
fn raise(alerts: &Alerts) {
    alerts.observe(&snapshot());
    let mut degraded = snapshot();
    degraded.pinned = false;
    alerts.observe(&degraded);
}

fn message(id: &str) -> Message {
    Message {
        id: id.to_owned(),
        rule: Rule::Flood,
        made_ms: 1,
        keeps_alive: false,
        alerts: vec![Alert {
            severity: Severity::Warning,
            labels: BTreeMap::new(),
            summary: "flood".to_owned(),
            description: String::new(),
            action: String::new(),
            sources: Vec::new(),
            started_ms: 1,
            ended_ms: None,
        }],
    }
}

fn send(alerts: &Alerts, id: &str) {
    let mut running = alerts.lock();
    running.as_mut().expect("receivers").send(message(id));
}

fn status(alerts: &Alerts) -> AlertStatus {
    alerts.status().expect("receivers")
}

async fn wait_until(alerts: &Alerts, what: &str, done: impl Fn(&AlertStatus) -> bool) {
    let wait = async {
        while !done(&status(alerts)) {
            sleep(Duration::from_millis(10)).await;
        }
    };
    let waited = timeout(PATIENCE, wait).await;
    assert!(waited.is_ok(), "{what} took too long: {:?}", status(alerts));
}

#[tokio::test]
async fn an_alert_reaches_its_receivers_once_each_in_its_format() {
    let (own, manager) = (Server::start(Behaviour::Ok), Server::start(Behaviour::Ok));
    let folder = folder();
    let alerts = Alerts::new(folder.path());
    assert!(!alerts.are_wanted());
    alerts.configure(&receivers(&format!(
        "[[alert]]\nwebhook = \"http://127.0.0.1:{}/hook\"\nformat = \"json\"\n\
         [[alert]]\nwebhook = \"http://127.0.0.1:{}/api/v2/alerts\"\nformat = \"alertmanager\"\n\
         [[alert]]\nwebhook = \"http://127.0.0.1:{}/other\"\nformat = \"json\"\nrules = [\"ban\"]",
        own.port, manager.port, own.port
    )));
    assert!(alerts.are_wanted());
    raise(&alerts);
    wait_until(&alerts, "delivery", |status| status.queue == 0).await;
    let (asked, of_manager) = (own.asked(), manager.asked());
    assert_eq!((asked.len(), of_manager.len()), (1, 1));
    assert!(
        asked[0].head.starts_with("POST /hook HTTP/1.1\r\n"),
        "{asked:?}"
    );
    assert!(
        asked[0].head.contains("content-type: application/json"),
        "{asked:?}"
    );
    assert!(asked[0].head.contains("user-agent: guard/"), "{asked:?}");
    let body: serde_json::Value = serde_json::from_str(&asked[0].body).expect("JSON");
    assert_eq!(body["rule"], "agent_degraded");
    assert_eq!(body["alerts"][0]["labels"]["what"], "not_pinned");
    let body: serde_json::Value = serde_json::from_str(&of_manager[0].body).expect("JSON");
    assert_eq!(body[0]["labels"]["alertname"], "GuardAgentDegraded");
    let status = status(&alerts);
    assert_eq!(
        (status.delivered, status.failed, status.active.len()),
        (2, 0, 1)
    );
}

#[tokio::test]
async fn what_is_down_gets_everything_in_order_when_it_is_up() {
    // A port that nobody listens on for now.
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = listener.local_addr().expect("an address").port();
    drop(listener);
    let folder = folder();
    let alerts = Alerts::new(folder.path());
    alerts.configure(&json_to(port));
    for id in ["1", "2", "3"] {
        send(&alerts, id);
    }
    wait_until(&alerts, "a failure", |status| status.failed > 0).await;
    let failing = status(&alerts).receivers[0].failing.clone();
    assert!(
        failing.is_some_and(|why| why.contains("refused")),
        "{:?}",
        status(&alerts)
    );
    assert_eq!(status(&alerts).queue, 3);
    // The agent ends, and another one starts.
    drop(alerts);
    let alerts = Alerts::new(folder.path());
    alerts.configure(&json_to(port));
    let server = Server::start_on(port, Behaviour::Ok);
    wait_until(&alerts, "delivery", |status| status.queue == 0).await;
    assert_eq!(server.ids(), ["1", "2", "3"]);
    assert_eq!(status(&alerts).receivers[0].failing, None);
}

/// Behaviour, how the answer counts, and what is said of it; nothing where it is taken.
const HOSTILE: &[(Behaviour, Option<&str>)] = &[
    (Behaviour::Closes, Some("")),
    (Behaviour::Garbage, Some("")),
    (Behaviour::Endless { head: true }, Some("")),
    (Behaviour::Endless { head: false }, None),
    (Behaviour::Answers("500 Oops"), Some("it answers 500")),
    // What a terminal would obey is shown as what it is.
    (
        Behaviour::Answers("503 Oops\r\ncontent-length: 4\r\n\r\n\x1b[2J"),
        Some("it answers 503: \\u{1b}[2J"),
    ),
    (
        Behaviour::Answers("302 Found\r\nlocation: http://127.0.0.1:1/"),
        Some("redirects"),
    ),
    (
        Behaviour::Answers("308 Moved\r\nlocation: /hook2"),
        Some("redirects"),
    ),
    (
        Behaviour::Answers("200 OK\r\ncontent-length: 99999999999"),
        None,
    ),
    (
        Behaviour::Answers("200 OK\r\ntransfer-encoding: chunked\r\n\r\nzzz"),
        None,
    ),
];

#[tokio::test]
async fn whatever_a_receiver_does_another_gets_its_alerts_and_the_loop_goes_on() {
    for (behaviour, said) in HOSTILE {
        let (hostile, good) = (Server::start(*behaviour), Server::start(Behaviour::Ok));
        let folder = folder();
        let alerts = Alerts::new(folder.path());
        let both = [json_to(hostile.port), json_to(good.port)].concat();
        alerts.configure(&both);
        let start = Instant::now();
        for id in ["1", "2"] {
            send(&alerts, id);
        }
        wait_until(&alerts, "the good one", |status| {
            status.receivers[1].delivered == 2
        })
        .await;
        assert!(start.elapsed() < PATIENCE);
        match said {
            None => {
                wait_until(&alerts, "the hostile one", |status| status.queue == 0).await;
            }
            Some(said) => {
                wait_until(&alerts, "a failure", |status| status.failed > 0).await;
                let failing = status(&alerts).receivers[0].failing.clone();
                let failing = failing.unwrap_or_default();
                assert!(failing.contains(said), "{behaviour:?}: {failing}");
                assert!(!failing.contains("/hook"), "{failing}");
                assert_eq!(status(&alerts).queue, 2, "nothing is lost");
            }
        }
    }
}

#[tokio::test]
async fn a_receiver_that_never_answers_is_asked_once_at_a_time_and_holds_up_nobody() {
    let (silent, good) = (
        Server::start(Behaviour::Silent),
        Server::start(Behaviour::Ok),
    );
    let folder = folder();
    let alerts = Alerts::new(folder.path());
    alerts.configure(&[json_to(silent.port), json_to(good.port)].concat());
    for id in 0..50 {
        send(&alerts, &id.to_string());
    }
    wait_until(&alerts, "the good one", |status| {
        status.receivers[1].delivered == 50
    })
    .await;
    assert_eq!(silent.connections(), 1, "one request at a time");
    wait_until(&alerts, "the end of patience", |status| status.failed > 0).await;
    let failing = status(&alerts).receivers[0].failing.clone();
    assert_eq!(failing.as_deref(), Some("no answer in 10 s"));
    assert_eq!(status(&alerts).receivers[0].waiting, 50);
}

#[tokio::test]
async fn what_a_receiver_takes_for_wrong_is_dropped_and_the_next_is_sent() {
    let server = Server::start(Behaviour::Answers(
        "400 Bad Request\r\ncontent-length: 4\r\n\r\n\x1b[2J",
    ));
    let folder = folder();
    let alerts = Alerts::new(folder.path());
    alerts.configure(&json_to(server.port));
    send(&alerts, "1");
    send(&alerts, "2");
    wait_until(&alerts, "an answer", |status| status.queue == 0).await;
    assert_eq!(server.ids(), ["1", "2"]);
    let status = status(&alerts);
    assert_eq!(
        (status.refused, status.delivered, status.dropped["refused"]),
        (2, 0, 2)
    );
}

#[tokio::test]
async fn a_reload_that_mends_the_address_loses_nothing() {
    let wrong = Server::start(Behaviour::Answers("404 Not Found"));
    let right = Server::start(Behaviour::Ok);
    let folder = folder();
    let alerts = Alerts::new(folder.path());
    alerts.configure(&json_to(wrong.port));
    send(&alerts, "1");
    send(&alerts, "2");
    wait_until(&alerts, "a failure", |status| status.failed > 0).await;
    alerts.configure(&json_to(right.port));
    wait_until(&alerts, "delivery", |status| status.queue == 0).await;
    assert_eq!(right.ids(), ["1", "2"]);
    assert!(status(&alerts).failed > 0, "counts stay");
    // Nobody is told any more.
    send(&alerts, "3");
    alerts.configure(&[]);
    assert!(alerts.status().is_none() && !alerts.are_wanted());
}

#[tokio::test]
async fn a_reload_is_a_reason_to_try_again_at_once() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = listener.local_addr().expect("an address").port();
    drop(listener);
    let folder = folder();
    let alerts = Alerts::new(folder.path());
    alerts.configure(&json_to(port));
    send(&alerts, "1");
    // By now a pause is seconds long.
    wait_until(&alerts, "failures", |status| status.failed >= 4).await;
    let server = Server::start_on(port, Behaviour::Ok);
    alerts.configure(&json_to(port));
    wait_until(&alerts, "delivery", |status| status.queue == 0).await;
    assert_eq!(server.ids(), ["1"]);
}

#[tokio::test]
async fn a_token_goes_with_each_request_as_it_is_then() {
    let server = Server::start(Behaviour::Ok);
    let folder = folder();
    let file = folder.path().join("token");
    fs::write(&file, "first-4711\n").expect("written");
    let alerts = Alerts::new(folder.path());
    alerts.configure(&receivers(&format!(
        "[[alert]]\nwebhook = \"http://user:pass-4711@127.0.0.1:{}/hook\"\nformat = \"json\"\n\
         token_file = \"{}\"",
        server.port,
        file.display()
    )));
    for (id, token) in [("1", "first-4711"), ("2", "second-4711")] {
        fs::write(&file, token).expect("written");
        send(&alerts, id);
        wait_until(&alerts, "delivery", |status| status.queue == 0).await;
        let asked = server.asked().pop().expect("a request");
        let header = format!("authorization: Bearer {token}\r\n");
        assert!(asked.head.contains(&header), "{asked:?}");
    }
    fs::remove_file(&file).expect("removed");
    send(&alerts, "3");
    wait_until(&alerts, "a failure", |status| status.failed > 0).await;
    let said = format!("{:?}", status(&alerts));
    assert!(said.contains("there is no file"), "{said}");
    assert!(!said.contains("4711") && !said.contains("/hook"), "{said}");
}

#[tokio::test]
async fn what_goes_on_is_told_again_to_alertmanager_only_and_not_while_it_has_not_heard_of_it() {
    let (own, manager) = (Server::start(Behaviour::Ok), Server::start(Behaviour::Ok));
    let folder = folder();
    let alerts = Alerts::new(folder.path());
    alerts.configure(&receivers(&format!(
        "[[alert]]\nwebhook = \"http://127.0.0.1:{}/hook\"\nformat = \"json\"\n\
         [[alert]]\nwebhook = \"http://127.0.0.1:{}/api/v2/alerts\"\nformat = \"alertmanager\"",
        own.port, manager.port
    )));
    let alive = |id: &str| Message {
        keeps_alive: true,
        ..message(id)
    };
    {
        let mut running = alerts.lock();
        let running = running.as_mut().expect("receivers");
        running.send(message("1"));
        // No task has run yet, so it waits.
        running.send(alive("2"));
    }
    wait_until(&alerts, "delivery", |status| status.queue == 0).await;
    alerts.lock().as_mut().expect("receivers").send(alive("3"));
    wait_until(&alerts, "delivery", |status| status.queue == 0).await;
    assert_eq!(own.ids(), ["1"]);
    assert_eq!(manager.asked().len(), 2);
}

#[tokio::test]
async fn the_next_agent_resolves_what_this_one_has_told() {
    let server = Server::start(Behaviour::Ok);
    let folder = folder();
    let alerts = Alerts::new(folder.path());
    alerts.configure(&json_to(server.port));
    raise(&alerts);
    wait_until(&alerts, "delivery", |status| status.queue == 0).await;
    drop(alerts);
    let alerts = Alerts::new(folder.path());
    alerts.configure(&json_to(server.port));
    assert_eq!(status(&alerts).active.len(), 1);
    let resolve = async {
        while server.asked().len() < 2 {
            alerts.observe(&snapshot());
            sleep(Duration::from_millis(100)).await;
        }
    };
    timeout(PATIENCE, resolve).await.expect("it ends");
    let bodies = server.asked();
    let body: serde_json::Value = serde_json::from_str(&bodies[1].body).expect("JSON");
    assert_eq!(body["status"], "resolved");
    assert_eq!(body["alerts"][0]["labels"]["what"], "not_pinned");
}

#[tokio::test]
async fn what_is_kept_of_alerts_that_are_on_may_be_anything() {
    for wrong in ["", "{}", "[{\"rule\":\"x\"}]", "\0\0", "a pipe"] {
        let folder = folder();
        let file = folder.path().join(ACTIVE_FILE);
        match wrong {
            // Which nobody ever writes to.
            "a pipe" => nix::unistd::mkfifo(&file, nix::sys::stat::Mode::S_IRWXU).expect("a pipe"),
            _ => fs::write(&file, wrong).expect("written"),
        }
        let alerts = Alerts::new(folder.path());
        alerts.configure(&json_to(1));
        assert_eq!(status(&alerts).active.len(), 0);
        assert!(folder.path().join(format!("{ACTIVE_FILE}.broken")).exists());
    }
}
