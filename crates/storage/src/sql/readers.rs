//! The bounded pool of connections for reading.
//!
//! Idle connections wait in a queue and are taken from its front, the longest idle first, so that all stay in use and none
//! goes stale unseen. Who finds none gets a new one while there are fewer than the bound; at the bound callers wait in
//! order of arrival. A connection is given back by the end of a scope, on every path.
//!
//! **Invariant:** no read runs on a thread of the async runtime, longer than its limit, or without a connection of its
//! own. A read that waits longer than [`Bounds::wait`] for one is refused `busy`; one that takes too long ends with `timeout`.
//! Each read sees one snapshot of the store.

use super::engine::{OpenReader, Reader, Sql};
use super::failure::{Failure, Gravity, Outcome, busy};
use metrics::{Gauge, Histogram, gauge, histogram};
use skein_domain::{Error, Result};
use std::collections::{HashMap, VecDeque};
use std::panic::Location;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::Semaphore;

#[derive(Debug, Clone, Copy)]
pub(crate) struct Bounds {
    pub name: &'static str,
    /// Connections at a time.
    pub most: usize,
    /// For a connection.
    pub wait: Duration,
    /// For the read itself.
    pub read: Duration,
    /// One that was idle for longer is asked whether it still works.
    pub trusted_for: Duration,
}

#[derive(Clone)]
pub(crate) struct Readers {
    pool: Arc<Pool>,
    turns: Arc<Semaphore>,
}

struct Pool {
    engine: Box<dyn OpenReader>,
    bounds: Bounds,
    idle: Mutex<VecDeque<Idle>>,
    lent: Mutex<HashMap<u64, Lent>>,
    /// Of reads, since the start.
    numbers: AtomicU64,
    meters: Meters,
}

struct Idle {
    reader: Box<dyn Reader>,
    since: Instant,
}

/// Who has a connection, and since when.
struct Lent {
    place: &'static Location<'static>,
    since: Instant,
    #[cfg(feature = "mysql")]
    is_told: bool,
}

struct Meters {
    seconds: Histogram,
    wait_seconds: Histogram,
    idle: Gauge,
    lent: Gauge,
}

impl Readers {
    pub fn new(engine: Box<dyn OpenReader>, bounds: Bounds) -> Self {
        let meters = Meters {
            seconds: histogram!("skein_store_read_seconds"),
            wait_seconds: histogram!("skein_store_wait_seconds", "pool" => bounds.name),
            idle: gauge!("skein_store_connections", "pool" => bounds.name, "state" => "idle"),
            lent: gauge!("skein_store_connections", "pool" => bounds.name, "state" => "lent"),
        };
        let pool = Pool {
            engine,
            bounds,
            idle: Mutex::new(VecDeque::new()),
            lent: Mutex::new(HashMap::new()),
            numbers: AtomicU64::new(0),
            meters,
        };
        Self { pool: Arc::new(pool), turns: Arc::new(Semaphore::new(bounds.most)) }
    }

    /// Runs `read` with a connection of its own. It may run twice, if the connection turns out to be lost under way.
    #[track_caller]
    pub fn read<T, F>(&self, read: F) -> impl Future<Output = Result<T>> + Send + use<T, F>
    where
        T: Send + 'static,
        F: Fn(&dyn Sql) -> Outcome<T> + Send + 'static,
    {
        let place = Location::caller();
        let (pool, turns) = (self.pool.clone(), self.turns.clone());
        async move {
            let asked = Instant::now();
            let Ok(Ok(turn)) = tokio::time::timeout(pool.bounds.wait, turns.acquire_owned()).await else {
                metrics::counter!("skein_store_busy_total", "at" => "readers").increment(1);
                return Err(busy());
            };
            pool.meters.wait_seconds.record(asked.elapsed().as_secs_f64());
            let reading = tokio::task::spawn_blocking(move || {
                let answer = pool.lend(place, &read).map_err(Failure::answer);
                drop(turn);
                answer
            });
            reading.await.unwrap_or_else(|error| {
                tracing::error!(%error, "read panicked");
                Err(Error::internal())
            })
        }
    }

    #[cfg(feature = "mysql")]
    /// Opens connections until there are `least`. Blocks.
    pub fn fill(&self, least: usize) -> Outcome<()> {
        for _ in 0..least.min(self.pool.bounds.most) {
            let reader = self.pool.engine.open()?;
            self.pool.put_back(reader);
        }
        Ok(())
    }

    #[cfg(feature = "mysql")]
    /// Asks those that were idle for long whether they still work, and replaces those that do not. Blocks.
    pub fn look_after(&self) {
        self.pool.ask_idle();
    }

    /// Who has had a connection for longer than this, each named once: where in the code, and for how long.
    #[cfg(feature = "mysql")]
    pub fn overdue(&self, than: Duration) -> Vec<(&'static Location<'static>, Duration)> {
        self.pool.overdue(than)
    }

