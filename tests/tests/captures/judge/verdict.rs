//! What a connection is, by what tshark found in it.

use guard_common::connection::Outcome;

use super::{plain::Plain, stream::Stream};

impl Stream {
    /// What it is, whether its start was seen or not.
    pub(crate) fn content(&self) -> Outcome {
        let (client, server) = (&self.from_client, &self.from_server);
        if client.payload + server.payload == 0 {
            Outcome::Empty
        } else if client.tls && server.tls || client.ssh && server.ssh {
            Outcome::Encrypted
        } else if !self.answers.is_empty() {
            self.by_answers()
        } else if self.requests.is_empty() {
            Outcome::Unknown
        } else if self.is_rejected() {
            Outcome::Rejected
        } else if server.payload == 0 || !self.responses.is_empty() {
            // A greeting before the request is no answer to it.
            Outcome::PlaintextAttempt
        } else {
            Outcome::Unknown
        }
    }

    /// Only where nothing else was served is a connection refused or sent on.
    fn by_answers(&self) -> Outcome {
        let is_all = |count| count > 0 && count == self.http.responses;
        if self.answers.iter().any(|answer| *answer != Plain::Http) {
            Outcome::PlaintextServed
        } else if is_all(self.http.redirects) {
            Outcome::Redirected
        } else if is_all(self.http.refusals) {
            Outcome::Rejected
        } else {
            Outcome::PlaintextServed
        }
    }

    /// Whether HTTP was answered by an alert or, instead of any payload, by RST.
    fn is_rejected(&self) -> bool {
        let server = &self.from_server;
        let is_aborted = self.rst_after_request && server.payload == 0;
        self.requests.contains(&Plain::Http) && (server.alert || is_aborted)
    }
}
