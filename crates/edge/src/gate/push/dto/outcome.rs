//! What became of pushes: at once, and by their receipts.

use super::super::super::dto::words;
use super::super::super::int64::Int64;
use super::super::super::problem::Problem;
use serde::Serialize;
use skein_domain::Error;
use skein_domain::live::{self, PushId, PushOutcome};
use skein_protocol::ErrorCode;
use utoipa::ToSchema;

/// What became of one push.
#[derive(Serialize, ToSchema)]
pub struct Pushed {
    /// Ask `GET /api/v1/push/{id}` with it.
    #[schema(example = "01J9Z3K5V8Q2W4E6R8T0Y2U4I6")]
    pub push_id: PushId,
    /// Where a durable push was stored, if it was due: one place per user, or the room's.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub stored: Vec<Stored>,
    /// Connections a dry run would have found. To `all` it is an upper bound: all connections, whatever their platforms, tags
    /// and accepted operations.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub would_reach: Option<u64>,
    /// The same had been pushed with this idempotency key; nothing was done now.
    pub repeated: bool,
}

#[derive(Serialize, ToSchema)]
pub struct Stored {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub user: Option<Int64>,
    pub conversation: Int64,
    pub seq: Int64,
}

impl Pushed {
    pub fn new(push_id: PushId, stored: Vec<live::Stored>, would_reach: Option<u64>, repeated: bool) -> Self {
        Self { push_id, stored: stored.into_iter().map(Stored::from).collect(), would_reach, repeated }
    }
}

impl From<live::Stored> for Stored {
    fn from(stored: live::Stored) -> Self {
        Self { user: stored.uid.map(Int64::from), conversation: stored.conversation.into(), seq: stored.seq.into() }
    }
}

#[derive(Serialize, ToSchema)]
pub struct BatchOutcomes {
    /// In the order of the pushes; each stands alone.
    pub outcomes: Vec<Outcome>,
}

/// Exactly one of these.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    Accepted(Pushed),
    Refused(Refused),
}

#[derive(Serialize, ToSchema)]
pub struct Refused {
    /// Stable code, as in problems.
    #[schema(example = "bad_request")]
    pub code: &'static str,
    pub detail: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub retry_after_ms: Option<Int64>,
}

impl From<Error> for Outcome {
    fn from(error: Error) -> Self {
        Self::from(Problem::from(error))
    }
}

impl From<Problem> for Outcome {
    fn from(problem: Problem) -> Self {
        let Problem { code, detail, retry_after_ms, .. } = problem;
        Self::Refused(Refused { code: ErrorCode::as_str(code), detail: detail.into_owned(), retry_after_ms: retry_after_ms.map(Int64) })
    }
}

impl From<PushOutcome> for Outcome {
    fn from(outcome: PushOutcome) -> Self {
        match outcome {
            PushOutcome::Accepted { push, stored, would_reach, repeated } => {
                Self::Accepted(Pushed::new(push, stored, would_reach, repeated))
            }
            PushOutcome::Refused { error } => error.into(),
        }
    }
}

words!(
    /// `scheduled`: waits for its time. `waiting`: on its way. `delivered`: put on the queues of whoever was found.
    /// `expired`: its time to live passed first. `failed`: when its time came, there was nobody or nowhere to store it for.
    State = live::PushState { Scheduled, Waiting, Delivered, Expired, Failed }
);

/// What became of a push so far; kept for ten minutes after its last change.
#[derive(Serialize, ToSchema)]
pub struct Receipt {
    pub push_id: PushId,
    pub state: State,
    /// Unix milliseconds of the last change.
    pub at: Int64,
    /// Connections found.
    pub found: u64,
    /// Of them, those on whose queue it was put.
    pub queued: u64,
    /// Of them, those whose queue was full.
    pub dropped: u64,
}

impl From<live::Receipt> for Receipt {
    fn from(receipt: live::Receipt) -> Self {
        let live::Receipt { push, state, at, found, queued, dropped, .. } = receipt;
        Self { push_id: push, state: state.into(), at: at.into(), found, queued, dropped }
    }
}
