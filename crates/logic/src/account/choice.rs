//! Which Comet a client is sent to.
//!
//! Comets announce how many connections they have every few seconds. Between two announcements each choice is counted
//! here on top, so that a burst of log-ins spreads; what a node announces next replaces that guess. Round-robin needs no
//! counts.

use super::config::CometChoice;
use skein_domain::id::{Millis, NodeId};
use skein_domain::port::NodeInfo;
use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

pub(super) struct Choice {
    how: CometChoice,
    /// A guess that no announcement has replaced is forgotten after this long.
    guess_ms: i64,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    guesses: HashMap<NodeId, Guess>,
    last: Option<NodeId>,
}

/// Clients sent to a node since it announced `announced`.
struct Guess {
    announced: u32,
    since: Millis,
    sent: u32,
}

impl Choice {
    pub(super) fn new(how: CometChoice, guess_ms: i64) -> Self {
        Self { how, guess_ms, state: Mutex::default() }
    }

    /// One of `live`, unless all are draining.
    pub(super) fn pick(&self, live: Vec<NodeInfo>, now: Millis) -> Option<NodeInfo> {
        let mut open: Vec<_> = live.into_iter().filter(|node| !node.draining).collect();
        open.sort_by(|a, b| a.node.cmp(&b.node));
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let picked = match self.how {
            CometChoice::LeastConnections => state.least(&open, now, self.guess_ms),
            CometChoice::RoundRobin => state.next(&open),
        }?;
        state.last = Some(picked.node.clone());
        Some(picked)
    }

    /// The node told how many connections it has.
    pub(super) fn announced(&self, node: &NodeId) {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).guesses.remove(node);
    }
}

impl State {
    fn least(&mut self, open: &[NodeInfo], now: Millis, guess_ms: i64) -> Option<NodeInfo> {
        self.guesses.retain(|node, guess| {
            let announced = open.iter().find(|info| info.node == *node).map(|info| info.connections);
            announced == Some(guess.announced) && now.0 - guess.since.0 < guess_ms
        });
        let load = |info: &NodeInfo| u64::from(info.connections) + self.guesses.get(&info.node).map_or(0, |guess| guess.sent.into());
        let picked = open.iter().min_by_key(|info| load(info))?.clone();
        let fresh = || Guess { announced: picked.connections, since: now, sent: 0 };
        self.guesses.entry(picked.node.clone()).or_insert_with(fresh).sent += 1;
        Some(picked)
    }

    fn next(&self, open: &[NodeInfo]) -> Option<NodeInfo> {
        let after_last = open.iter().find(|info| self.last.as_ref().is_some_and(|last| info.node > *last));
        after_last.or(open.first()).cloned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use skein_domain::port::CometAddress;

    fn node(name: &str, connections: u32) -> NodeInfo {
        NodeInfo { node: NodeId(name.into()), comet: CometAddress::default(), connections, draining: false }
    }

    fn picks(choice: &Choice, live: &[NodeInfo], count: usize) -> Vec<String> {
        (0..count).filter_map(|_| choice.pick(live.to_vec(), Millis(1))).map(|info| info.node.0).collect()
    }

    #[test]
    fn the_least_loaded_gets_the_next_until_level() {
        let choice = Choice::new(CometChoice::LeastConnections, 15_000);
        let live = [node("a", 3), node("b", 0)];
        assert_eq!(picks(&choice, &live, 7), ["b", "b", "b", "a", "b", "a", "b"]);
    }

    #[test]
    fn an_announcement_replaces_the_guess() {
        let choice = Choice::new(CometChoice::LeastConnections, 15_000);
        assert_eq!(picks(&choice, &[node("a", 0), node("b", 4)], 3), ["a", "a", "a"]);
        assert_eq!(picks(&choice, &[node("a", 3), node("b", 4)], 1), ["a"], "counted once, not twice");
        choice.announced(&NodeId("a".into()));
        assert_eq!(picks(&choice, &[node("a", 3), node("b", 4)], 1), ["a"]);
    }

    #[test]
    fn a_guess_nobody_confirms_is_forgotten() {
        let choice = Choice::new(CometChoice::LeastConnections, 15_000);
        let live = [node("a", 0), node("b", 1)];
        assert_eq!(picks(&choice, &live, 2), ["a", "a"]);
        assert_eq!(choice.pick(live.to_vec(), Millis(15_001)).unwrap().node.0, "a");
    }

    #[test]
    fn round_robin_takes_turns_whatever_the_load_and_whoever_leaves() {
        let choice = Choice::new(CometChoice::RoundRobin, 15_000);
        let live = [node("a", 900), node("b", 0), node("c", 5)];
        assert_eq!(picks(&choice, &live, 4), ["a", "b", "c", "a"]);
        assert_eq!(picks(&choice, &[node("a", 0), node("c", 0)], 2), ["c", "a"]);
    }

    #[test]
    fn draining_nodes_are_never_picked() {
        for how in [CometChoice::LeastConnections, CometChoice::RoundRobin] {
            let choice = Choice::new(how, 15_000);
            let draining = NodeInfo { draining: true, ..node("a", 0) };
            assert_eq!(picks(&choice, &[draining.clone(), node("b", 9)], 2), ["b", "b"]);
            assert!(picks(&choice, &[draining], 1).is_empty());
            assert!(picks(&choice, &[], 1).is_empty());
        }
    }
}
