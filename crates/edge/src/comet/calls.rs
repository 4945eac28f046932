//! Calls of the Logic door on behalf of one connection.
//!
//! **Invariant:** [`Logic::call`] is called, and first polled, in the order in which the requests arrived.
//!
//! **Bound:** each call ends by its deadline: `retry_same_key` if it may have changed something under a key, else `timeout`.

use super::session::{Return, Then};
use futures_util::future::BoxFuture;
use futures_util::stream::FuturesUnordered;
use skein_domain::command::{Command, Reply};
use skein_domain::door::{Caller, Logic};
use skein_domain::trace::{Trace, TraceId};
use skein_domain::{Code, Error, Result};
use std::time::Duration;
use tracing::Instrument;

pub(super) type Calls = FuturesUnordered<BoxFuture<'static, Done>>;

/// A command that has its outcome.
pub(super) struct Done {
    pub to: Return,
    pub then: Then,
    /// Of the request.
    pub bytes: usize,
    pub outcome: Result<Reply>,
    /// Finds a failure in the log; of what succeeded, nothing.
    pub failure: Option<TraceId>,
}

pub(super) fn call(
    logic: &dyn Logic,
    mut caller: Caller,
    command: Command,
    (to, then, bytes): (Return, Then, usize),
    trace: Option<Trace>,
    deadline: Duration,
) -> BoxFuture<'static, Done> {
    caller.trace = trace.map(|trace| trace.to_string());
    let (uid, generation) = (caller.uid.0, caller.connection.as_ref().map_or(0, |(_, generation)| generation.0));
    let span = tracing::info_span!("comet.command", conn = generation, user = uid, op = to.op.0, seq = to.seq, trace = caller.trace);
    let late = late(&command);
    let call = span.in_scope(|| logic.call(caller, command));
    let done = async move {
        let outcome = tokio::time::timeout(deadline, call).await.unwrap_or(Err(late));
        let failure = outcome.as_ref().err().map(|error| log(error, trace));
        Done { to, then, bytes, outcome, failure }
    };
    Box::pin(done.instrument(span))
}

fn late(command: &Command) -> Error {
    let has_key = matches!(
        command,
        Command::Send { .. } | Command::Change { .. } | Command::CreateGroup { .. } | Command::CreateRoom { .. } | Command::JoinRoom { .. }
    );
    let code = if has_key { Code::RetrySameKey } else { Code::Timeout };
    Error::new(code, "the answer took too long")
}

/// Names the failure, in the log and to the client.
fn log(error: &Error, trace: Option<Trace>) -> TraceId {
    let id = trace.map_or_else(TraceId::new, |trace| trace.id());
    match error.code {
        Code::Internal => tracing::warn!(%error, failure = %id, "command failed"),
        _ => tracing::debug!(%error, failure = %id, "command refused"),
    }
    id
}
