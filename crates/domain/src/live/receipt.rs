//! What became of a push.

use super::name::PushId;
use crate::id::{Millis, Uid};
use serde::{Deserialize, Serialize};

/// What became of a push so far. Kept for ten minutes after its last change.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Receipt {
    pub push: PushId,
    /// Who pushed, and so who may ask; 0: the operator or nobody in particular.
    pub app: Uid,
    pub state: PushState,
    pub at: Millis,
    pub found: u64,
    pub queued: u64,
    pub dropped: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PushState {
    /// Its time has not come.
    Scheduled,
    /// Not all nodes have answered.
    Waiting,
    Delivered,
    /// Nobody got it in time.
    Expired,
    /// Its time came, and it could not be pushed: there was nobody or nowhere to keep it for.
    Failed,
}
