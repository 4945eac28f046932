//! The number that says what a frame is. goim's own are named here; Skein's come from [`crate::table`].

use std::fmt;

/// Operation of a frame. Any number is possible on the wire; [`Op::name`] tells whether the table knows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Op(pub i32);

/// Ops of goim that Skein sessions do not use (goim `api/protocol/operation.go`). Ops 2, 3, 4, 5, 7 and 8 are shared
/// and named by the table.
impl Op {
    /// Container of complete frames; only towards WebSocket clients of goim.
    pub const GOIM_RAW: Op = Op(9);
    pub const GOIM_CHANGE_ROOM: Op = Op(12);
    pub const GOIM_CHANGE_ROOM_REPLY: Op = Op(13);
    pub const GOIM_SUBSCRIBE: Op = Op(14);
    pub const GOIM_SUBSCRIBE_REPLY: Op = Op(15);
    pub const GOIM_UNSUBSCRIBE: Op = Op(16);
    pub const GOIM_UNSUBSCRIBE_REPLY: Op = Op(17);
}

impl fmt::Display for Op {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.name() {
            Some(name) => write!(f, "{} ({name})", self.0),
            None => write!(f, "{}", self.0),
        }
    }
}
