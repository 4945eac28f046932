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
use skein_domain::{Code, Error, Result};
use std::collections::hash_map::RandomState;
use std::hash::BuildHasher;
use std::sync::LazyLock;
use std::sync::atomic::{AtomicU64, Ordering};
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
    pub trace: Trace,
}

pub(super) fn call(
    logic: &dyn Logic,
    mut caller: Caller,
    command: Command,
    (to, then, bytes): (Return, Then, usize),
    deadline: Duration,
) -> BoxFuture<'static, Done> {
    let trace = Trace::new();
    caller.trace = Some(trace.parent());
    let (uid, generation) = (caller.uid.0, caller.connection.as_ref().map_or(0, |(_, generation)| generation.0));
    let span = tracing::info_span!("command", conn = generation, user = uid, op = to.op.0, seq = to.seq, trace = %trace.id());
    let late = late(&command);
    let call = span.in_scope(|| logic.call(caller, command));
    let done = async move {
        let outcome = tokio::time::timeout(deadline, call).await.unwrap_or(Err(late));
        if let Err(error) = &outcome
            && error.code == Code::Internal
        {
            tracing::warn!(%error, "command failed");
        }
        Done { to, then, bytes, outcome, trace }
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

/// W3C trace context of one command.
#[derive(Clone, Copy)]
pub(super) struct Trace {
    high: u64,
    low: u64,
    span: u64,
}

impl Trace {
    /// Unique, not secret: a counter hashed with keys the process drew at its start.
    fn new() -> Self {
        static KEYS: LazyLock<[RandomState; 3]> = LazyLock::new(Default::default);
        static COUNT: AtomicU64 = AtomicU64::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let [high, low, span] = [0, 1, 2].map(|i| KEYS[i].hash_one(count).max(1));
        Self { high, low, span }
    }

    pub fn id(&self) -> String {
        format!("{:016x}{:016x}", self.high, self.low)
    }

    fn parent(&self) -> String {
        format!("00-{}-{:016x}-01", self.id(), self.span)
    }
}
