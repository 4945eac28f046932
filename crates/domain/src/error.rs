//! The one error that crosses doors and ports: a stable code, a sentence for people, and when to try again.
//!
//! **Invariant:** codes are part of the public contract (docs/protocol.md lists them); a retired one is not used again.
//! Details that may hold secrets or SQL stay in the log of whoever met them, never in `message`.

use serde::{Deserialize, Serialize};
use std::borrow::Cow;

pub type Result<T, E = Error> = std::result::Result<T, E>;

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
#[error("{}: {message}", .code.as_str())]
pub struct Error {
    pub code: Code,
    pub message: Cow<'static, str>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry_after_ms: Option<i64>,
}

impl Error {
    pub fn new(code: Code, message: impl Into<Cow<'static, str>>) -> Self {
        Self { code, message: message.into(), retry_after_ms: None }
    }

    pub fn retry_after(mut self, ms: i64) -> Self {
        self.retry_after_ms = Some(ms);
        self
    }

    pub fn internal() -> Self {
        Self::new(Code::Internal, "something went wrong on the server; the log has details")
    }
}

macro_rules! codes {
    ($($variant:ident = $text:literal),* $(,)?) => {
        /// Stable code of an error.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum Code { $($variant),* }

        impl Code {
            pub const ALL: &'static [Code] = &[$(Code::$variant),*];

            pub fn as_str(self) -> &'static str {
                match self { $(Code::$variant => $text),* }
            }

            /// A code of a newer peer reads as `internal`.
            pub fn parse(text: &str) -> Code {
                match text { $($text => Code::$variant,)* _ => Code::Internal }
            }
        }
    };
}

codes! {
    BadRequest = "bad_request", Unsupported = "unsupported", TooLarge = "too_large",
    Unauthorized = "unauthorized", BadCredentials = "bad_credentials", Forbidden = "forbidden", Disabled = "disabled",
    CodeWrong = "code_wrong", CodeExpired = "code_expired", CodeExhausted = "code_exhausted", UserExists = "user_exists",
    MailNotConfigured = "mail_not_configured", MailFailed = "mail_failed",
    WeakPassword = "weak_password", BadEmail = "bad_email", BadNickname = "bad_nickname", BadBody = "bad_body",
    RateLimited = "rate_limited", QuotaExceeded = "quota_exceeded", Busy = "busy", StorageFull = "storage_full",
    Internal = "internal", Unavailable = "unavailable", Timeout = "timeout", RetrySameKey = "retry_same_key",
    IdempotencyConflict = "idempotency_conflict", OutOfOrder = "out_of_order",
    NotFound = "not_found", NotMember = "not_member", NotAccepted = "not_accepted", NotSelf = "not_self",
    Silenced = "silenced", AlreadyMember = "already_member",
    GroupFull = "group_full", FriendsFull = "friends_full", RoomsFull = "rooms_full",
    RecallWindow = "recall_window", Recalled = "recalled", BadCursor = "bad_cursor",
    NoServer = "no_server", Draining = "draining",
    // Between logic and storage only: judge again with fresh facts.
    PolicyMoved = "policy_moved",
}

impl Serialize for Code {
    fn serialize<S: serde::Serializer>(&self, s: S) -> std::result::Result<S::Ok, S::Error> {
        s.serialize_str(self.as_str())
    }
}

impl<'de> Deserialize<'de> for Code {
    fn deserialize<D: serde::Deserializer<'de>>(d: D) -> std::result::Result<Self, D::Error> {
        Ok(Code::parse(&Cow::<str>::deserialize(d)?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_survives_its_text() {
        for code in Code::ALL {
            assert_eq!(Code::parse(code.as_str()), *code);
        }
        assert_eq!(Code::parse("code_of_a_newer_peer"), Code::Internal);
    }
}
