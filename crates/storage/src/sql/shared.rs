//! What writer, readers and callers share: identity of the store, last revisions, publish positions, counters.
//!
//! **Invariant:** `committed` never runs ahead of the disk; `published` never goes back. A position is durable with a
//! later batch, so after a crash publishing may repeat, never skip.
//!
//! **Bound:** however many wait for what other processes commit, one of them looks in a period.

use skein_domain::id::{Epoch, Fence, Revision, Shard};
use skein_domain::port::Fenced;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::watch;

pub(crate) struct Shared {
    epoch: Epoch,
    shards: Vec<ShardState>,
    commits: AtomicU64,
    commands: AtomicU64,
    /// When somebody last began to look for what other processes commit.
    looked: Mutex<Option<Instant>>,
}

struct ShardState {
    committed: watch::Sender<Revision>,
    published: Mutex<Published>,
}

struct Published {
    to: Revision,
    /// What of `to` is in the database.
    saved: Revision,
    /// Under which it was published.
    fence: Option<Fence>,
    /// The last one whose position the database refused.
    refused: Option<Fence>,
}

/// How far a shard is published, to be written with the next commit.
#[derive(Debug)]
pub(crate) struct Position {
    pub shard: Shard,
    pub to: Revision,
    pub fence: Option<Fence>,
    /// The shard has a later owner; nothing was written.
    pub is_refused: bool,
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
            published: Mutex::new(Published { to: published, saved: published, fence: None, refused: None }),
        });
        let (commits, commands) = (AtomicU64::new(0), AtomicU64::new(0));
        Self { epoch, shards: shards.collect(), commits, commands, looked: Mutex::new(None) }
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

    /// Whether it is time to look for what other processes commit; then it is the caller who looks.
    pub fn is_to_look(&self, every: Duration) -> bool {
        let mut looked = self.looked.lock().unwrap_or_else(PoisonError::into_inner);
        let is_time = looked.is_none_or(|looked| looked.elapsed() >= every);
        if is_time {
            *looked = Some(Instant::now());
        }
        is_time
    }

    pub fn position(&self, shard: Shard) -> Option<Revision> {
        self.published(shard).map(|published| published.to)
    }

    /// Refused if the database has refused a position of this owner or of a later one.
    pub fn advance(&self, shard: Shard, to: Revision, fence: Option<Fence>) -> Result<(), Fenced> {
        let Some(mut published) = self.published(shard) else { return Ok(()) };
        if let Some(fence) = fence
            && published.refused.is_some_and(|refused| fence <= refused)
        {
            return Err(Fenced { shard, fence });
        }
        published.to = published.to.max(to);
        published.fence = fence;
        Ok(())
    }

    /// Positions to write with the next commit.
    pub fn published_unsaved(&self) -> Vec<Position> {
        let positions = self.shards.iter().enumerate().map(|(shard, state)| {
            let published = state.lock();
            let Published { to, saved, fence, refused } = *published;
            let is_refused = fence.is_some() && fence <= refused;
            (to > saved && !is_refused).then_some(Position { shard: Shard(shard as u16), to, fence, is_refused })
        });
        positions.flatten().collect()
    }

    /// They were committed, or refused.
    pub fn published_saved(&self, positions: &[Position]) {
        for Position { shard, to, fence, is_refused } in positions {
            let Some(mut published) = self.published(*shard) else { continue };
            if *is_refused {
                metrics::counter!("skein_shard_positions_refused_total").increment(1);
                published.refused = published.refused.max(*fence);
            } else {
                published.saved = published.saved.max(*to);
            }
        }
    }

    fn published(&self, shard: Shard) -> Option<MutexGuard<'_, Published>> {
        self.shards.get(usize::from(shard.0)).map(ShardState::lock)
    }
}

impl ShardState {
    fn lock(&self) -> MutexGuard<'_, Published> {
        self.published.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
