//! What follows from what both sides have said: the table of transitions in `docs/ENCRYPTION.md`.

use super::{Outcome, speech::Speech};
use crate::protocol::Protocol;

/// How far a connection has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Stage {
    /// Each side's very first bytes decide.
    First = 0,
    /// They take turns, and the first bytes of each turn decide: lines of mail protocols, and
    /// whatever precedes or follows a request for TLS.
    Turns = 1,
}

/// What a search of the answer's first kilobytes came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Told {
    /// Nothing so far.
    NotYet = 0,
    /// It holds what was searched for.
    Yes = 1,
    /// All of it was searched in vain.
    No = 2,
}

/// What both sides have said, and where.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Course {
    /// How far they have come.
    pub stage: Stage,
    /// What is spoken.
    pub protocol: Protocol,
    /// What the client says.
    pub client: Speech,
    /// What the server answers to that; [`Speech::Pending`] while it has not.
    pub server: Speech,
    /// What the answer's text told.
    pub told: Told,
}

/// What is to be done now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Wait for more.
    Stay,
    /// From here on they take turns.
    TakeTurns,
    /// Nothing can change it any more.
    Is(Outcome),
}

impl Course {
    /// What follows.
    #[inline(always)]
    #[must_use]
    pub const fn step(self) -> Step {
        match self.stage {
            Stage::First => self.first(),
            Stage::Turns => self.turns(),
        }
    }

    #[inline(always)]
    const fn first(self) -> Step {
        use Speech as S;
        match (self.client, self.server) {
            (S::Tls | S::OldTls, S::Tls | S::Alert) | (S::Ssh, S::Ssh) => {
                Step::Is(Outcome::Encrypted)
            }
            (S::PostgresTls | S::MysqlTls | S::Mysql, _)
            | (S::Connect, S::HttpOk)
            | (
                S::Hello | S::StartTls | S::Command,
                S::Greeting220 | S::GreetingPop | S::GreetingImap,
            ) => Step::TakeTurns,
            // That is no answer to a request of HTTP/1.
            (S::Http1 | S::Connect, S::Http2Settings) => Step::Is(Outcome::PlaintextAttempt),
            (S::Http1 | S::Http2 | S::Connect, _) => self.http(),
            (S::Redis, S::RedisReply) | (S::Postgres, S::PostgresReply) => {
                Step::Is(Outcome::PlaintextServed)
            }
            (S::Postgres, S::PostgresError) | (S::Redis | S::Postgres, S::Alert) => {
                Step::Is(Outcome::Rejected)
            }
            (S::Pending | S::Proxy1 | S::Proxy2 | S::LineBreak, _)
            | (_, S::Pending | S::Warning) => Step::Stay,
            (S::Redis | S::Postgres | S::Hello | S::StartTls | S::Command, _) => {
                Step::Is(Outcome::PlaintextAttempt)
            }
            _ => Step::Is(Outcome::Unknown),
        }
    }

    #[inline(always)]
    const fn turns(self) -> Step {
        use Speech as S;
        match (self.client, self.server) {
            (S::Tls, S::Tls | S::Alert) | (S::Ssh, S::Ssh) => Step::Is(Outcome::Encrypted),
            // They may go on with lines of which we know nothing.
            (_, S::Pending | S::Warning)
            | (S::Unknown, S::Reply)
            | (
                S::Pending | S::Hello | S::StartTls | S::Connect | S::PostgresTls | S::MysqlTls,
                _,
            ) => Step::Stay,
            (S::Http1 | S::Http2, _) => self.http(),
            (S::Command, _)
            | (S::Postgres, S::PostgresReply)
            | (S::Mysql, S::MysqlReply)
            | (S::Redis, S::RedisReply) => Step::Is(Outcome::PlaintextServed),
            (S::Postgres, S::PostgresError | S::Alert)
            | (S::Mysql, S::MysqlError | S::Alert)
            | (S::Redis, S::Alert) => Step::Is(Outcome::Rejected),
            _ => Step::Is(Outcome::Unknown),
        }
    }

    /// What an answer to a request of HTTP means.
    #[inline(always)]
    const fn http(self) -> Step {
        use Speech as S;
        let told = match self.told {
            Told::NotYet => None,
            Told::Yes => Some(true),
            Told::No => Some(false),
        };
        match (self.server, told) {
            (S::Pending | S::Warning, _)
            | (S::HttpBad | S::HttpMoved | S::HttpSwitch | S::Http2Settings, None) => Step::Stay,
            (S::Alert, _) | (S::HttpBad, Some(true)) => Step::Is(Outcome::Rejected),
            (S::HttpMoved, Some(true)) => Step::Is(Outcome::Redirected),
            (
                S::HttpOk
                | S::HttpOther
                | S::HttpBad
                | S::HttpMoved
                | S::HttpSwitch
                | S::Http2Settings,
                _,
            ) => Step::Is(Outcome::PlaintextServed),
            // The server speaks something else, so nothing was served.
            _ => Step::Is(Outcome::PlaintextAttempt),
        }
    }

    /// What it was, when it ends here.
    #[inline(always)]
    #[must_use]
    pub const fn ending(self, how: Ending) -> Outcome {
        use Speech as S;
        let is_answered = matches!(
            self.server,
            S::HttpBad | S::HttpMoved | S::HttpSwitch | S::Http2Settings
        );
        match (self.stage, self.client) {
            _ if !how.anybody_spoke => Outcome::Empty,
            (Stage::First | Stage::Turns, S::Http1 | S::Http2) if is_answered => {
                Outcome::PlaintextServed
            }
            (_, S::Http1 | S::Http2 | S::Redis | S::Postgres | S::Mysql)
            | (Stage::First, S::Connect | S::Hello | S::Command | S::StartTls) => {
                if how.server_reset {
                    Outcome::Rejected
                } else {
                    Outcome::PlaintextAttempt
                }
            }
            // A tunnel was opened, or lines went to and fro, and nobody spoke TLS.
            (Stage::Turns, S::Connect) => Outcome::PlaintextServed,
            (Stage::Turns, S::Hello | S::Command | S::Unknown)
                if self.protocol.is_mail() && how.answered =>
            {
                Outcome::PlaintextServed
            }
            (Stage::Turns, S::Hello | S::Command) => Outcome::PlaintextAttempt,
            _ => Outcome::Unknown,
        }
    }
}

/// How a connection ends.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Ending {
    /// One of them said something.
    pub anybody_spoke: bool,
    /// The server has answered a line of the client.
    pub answered: bool,
    /// The server broke it off before it said anything.
    pub server_reset: bool,
}
