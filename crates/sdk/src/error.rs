//! What can go wrong, and what to do about it: the retry policy lives with the error, not at its callers.
//!
//! **Invariant:** [`Error::code`] is stable: the server's own codes as they are, plus the few of this crate.

use std::fmt;
use std::time::Duration;

use skein_protocol::{Advice, CloseCode, ErrorCode, v1};

/// What a caller does with a request that failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Retry {
    /// The server was not reached, or the connection went away: send it again once connected, with the same key.
    Network,
    /// Send it again with the same key, not before this time.
    After(Duration),
    /// The outcome is unknown or the order was wrong: send it again with the same key.
    SameKey,
    /// The same request fails again.
    Never,
}

/// Pause when the server asks for one without saying how long.
const PAUSE_DEFAULT: Duration = Duration::from_secs(1);

#[derive(Clone, Debug, thiserror::Error)]
pub enum Error {
    /// The server said no; over HTTP and over a connection alike.
    #[error("{code}: {message}")]
    Refused {
        code: String,
        message: String,
        /// 0: not said.
        retry_after_ms: i64,
        /// Finds the request in the server's log.
        trace: String,
    },
    #[error("server not reached: {0}")]
    Network(String),
    #[error("no answer in time")]
    Timeout,
    #[error("connection closed: {0}")]
    Closed(CloseReason),
    #[error("not connected")]
    NotConnected,
    #[error("not logged in")]
    NotLoggedIn,
    #[error("{0:?} is not an address of a server")]
    BadAddress(String),
    /// The server said something that is not the protocol.
    #[error("server broke the protocol: {0}")]
    Protocol(String),
    #[error("local store: {0}")]
    Store(String),
    /// One store serves one client at a time.
    #[error("local store is in use by another process")]
    StoreInUse,
    /// The store keeps the history of one account.
    #[error("local store belongs to the account {0}")]
    StoreOfAnother(i64),
    /// As many messages wait to be sent as the outbox takes.
    #[error("outbox is full")]
    OutboxFull,
    #[error("the key is used by another message that waits to be sent")]
    KeyInUse,
    /// The client was closed.
    #[error("client is closed")]
    ClientClosed,
}

impl Error {
    pub fn refused(code: ErrorCode, message: impl Into<String>) -> Self {
        v1::Error::new(code, message).into()
    }

    pub fn code(&self) -> &str {
        match self {
            Error::Refused { code, .. } => code,
            Error::Network(_) => "network",
            Error::Timeout => "timeout",
            Error::Closed(reason) => reason.code.map_or("closed", CloseCode::name),
            Error::NotConnected => "not_connected",
            Error::NotLoggedIn => "not_logged_in",
            Error::BadAddress(_) => "bad_address",
            Error::Protocol(_) => "protocol",
            Error::Store(_) => "store",
            Error::StoreInUse => "store_in_use",
            Error::StoreOfAnother(_) => "store_of_another",
            Error::OutboxFull => "outbox_full",
            Error::KeyInUse => "key_in_use",
            Error::ClientClosed => "client_closed",
        }
    }

    pub fn retry(&self) -> Retry {
        match self {
            Error::Refused { code, retry_after_ms, .. } => retry_of(code, *retry_after_ms),
            Error::Timeout => Retry::SameKey,
            // This side left, for another connection.
            Error::Closed(CloseReason { code: Some(CloseCode::Normal), .. }) => Retry::Network,
            Error::Closed(reason) if reason.advice() == Advice::Stop => Retry::Never,
            Error::Closed(_) | Error::Network(_) | Error::NotConnected => Retry::Network,
            Error::OutboxFull => Retry::After(PAUSE_DEFAULT),
            _ => Retry::Never,
        }
    }

    /// Whether the server refused with this code.
    pub fn is(&self, code: ErrorCode) -> bool {
        matches!(self, Error::Refused { code: said, .. } if said == code.as_str())
    }
}

/// A code of a newer server is treated as `internal`.
fn retry_of(code: &str, retry_after_ms: i64) -> Retry {
    let pause = match u64::try_from(retry_after_ms) {
        Ok(ms @ 1..) => Duration::from_millis(ms),
        _ => PAUSE_DEFAULT,
    };
    match code.parse().unwrap_or(ErrorCode::Internal).retry() {
        skein_protocol::Retry::Never => Retry::Never,
        skein_protocol::Retry::SameKey => Retry::SameKey,
        skein_protocol::Retry::After => Retry::After(pause),
        skein_protocol::Retry::Reconnect => Retry::Network,
    }
}

impl From<v1::Error> for Error {
    fn from(error: v1::Error) -> Self {
        Error::Refused { code: error.code, message: error.message, retry_after_ms: error.retry_after_ms, trace: error.trace }
    }
}

/// Why a connection ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CloseReason {
    /// `None`: lost without a word, or a code of a newer server.
    pub code: Option<CloseCode>,
    /// For people.
    pub text: String,
    /// This side ended it, since what came was not the protocol: a reply over the limit (`too_big`), or rubbish.
    pub is_broken: bool,
}

impl CloseReason {
    pub(crate) fn of(code: CloseCode) -> Self {
        Self { code: Some(code), text: code.meaning().to_owned(), is_broken: false }
    }

    pub(crate) fn lost(text: impl fmt::Display) -> Self {
        Self { code: None, text: text.to_string(), is_broken: false }
    }

    pub(crate) fn broken(code: CloseCode, text: impl fmt::Display) -> Self {
        Self { code: Some(code), text: text.to_string(), is_broken: true }
    }

    /// What this side could not read may have been one bad connection: a [`crate::Client`] tries again, a few times.
    pub fn advice(&self) -> Advice {
        match self.code {
            Some(code) if !self.is_broken => code.advice(),
            _ => Advice::Reconnect,
        }
    }
}

impl fmt::Display for CloseReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.code {
            Some(code) => f.write_str(code.name()),
            None => f.write_str(&self.text),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(code: &str, retry_after_ms: i64) -> Error {
        Error::Refused { code: code.to_owned(), message: String::new(), retry_after_ms, trace: String::new() }
    }

    #[test]
    fn each_failure_says_how_to_go_on() {
        assert_eq!(refused("not_accepted", 0).retry(), Retry::Never);
        assert_eq!(refused("out_of_order", 0).retry(), Retry::SameKey);
        assert_eq!(refused("busy", 700).retry(), Retry::After(Duration::from_millis(700)));
        assert_eq!(refused("busy", -5).retry(), Retry::After(PAUSE_DEFAULT));
        assert_eq!(refused("draining", 0).retry(), Retry::Network);
        assert_eq!(refused("of_the_future", 0).retry(), Retry::After(PAUSE_DEFAULT));
        assert_eq!(Error::Timeout.retry(), Retry::SameKey);
        assert_eq!(Error::Closed(CloseReason::lost("reset")).retry(), Retry::Network);
        assert_eq!(Error::Closed(CloseReason::of(CloseCode::LoggedOut)).retry(), Retry::Never);
        let broken = Error::Closed(CloseReason::broken(CloseCode::TooBig, "body is over the limit"));
        assert_eq!((broken.code(), broken.retry()), ("too_big", Retry::Network));
    }
}
