//! Why a connection was closed, and what its client does then.
//!
//! A WebSocket carries the number in its close frame (RFC 6455 section 7.4) and the name as the reason. On TCP the
//! server sends an `error` push whose code is the name, then closes.
//!
//! **Invariant:** every close that a server decides on has one of these codes; a code it does not know, or a loss
//! without any, means [`Advice::Reconnect`] to a client.

use std::fmt;

use crate::schema::v1;

/// What a client does after a close. Reconnects pause with growing, jittered delays.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Advice {
    /// Connect again and sync from the last cursor.
    Reconnect,
    /// As [`Advice::Reconnect`], and take for certain that pushes were lost.
    Resync,
    /// Do not come back by itself: a human or a new log-in is needed, or another connection took over.
    Stop,
}

impl Advice {
    pub fn as_str(self) -> &'static str {
        match self {
            Advice::Reconnect => "reconnect",
            Advice::Resync => "reconnect and sync",
            Advice::Stop => "stop",
        }
    }
}

macro_rules! close_codes {
    ( $( $variant:ident $number:literal $name:literal $advice:ident $meaning:literal; )+ ) => {
        /// A reason to close a connection.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum CloseCode {
            $( #[doc = $meaning] $variant, )+
        }

        impl CloseCode {
            pub const ALL: &[CloseCode] = &[ $( CloseCode::$variant ),+ ];

            pub const fn number(self) -> u16 {
                match self { $( CloseCode::$variant => $number, )+ }
            }

            pub const fn name(self) -> &'static str {
                match self { $( CloseCode::$variant => $name, )+ }
            }

            pub const fn advice(self) -> Advice {
                match self { $( CloseCode::$variant => Advice::$advice, )+ }
            }

            /// One sentence.
            pub const fn meaning(self) -> &'static str {
                match self { $( CloseCode::$variant => $meaning, )+ }
            }

            pub fn from_number(number: u16) -> Option<Self> {
                match number {
                    $( $number => Some(CloseCode::$variant), )+
                    _ => None,
                }
            }

            pub fn from_name(name: &str) -> Option<Self> {
                match name {
                    $( $name => Some(CloseCode::$variant), )+
                    _ => None,
                }
            }
        }
    };
}

close_codes! {
    // RFC 6455 section 7.4.1.
    Normal 1000 "normal" Stop "The client asked for it.";
    GoingAway 1001 "going_away" Reconnect "The node drains or restarts; `goAway` said when to come back.";
    ProtocolError 1002 "protocol_error" Stop "The bytes are not the protocol: a broken or unmasked frame, a wrong length.";
    UnsupportedData 1003 "unsupported_data" Stop "A kind of data this endpoint does not take.";
    InvalidText 1007 "invalid_text" Stop "A text message or close reason is not UTF-8.";
    AuthFailed 1008 "auth_failed" Stop "The cookie, token or ticket is not valid; log in again.";
    TooBig 1009 "too_big" Stop "A message or frame is over the limit of the connection.";
    Internal 1011 "internal_error" Reconnect "The server made a mistake.";
    // Skein's own, in the range RFC 6455 section 7.4.2 leaves to applications.
    LoggedInElsewhere 4101 "logged_in_elsewhere" Stop "A newer log-in of the same device class ended this session.";
    Replaced 4102 "replaced" Stop "The same session connected again; the newer connection goes on.";
    Slow 4103 "slow" Resync "The client did not take what was sent to it.";
    LoggedOut 4104 "logged_out" Stop "The session was revoked: log-out, log-out everywhere or a password reset.";
    HeartbeatTimeout 4105 "heartbeat_timeout" Reconnect "Nothing was heard from the client within the limit.";
    AuthTimeout 4106 "auth_timeout" Reconnect "The client did not log in within the limit.";
    Disabled 4107 "disabled" Stop "The account was disabled by an operator.";
    UnsupportedVersion 4108 "unsupported_version" Stop "The client speaks another version of frame or protocol; it needs an update.";
}

impl CloseCode {
    /// The push that goes ahead of a close on TCP.
    pub fn to_error(self) -> v1::Error {
        v1::Error { code: self.name().to_owned(), message: self.meaning().to_owned(), ..v1::Error::default() }
    }
}

impl fmt::Display for CloseCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.number(), self.name())
    }
}
