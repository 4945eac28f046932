//! The queue in front of the writer.
//!
//! **Invariant:** at most [`COMMANDS_MAX`] commands wait; one more is refused `busy`. The order of pushes is the order
//! of effects.

use super::command::Command;
use super::failure::{busy, closed};
use metrics::{Gauge, Histogram, gauge, histogram};
use skein_domain::Result;
use std::collections::VecDeque;
use std::sync::{Condvar, Mutex, PoisonError};
use std::time::Instant;

const COMMANDS_MAX: usize = 8_192;
/// One transaction takes at most so many commands …
pub(crate) const BATCH_COMMANDS_MAX: usize = 256;
/// … and no further one once it holds so many bytes.
const BATCH_BYTES_MAX: usize = 1024 * 1024;

pub(crate) struct Queue {
    state: Mutex<State>,
    ready: Condvar,
    depth: Gauge,
    wait_seconds: Histogram,
}

struct State {
    waiting: VecDeque<Waiting>,
    closed: bool,
}

struct Waiting {
    since: Instant,
    command: Box<dyn Command>,
}

impl Queue {
    pub fn new() -> Self {
        let state = State { waiting: VecDeque::new(), closed: false };
        let (depth, wait_seconds) = (gauge!("skein_store_queue_commands"), histogram!("skein_store_queue_seconds"));
        Self { state: Mutex::new(state), ready: Condvar::new(), depth, wait_seconds }
    }

    pub fn push(&self, command: Box<dyn Command>) -> Result<()> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if state.closed {
            return Err(closed());
        }
        if state.waiting.len() >= COMMANDS_MAX {
            metrics::counter!("skein_store_busy_total", "at" => "writer").increment(1);
            return Err(busy());
        }
        state.waiting.push_back(Waiting { since: Instant::now(), command });
        self.depth.set(state.waiting.len() as f64);
        drop(state);
        self.ready.notify_one();
        Ok(())
    }

    /// Waits for work and takes all of it that fits in one batch. `None`: closed, and nothing is left.
    pub fn take(&self) -> Option<Vec<Box<dyn Command>>> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        while state.waiting.is_empty() {
            if state.closed {
                return None;
            }
            state = self.ready.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        if let Some(first) = state.waiting.front() {
            self.wait_seconds.record(first.since.elapsed().as_secs_f64());
        }
        let mut batch = Vec::new();
        let mut bytes = 0;
        while batch.len() < BATCH_COMMANDS_MAX && bytes < BATCH_BYTES_MAX {
            let Some(Waiting { command, .. }) = state.waiting.pop_front() else { break };
            bytes += command.bytes();
            batch.push(command);
        }
        self.depth.set(state.waiting.len() as f64);
        Some(batch)
    }

    /// No further push succeeds; what waits is still done.
    pub fn close(&self) {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).closed = true;
        self.ready.notify_all();
    }

    /// Closes, and drops what waits: its callers are told that the outcome is unknown.
    pub fn abandon(&self) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.closed = true;
        state.waiting.clear();
    }
}
