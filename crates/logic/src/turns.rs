//! Who goes first: commands on one conversation are judged and queued in the order in which they were called.
//!
//! **Invariant:** a place in the line is taken by [`Turns::take`] itself, not when its future is first polled; the line is
//! fair, and whoever gives up (drops its [`Turn`]) leaves it without disturbing the others.
//!
//! Bound: a line exists only while somebody stands in it, so there are never more than commands in flight.

use futures_util::future::BoxFuture;
use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use tokio::sync::OwnedMutexGuard;

type Line = tokio::sync::Mutex<()>;

#[derive(Clone)]
pub(crate) struct Turns<K: Eq + Hash + Clone> {
    lines: Arc<Lines<K>>,
}

struct Lines<K>(Mutex<HashMap<K, Arc<Line>>>);

/// A place in the line.
pub(crate) struct Turn<K: Eq + Hash> {
    // Before `place`: a line is removed once nobody holds it any more.
    state: State,
    place: Place<K>,
}

enum State {
    First(OwnedMutexGuard<()>),
    Waiting(BoxFuture<'static, OwnedMutexGuard<()>>),
}

/// The head of the line; dropping it lets the next one go.
pub(crate) struct Held<K: Eq + Hash> {
    _guard: OwnedMutexGuard<()>,
    _place: Place<K>,
}

struct Place<K: Eq + Hash> {
    lines: Arc<Lines<K>>,
    key: K,
}

impl<K: Eq + Hash + Clone> Turns<K> {
    pub(crate) fn new() -> Self {
        Self { lines: Arc::new(Lines(Mutex::default())) }
    }

    pub(crate) fn take(&self, key: K) -> Turn<K> {
        let line = self.lines.lock().entry(key.clone()).or_default().clone();
        // Outside of the runtime's budget, or a task that has used its budget up would not be queued by this poll.
        let mut waiting: BoxFuture<'static, _> = Box::pin(tokio::task::unconstrained(line.lock_owned()));
        let state = match waiting.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(guard) => State::First(guard),
            Poll::Pending => State::Waiting(waiting),
        };
        Turn { state, place: Place { lines: self.lines.clone(), key } }
    }

    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.lines.lock().len()
    }
}

impl<K: Eq + Hash> Turn<K> {
    pub(crate) async fn wait(self) -> Held<K> {
        let Turn { state, place } = self;
        let guard = match state {
            State::First(guard) => guard,
            State::Waiting(waiting) => waiting.await,
        };
        Held { _guard: guard, _place: place }
    }
}

impl<K> Lines<K> {
    fn lock(&self) -> MutexGuard<'_, HashMap<K, Arc<Line>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<K: Eq + Hash> Drop for Place<K> {
    fn drop(&mut self) {
        let mut lines = self.lines.lock();
        // Only the map holds it: nobody stands in the line, and joining it takes this lock.
        if lines.get(&self.key).is_some_and(|line| Arc::strong_count(line) == 1) {
            lines.remove(&self.key);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::FutureExt;

    #[tokio::test]
    async fn turns_come_in_the_order_they_were_taken_not_polled() {
        let turns = Turns::new();
        let first = turns.take(1);
        let second = turns.take(1);
        let third = turns.take(1);
        let mut third = Box::pin(third.wait());
        assert!((&mut third).now_or_never().is_none());
        let held = first.wait().await;
        drop(held);
        assert!((&mut third).now_or_never().is_none(), "the second stands before the third");
        drop(second.wait().await);
        third.await;
        assert_eq!(turns.len(), 0, "no line is left behind");
    }

    #[tokio::test]
    async fn giving_up_lets_the_next_go() {
        let turns = Turns::new();
        let held = turns.take("a").wait().await;
        let gives_up = turns.take("a");
        let next = turns.take("a");
        turns.take("b").wait().await;
        drop(gives_up);
        drop(held);
        drop(next.wait().await);
        assert_eq!(turns.len(), 0);
    }

    #[tokio::test]
    async fn one_who_never_waits_does_not_stop_the_line_after_giving_up() {
        let turns = Turns::new();
        let first = turns.take(1);
        let second = turns.take(1);
        drop(first);
        drop(second.wait().await);
        assert_eq!(turns.len(), 0);
    }
}
