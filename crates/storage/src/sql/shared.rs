//! What writer, readers and callers share: identity of the store, last revisions, publish positions, counters.
//!
//! **Invariant:** `committed` never runs ahead of the disk; `published` never goes back. A position is durable with a
//! later batch, so after a crash publishing may repeat, never skip.

use skein_domain::id::{Epoch, Revision, Shard};
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use tokio::sync::watch;

pub(crate) struct Shared {
    epoch: Epoch,
    shards: Vec<ShardState>,
    commits: AtomicU64,
    commands: AtomicU64,
}

struct ShardState {
    committed: watch::Sender<Revision>,
    published: AtomicI64,
    /// What of `published` is in the database.
    saved: AtomicI64,
}

/// What the writer did since the store was opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stats {
    pub commits: u64,
    pub commands: u64,
}

impl Shared {
    /// `rows`: last revision and position of each shard, in order.
    pub fn new(epoch: Epoch, rows: Vec<(Revision, Revision)>) -> Self {
        let shards = rows.into_iter().map(|(revision, published)| ShardState {
            committed: watch::Sender::new(revision),
            published: AtomicI64::new(published.0),
            saved: AtomicI64::new(published.0),
        });
        Self { epoch, shards: shards.collect(), commits: AtomicU64::new(0), commands: AtomicU64::new(0) }
    }

    pub fn epoch(&self) -> Epoch {
        self.epoch
    }

    pub fn shards(&self) -> u16 {
        self.shards.len() as u16
    }

    pub fn stats(&self) -> Stats {
        Stats { commits: self.commits.load(Ordering::Relaxed), commands: self.commands.load(Ordering::Relaxed) }
    }

    pub fn committed(&self, revisions: &[(Shard, Revision)], commands: usize) {
        self.commits.fetch_add(1, Ordering::Relaxed);
        self.commands.fetch_add(commands as u64, Ordering::Relaxed);
        self.seen(revisions);
    }

    /// Committed by whomever.
    pub fn seen(&self, revisions: &[(Shard, Revision)]) {
        for (shard, revision) in revisions {
            let Some(state) = self.shards.get(usize::from(shard.0)) else { continue };
            state.committed.send_if_modified(|last| {
                let moved = revision > last;
                *last = (*last).max(*revision);
                moved
            });
        }
    }

    pub fn revisions(&self) -> Vec<Revision> {
        self.shards.iter().map(|state| *state.committed.borrow()).collect()
    }

    pub fn watch(&self, shard: Shard) -> Option<watch::Receiver<Revision>> {
        self.shards.get(usize::from(shard.0)).map(|state| state.committed.subscribe())
    }

    pub fn position(&self, shard: Shard) -> Option<Revision> {
        self.shards.get(usize::from(shard.0)).map(|state| Revision(state.published.load(Ordering::Acquire)))
    }

    pub fn advance(&self, shard: Shard, to: Revision) {
        if let Some(state) = self.shards.get(usize::from(shard.0)) {
            state.published.fetch_max(to.0, Ordering::AcqRel);
        }
    }

    /// Positions to write with the next commit.
    pub fn published_unsaved(&self) -> Vec<(Shard, Revision)> {
        let positions = self.shards.iter().enumerate().map(|(shard, state)| {
            let published = state.published.load(Ordering::Acquire);
            (published > state.saved.load(Ordering::Acquire)).then_some((Shard(shard as u16), Revision(published)))
        });
        positions.flatten().collect()
    }

    pub fn published_saved(&self, positions: &[(Shard, Revision)]) {
        for (shard, position) in positions {
            if let Some(state) = self.shards.get(usize::from(shard.0)) {
                state.saved.store(position.0, Ordering::Release);
            }
        }
    }
}
