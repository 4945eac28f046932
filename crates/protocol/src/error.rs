//! The stable codes of failed requests, on every transport and in the HTTP API.
//!
//! **Invariant:** a code keeps its meaning for good; a retired one is not used again.
//!
//! How a code becomes an HTTP status is left to the HTTP side; codes that end a connection are in [`crate::close`].

use std::fmt;
use std::str::FromStr;

/// What a client does with a request that failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Retry {
    /// The same request fails again: somebody has to change something.
    Never,
    /// The outcome is unknown or the order was wrong: send it again with the same idempotency key.
    SameKey,
    /// Send it again with the same key, not before `retry_after_ms`, or with growing pauses if that is 0.
    After,
    /// This connection is of no more use: connect anew, then send it again with the same key.
    Reconnect,
}

impl Retry {
    pub fn as_str(self) -> &'static str {
        match self {
            Retry::Never => "never",
            Retry::SameKey => "same key",
            Retry::After => "after a while",
            Retry::Reconnect => "reconnect",
        }
    }
}

macro_rules! error_codes {
    ( $( $variant:ident $code:literal $retry:ident $meaning:literal; )+ ) => {
        /// Why a request failed.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum ErrorCode {
            $( #[doc = $meaning] $variant, )+
        }

        impl ErrorCode {
            /// Every code, in the order of the documentation.
            pub const ALL: &[ErrorCode] = &[ $( ErrorCode::$variant ),+ ];

            pub const fn as_str(self) -> &'static str {
                match self { $( ErrorCode::$variant => $code, )+ }
            }

            /// One sentence.
            pub const fn meaning(self) -> &'static str {
                match self { $( ErrorCode::$variant => $meaning, )+ }
            }

            pub const fn retry(self) -> Retry {
                match self { $( ErrorCode::$variant => Retry::$retry, )+ }
            }
        }

        impl FromStr for ErrorCode {
            type Err = UnknownCode;

            fn from_str(code: &str) -> Result<Self, UnknownCode> {
                match code {
                    $( $code => Ok(ErrorCode::$variant), )+
                    _ => Err(UnknownCode),
                }
            }
        }
    };
}

error_codes! {
    // The request itself.
    BadRequest "bad_request" Never "A field is missing, malformed or out of range.";
    BadJson "bad_json" Never "The text is not JSON.";
    Unsupported "unsupported" Never "The server does not know this op, type or kind.";
    UnsupportedVersion "unsupported_version" Never "The client speaks another major version of the protocol.";
    TooLarge "too_large" Never "The frame, text or list is over its limit.";
    BadBody "bad_body" Never "The message body is empty, has no known kind or breaks the rules of its kind.";
    BadCursor "bad_cursor" Never "The cursor was not made by this server; start again with an empty one.";

    // Who asks.
    Unauthorized "unauthorized" Never "There is no valid session; log in.";
    BadCredentials "bad_credentials" Never "Address or password is wrong; which one is not told.";
    Disabled "disabled" Never "The account was disabled by an operator.";
    CodeWrong "code_wrong" Never "The e-mail code is not the one that was sent.";
    CodeExpired "code_expired" Never "The e-mail code is too old, was used, or was replaced by a newer one.";
    CodeExhausted "code_exhausted" Never "The e-mail code was tried too often; ask for a new one.";
    UserExists "user_exists" Never "An account with this e-mail address exists already.";
    BadEmail "bad_email" Never "The text is not an e-mail address.";
    WeakPassword "weak_password" Never "The password is too short, too long or too common.";
    BadNickname "bad_nickname" Never "The nickname is empty, too long or has characters that are not allowed.";
    MailNotConfigured "mail_not_configured" Never "The server cannot send mail; its operator has to configure SMTP.";
    MailFailed "mail_failed" After "The mail could not be handed over.";

    // What may be done.
    Forbidden "forbidden" Never "This user may not do it: it needs a higher role, another owner first, or to be the author.";
    NotFound "not_found" Never "It does not exist, or this user may not know of it.";
    NotMember "not_member" Never "This user is not a member of the conversation.";
    NotAccepted "not_accepted" Never "The other side does not take messages from this user.";
    NotSelf "not_self" Never "It cannot be done to oneself.";
    AlreadyMember "already_member" Never "Somebody named is a member already, or a friend already.";
    Silenced "silenced" Never "This user, or everybody, may not send here at the moment.";
    Recalled "recalled" Never "The message was recalled.";
    RecallWindow "recall_window" Never "The time in which the message could be recalled is over.";

    // How much.
    GroupFull "group_full" Never "The group has as many members as it may have.";
    FriendsFull "friends_full" Never "One of both has as many friends as allowed.";
    RoomsFull "rooms_full" Never "This user is in as many rooms as allowed.";
    QuotaExceeded "quota_exceeded" Never "The day's allowance of this user is used up.";
    RateLimited "rate_limited" After "Too many requests in a short time.";

    // Keys and order.
    IdempotencyConflict "idempotency_conflict" Never "The idempotency key was used before with other content.";
    OutOfOrder "out_of_order" SameKey "The send named by `after` is not stored; send again from the first that has no ack.";
    RetrySameKey "retry_same_key" SameKey "Whether it was stored is not known; the same key makes asking again safe.";

    // The server.
    Busy "busy" After "The server has more to do than it accepts.";
    Timeout "timeout" SameKey "The answer took too long; it may have been done.";
    Unavailable "unavailable" After "A part of the server is not reachable.";
    StorageFull "storage_full" After "The disk is full; reading still works.";
    NoServer "no_server" After "No node accepts connections at the moment.";
    Draining "draining" Reconnect "This node is going away.";
    Internal "internal" After "The server made a mistake; its log has the `trace`.";
}

impl fmt::Display for ErrorCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A code of a newer server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("error code is not known here")]
pub struct UnknownCode;
