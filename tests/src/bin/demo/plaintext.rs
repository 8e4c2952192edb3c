//! The client that sends its token in clear.

use std::{fs::File, io::Read as _, net::IpAddr, time::Duration};

use anyhow::Result;
use lab::{
    agent::{Agent, field},
    curl::{Curl, Outcome},
};
use serde_json::Value;

use crate::{
    interrupt::Interrupt,
    scene::{PLAIN_CLIENT, PLAIN_PORT, SERVER, Scene},
};

/// How often the log is looked at, and how often at most.
const POLL: Duration = Duration::from_millis(100);
const POLLS: u32 = 50;

const PATH: &str = "/v1/orders";

pub(crate) struct Plaintext {
    pub(crate) answer: Outcome,
    /// The secret nobody may repeat.
    pub(crate) token: String,
    /// The agent's own words about it.
    pub(crate) event: Option<Value>,
}

impl Plaintext {
    /// Sends the request and waits until the agent has something to say about it.
    pub(crate) fn send(scene: &Scene, agent: &Agent, interrupt: &Interrupt) -> Result<Self> {
        let token = random_token()?;
        say!("$ curl -H 'Authorization: Bearer <random>' http://{SERVER}:{PLAIN_PORT}{PATH}");
        let answer = Curl::new(scene.client.namespace())
            .from(IpAddr::V4(PLAIN_CLIENT))
            .header(&format!("Authorization: Bearer {token}"))
            .http(IpAddr::V4(SERVER), PLAIN_PORT, PATH)?;
        say!("the server answered {}", answer.status);
        let mut event = event_about_it(agent);
        for _ in 0..POLLS {
            if event.is_some() {
                break;
            }
            interrupt.sleep(POLL)?;
            event = event_about_it(agent);
        }
        Ok(Self {
            answer,
            token,
            event,
        })
    }

    /// Whether the event says what was asked for and that a token came with it.
    pub(crate) fn is_described(&self) -> bool {
        let says = |name, word: &str| {
            let value = self
                .event
                .as_ref()
                .and_then(|event| field(event, name)?.as_str());
            value.is_some_and(|value| value.to_lowercase().contains(word))
        };
        says("request", PATH) && says("credentials", "bearer")
    }
}

fn event_about_it(agent: &Agent) -> Option<Value> {
    let source = PLAIN_CLIENT.to_string();
    let log = agent.log();
    let mut events = log.with("event", "plaintext");
    events.find(|event| field(event, "source").is_some_and(|own| *own == source))
}

fn random_token() -> Result<String> {
    let mut bytes = [0; 16];
    File::open("/dev/urandom")?.read_exact(&mut bytes)?;
    Ok(format!("{:032x}", u128::from_ne_bytes(bytes)))
}
