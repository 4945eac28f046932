//! What this process wrote lately: which conversations a replica must have up to where before it may be asked.
//!
//! Writes are kept for two periods. Older ones a replica must have altogether: it is asked only if it has the revision the
//! shard had before both. So whoever wrote through this process finds what they wrote, however far the replica lags.
//!
//! **Invariant:** bounded: a period ends when it is over, or when so many conversations were written that it is full.

use super::shared::Shared;
use skein_domain::id::{ConversationId, Revision, Seq, Shard};
use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

const PERIOD: Duration = Duration::from_secs(5);
const CONVERSATIONS_MAX: usize = 20_000;

pub(crate) struct Recent {
    state: Mutex<State>,
}

struct State {
    since: Instant,
    now: HashMap<ConversationId, Seq>,
    before: HashMap<ConversationId, Seq>,
    /// Last revision per shard when `now` began, and when `before` did.
    now_from: Vec<Revision>,
    before_from: Vec<Revision>,
}

impl Recent {
    pub fn new(shared: &Shared) -> Self {
        let from = shared.revisions();
        let (now_from, before_from) = (from.clone(), from);
        Self { state: Mutex::new(State { since: Instant::now(), now: HashMap::new(), before: HashMap::new(), now_from, before_from }) }
    }

    pub fn wrote(&self, conversation: ConversationId, seq: Seq, shared: &Shared) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if state.since.elapsed() >= PERIOD || state.now.len() >= CONVERSATIONS_MAX {
            state.turn(shared.revisions());
        }
        let last = state.now.entry(conversation).or_default();
        *last = (*last).max(seq);
    }

    /// The head a replica must have of the conversation, and the revision it must have of its shard.
    pub fn needed(&self, conversation: ConversationId, shard: Shard) -> (Seq, Revision) {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let wrote = state.now.get(&conversation).max(state.before.get(&conversation)).copied().unwrap_or_default();
        (wrote, state.before_from.get(usize::from(shard.0)).copied().unwrap_or(Revision(i64::MAX)))
    }
}

impl State {
    fn turn(&mut self, from: Vec<Revision>) {
        self.before = std::mem::take(&mut self.now);
        self.before_from = std::mem::replace(&mut self.now_from, from);
        self.since = Instant::now();
    }
}