    /// Closes the idle connections.
    pub fn close(&self) {
        self.turns.close();
        lock(&self.pool.idle).clear();
    }
}

impl Pool {
    fn lend<T>(&self, place: &'static Location<'static>, read: &dyn Fn(&dyn Sql) -> Outcome<T>) -> Outcome<T> {
        let _lent = self.note(place);
        let mut reader = self.take()?;
        match self.read_with(reader.as_mut(), read) {
            // Nothing was written, so it may be done again; on a connection that is surely new.
            Err(failure) if failure.gravity() == Gravity::Again => {
                tracing::warn!(reason = failure.reason(), pool = self.bounds.name, "connection lost under a read; trying another");
                drop(reader);
                reader = self.engine.open()?;
                let answer = self.read_with(reader.as_mut(), read);
                self.give_back(reader);
                answer
            }
            answer => {
                self.give_back(reader);
                answer
            }
        }
    }

    /// A reader whose read panicked is not put back.
    fn read_with<T>(&self, reader: &mut dyn Reader, read: &dyn Fn(&dyn Sql) -> Outcome<T>) -> Outcome<T> {
        let started = Instant::now();
        reader.begin(self.bounds.read)?;
        let answer = read(reader.sql());
        self.meters.seconds.record(started.elapsed().as_secs_f64());
        answer
    }

    fn give_back(&self, mut reader: Box<dyn Reader>) {
        match reader.end() {
            Ok(()) => self.put_back(reader),
            Err(failure) => tracing::debug!(reason = failure.reason(), pool = self.bounds.name, "connection closed"),
        }
    }

    fn take(&self) -> Outcome<Box<dyn Reader>> {
        loop {
            let idle = lock(&self.idle).pop_front();
            let Some(mut idle) = idle else { return self.engine.open() };
            if idle.since.elapsed() < self.bounds.trusted_for || self.still_works(idle.reader.as_mut()) {
                return Ok(idle.reader);
            }
        }
    }

    fn put_back(&self, reader: Box<dyn Reader>) {
        let mut idle = lock(&self.idle);
        idle.push_back(Idle { reader, since: Instant::now() });
        self.meters.idle.set(idle.len() as f64);
    }

    fn still_works(&self, reader: &mut dyn Reader) -> bool {
        match reader.ping() {
            Ok(()) => true,
            Err(failure) => {
                tracing::warn!(reason = failure.reason(), pool = self.bounds.name, "idle connection was dead");
                false
            }
        }
    }

    #[cfg(feature = "mysql")]
    fn ask_idle(&self) {
        let waiting = lock(&self.idle).len();
        for _ in 0..waiting {
            let due = |idle: &mut VecDeque<Idle>| idle.pop_front_if(|first| first.since.elapsed() >= self.bounds.trusted_for);
            let Some(mut first) = due(&mut lock(&self.idle)) else { break };
            if self.still_works(first.reader.as_mut()) {
                self.put_back(first.reader);
                continue;
            }
            match self.engine.open() {
                Ok(reader) => {
                    tracing::info!(pool = self.bounds.name, "connection replaced");
                    self.put_back(reader);
                }
                Err(failure) => tracing::warn!(reason = failure.reason(), pool = self.bounds.name, "no connection in its place yet"),
            }
        }
    }

    #[cfg(feature = "mysql")]
    fn overdue(&self, than: Duration) -> Vec<(&'static Location<'static>, Duration)> {
        let mut lent = lock(&self.lent);
        let overdue = lent.values_mut().filter(|lent| !lent.is_told && lent.since.elapsed() >= than);
        let named = overdue.map(|lent| {
            lent.is_told = true;
            metrics::counter!("skein_store_overdue_total", "pool" => self.bounds.name).increment(1);
            (lent.place, lent.since.elapsed())
        });
        named.collect()
    }

    fn note(&self, place: &'static Location<'static>) -> Noted<'_> {
        let number = self.numbers.fetch_add(1, Ordering::Relaxed);
        let mut lent = lock(&self.lent);
        lent.insert(
            number,
            Lent {
                place,
                since: Instant::now(),
                #[cfg(feature = "mysql")]
                is_told: false,
            },
        );
        self.meters.lent.set(lent.len() as f64);
        Noted { pool: self, number }
    }
}

/// Ends with the read, also with one that panics.
struct Noted<'p> {
    pool: &'p Pool,
    number: u64,
}

impl Drop for Noted<'_> {
    fn drop(&mut self) {
        let mut lent = lock(&self.pool.lent);
        if let Some(Lent { place, since, .. }) = lent.remove(&self.number).filter(|lent| lent.since.elapsed() > self.pool.bounds.read) {
            tracing::warn!(%place, seconds = since.elapsed().as_secs_f64(), pool = self.pool.bounds.name, "slow read");
        }
        self.pool.meters.lent.set(lent.len() as f64);
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
