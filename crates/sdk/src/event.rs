//! What a client tells its program: that something changed, never the whole of it.
//!
//! **Invariant:** the state is the truth, events are hints: whoever missed some reads the state again.

use std::time::Duration;

use skein_protocol::v1;
use tokio::sync::broadcast;

/// Events that wait for a slow reader; at the bound the oldest are lost and it hears [`Event::Lagged`].
pub(crate) const EVENTS_MAX: usize = 1_024;

#[derive(Clone, Debug)]
pub enum Event {
    /// On line; what was missed is being fetched.
    Connected,
    /// Off line; the next attempt comes by itself.
    Disconnected {
        retry_in: Duration,
        reason: String,
    },
    /// Everything that was missed is here.
    Synced,
    /// Anything about it: read it again.
    ConversationChanged(i64),
    /// A message that is new on this device, live or caught up, also one of mine from another device.
    Message(v1::MessageState),
    /// A message of mine was refused for good.
    SendFailed {
        conversation: i64,
        key: String,
        code: String,
    },
    FriendRequest(v1::FriendRequest),
    FriendChanged(v1::Friend),
    Typing {
        conversation: i64,
        uid: i64,
    },
    /// New or changed public rooms, after [`crate::Client::watch_rooms`].
    RoomsChanged(Vec<v1::RoomInfo>),
    /// From whoever operates the server.
    Notice(v1::Notice),
    /// The session has ended, and the client stays off line until the next log-in. `code` is of the protocol:
    /// `logged_in_elsewhere`, `logged_out`, `auth_failed`, `disabled` …
    LoggedOut {
        code: String,
        reason: String,
    },
    /// The server cannot be spoken to by this program, or another connection took over: no attempts any more, until
    /// [`crate::Client::reconnect`]. `too_big` or `protocol_error`: five connections, none of them steady, brought
    /// something that could not be read.
    Stopped {
        code: String,
        reason: String,
    },
    /// The local store failed; the client starts over from what is stored.
    StoreFailed(String),
    /// Events were lost because they were not read in time.
    Lagged,
}

/// A reader of events.
pub struct Events(broadcast::Receiver<Event>);

impl Events {
    pub(crate) fn new(receiver: broadcast::Receiver<Event>) -> Self {
        Self(receiver)
    }

    /// `None` once the client is closed. Cancel-safe.
    pub async fn next(&mut self) -> Option<Event> {
        match self.0.recv().await {
            Ok(event) => Some(event),
            Err(broadcast::error::RecvError::Lagged(_)) => Some(Event::Lagged),
            Err(broadcast::error::RecvError::Closed) => None,
        }
    }
}
