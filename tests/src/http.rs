//! The smallest HTTP client there is, for a server inside a namespace.

use std::{
    io::{Read as _, Write as _},
    net::{SocketAddr, TcpStream},
    time::Duration,
};

use anyhow::{Context as _, Result};

use crate::Namespace;

const TIMEOUT: Duration = Duration::from_secs(20);

/// A server's answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Response {
    /// The status code.
    pub status: u16,
    /// What came after the headers.
    pub body: String,
}

/// Fetches `path` from `server`, as a client inside `namespace`.
pub fn get(namespace: &Namespace, server: SocketAddr, path: &str) -> Result<Response> {
    let text = namespace
        .run(|| exchange(server, path))
        .with_context(|| format!("cannot fetch http://{server}{path} in {}", namespace.name()))?;
    parse(&text).with_context(|| format!("http://{server}{path} answered `{text}`"))
}

fn exchange(server: SocketAddr, path: &str) -> Result<String> {
    let mut stream = TcpStream::connect_timeout(&server, TIMEOUT)?;
    stream.set_read_timeout(Some(TIMEOUT))?;
    stream.write_all(format!("GET {path} HTTP/1.0\r\nHost: {server}\r\n\r\n").as_bytes())?;
    let mut text = String::new();
    stream.read_to_string(&mut text)?;
    Ok(text)
}

pub(crate) fn parse(text: &str) -> Result<Response> {
    let (head, body) = text.split_once("\r\n\r\n").context("no end of headers")?;
    let status = head
        .split_whitespace()
        .nth(1)
        .context("no status")?
        .parse()?;
    Ok(Response {
        status,
        body: body.to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_status_and_body() {
        let answer =
            parse("HTTP/1.0 503 Service Unavailable\r\nA: b\r\n\r\nnot yet").expect("HTTP");
        assert_eq!(
            answer,
            Response {
                status: 503,
                body: "not yet".into()
            }
        );
        assert!(parse("SSH-2.0-x\r\n\r\n").is_err());
    }
}
