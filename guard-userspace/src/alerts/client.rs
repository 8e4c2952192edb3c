//! One request to a receiver that may be down, slow or hostile.

use std::{
    error::Error as _,
    net::ToSocketAddrs as _,
    sync::{Arc, OnceLock},
    thread,
    time::Duration,
};

use reqwest::{
    Client, Response, StatusCode,
    dns::{Addrs, Name, Resolve, Resolving},
    header::CONTENT_TYPE,
    redirect::Policy,
};
use tokio::sync::{Semaphore, oneshot};

use crate::config::{Receiver, units};

/// Time to connect.
const CONNECT: Duration = Duration::from_secs(2);
/// Time for the whole request, the answer's body included.
const WHOLE: Duration = Duration::from_secs(10);
/// Bytes of an answer that are read.
const ANSWER: usize = 4 << 10;
/// Characters that are shown of what others say.
const SHOWN: usize = 200;
/// The stack of the thread that looks up a name.
const STACK: usize = 256 << 10;

/// Why a message is not delivered.
#[derive(Debug)]
pub(super) enum Failure {
    /// It is to be tried again.
    Later(String),
    /// The receiver says that the message is wrong.
    Refused(String),
}

/// Clients, each made when it is needed first: certificates take memory.
#[derive(Debug, Default)]
pub(super) struct Clients {
    plain: OnceLock<Client>,
    secure: OnceLock<Client>,
}

impl Clients {
    /// Sends a message to a receiver, and waits for its answer.
    pub(super) async fn post(&self, receiver: &Receiver, body: String) -> Result<(), Failure> {
        let client = self.client(receiver.webhook.is_secure())?;
        let mut request = client
            .post(receiver.webhook.url().clone())
            .header(CONTENT_TYPE, "application/json")
            .body(body);
        if let Some(token) = receiver.token().map_err(Failure::Later)? {
            request = request.bearer_auth(token);
        }
        let mut answer = request.send().await.map_err(|error| later(&error))?;
        let status = answer.status();
        let said = said(&mut answer).await;
        judge(status, &said)
    }

    fn client(&self, is_secure: bool) -> Result<&Client, Failure> {
        let cell = if is_secure { &self.secure } else { &self.plain };
        if let Some(client) = cell.get() {
            return Ok(client);
        }
        let client = build(is_secure).map_err(|error| later(&error))?;
        Ok(cell.get_or_init(|| client))
    }
}

fn build(is_secure: bool) -> reqwest::Result<Client> {
    Client::builder()
        .user_agent(concat!("guard/", env!("CARGO_PKG_VERSION")))
        .connect_timeout(CONNECT)
        .timeout(WHOLE)
        // A message must not end up where nobody has sent it, nor become a GET on the way.
        .redirect(Policy::none())
        .no_proxy()
        .http1_only()
        .pool_max_idle_per_host(0)
        .tls_built_in_root_certs(is_secure)
        .dns_resolver(Arc::new(Resolver::default()))
        .build()
}

/// What the answer's body begins with. It is for people only.
async fn said(answer: &mut Response) -> String {
    let mut said = Vec::new();
    while said.len() < ANSWER {
        match answer.chunk().await {
            Ok(Some(chunk)) => said.extend_from_slice(&chunk[..chunk.len().min(ANSWER)]),
            // The status has come, which is what counts.
            Ok(None) | Err(_) => break,
        }
    }
    said.truncate(ANSWER);
    units::excerpt(String::from_utf8_lossy(&said).trim(), SHOWN)
}

fn judge(status: StatusCode, said: &str) -> Result<(), Failure> {
    if status.is_success() {
        return Ok(());
    }
    let code = status.as_u16();
    let failure = match code {
        300..=399 => {
            return Err(Failure::Later(format!(
                "it redirects ({code}), and redirects are not followed: configure where it leads to"
            )));
        }
        401 | 403 => format!("it wants other credentials ({code}): see `token_file`"),
        404 | 405 => format!("there is nothing that takes alerts ({code}): see `webhook`"),
        _ => format!("it answers {code}"),
    };
    let why = if said.is_empty() {
        failure
    } else {
        format!("{failure}: {said}")
    };
    match code {
        // May be mended by whoever runs the receiver, or this agent.
        401 | 403 | 404 | 405 | 408 | 425 | 429 => Err(Failure::Later(why)),
        400..=499 => Err(Failure::Refused(why)),
        _ => Err(Failure::Later(why)),
    }
}

/// An error of the client, without the address, which may hold a secret.
fn later(error: &reqwest::Error) -> Failure {
    if error.is_timeout() {
        return Failure::Later(if error.is_connect() {
            format!("no connection in {} s", CONNECT.as_secs())
        } else {
            format!("no answer in {} s", WHOLE.as_secs())
        });
    }
    let mut cause = error.source();
    let mut why = String::new();
    while let Some(inner) = cause {
        why = inner.to_string();
        cause = inner.source();
    }
    if why.is_empty() {
        "it cannot be asked".clone_into(&mut why);
    }
    Failure::Later(units::excerpt(&why, SHOWN))
}

/// Looks names up on a thread that ends with the look-up: the system's resolver may take half a
/// minute, and neither the loop nor the end of the agent is to wait for it. One look-up at a time.
#[derive(Debug)]
struct Resolver {
    free: Arc<Semaphore>,
}

impl Default for Resolver {
    fn default() -> Self {
        Self {
            free: Arc::new(Semaphore::new(1)),
        }
    }
}

impl Resolve for Resolver {
    fn resolve(&self, name: Name) -> Resolving {
        let free = Arc::clone(&self.free);
        Box::pin(async move {
            let permit = free.acquire_owned().await?;
            let (tell, told) = oneshot::channel();
            thread::Builder::new()
                .name("guard-lookup".to_owned())
                .stack_size(STACK)
                .spawn(move || {
                    let found = (name.as_str(), 0).to_socket_addrs();
                    // Whoever asked may have given up.
                    let _ = tell.send(found.map(Iterator::collect::<Vec<_>>));
                    drop(permit);
                })?;
            let found = told.await??;
            Ok(Box::new(found.into_iter()) as Addrs)
        })
    }
}

#[cfg(test)]
mod tests;
