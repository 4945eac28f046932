//! Orders about connections that were not here yet: whoever is just logging in obeys them when it enters.
//!
//! **Bound:** [`MISSED_MAX`] orders; the oldest is forgotten first.

use skein_domain::delivery::Control;
use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};

const MISSED_MAX: usize = 1_024;

#[derive(Default)]
pub(in crate::comet) struct Missed(Mutex<VecDeque<(u64, Control)>>);

impl Missed {
    pub fn remember(&self, at_ms: u64, control: Control) {
        let mut missed = self.lock();
        if missed.len() == MISSED_MAX {
            missed.pop_front();
        }
        missed.push_back((at_ms, control));
    }

    /// In the order in which they came.
    pub fn since(&self, since_ms: u64, of_mine: impl Fn(&Control) -> bool) -> Vec<Control> {
        let missed = self.lock();
        missed.iter().filter(|(at_ms, control)| *at_ms >= since_ms && of_mine(control)).map(|(_, control)| control.clone()).collect()
    }

    fn lock(&self) -> MutexGuard<'_, VecDeque<(u64, Control)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
