//! Senders: each sends, waits for the ack, and sends again. The friend it writes to is connected, too: from the call to the
//! push there is the time of delivery.
//!
//! **Invariant:** what is measured are requests that began after the warm-up; each is acked, or counted as an error.

use crate::metrics::Metrics;
use crate::usage::{OnCores, Usage};
use anyhow::{Context, Result};
use futures_util::{StreamExt, TryStreamExt, stream};
use hdrhistogram::Histogram;
use serde::Serialize;
use skein_domain::account::DeviceClass;
use skein_domain::id::ConversationId;
use skein_protocol::{Push, Reply, Request, v1};
use skein_sdk::connection::{Address, Auth, Connection, Pushes, Scheme};
use skein_testkit::seed::Seed;
use skein_testkit::server::{Options, ServerProcess};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use tokio::task::JoinSet;

pub const TEXT: &str = "The quick brown fox jumps over the lazy dog. 敏捷的棕色狐狸跳过懒狗。";
pub const WARM_UP: Duration = Duration::from_secs(1);
const FIRST_PUSH: Duration = Duration::from_secs(60);
/// What is not delivered so long after the last ack is told as lost.
const LAST_PUSHES: Duration = Duration::from_secs(10);
const LOOK_EVERY: Duration = Duration::from_millis(10);
/// What took longer is counted as this.
const LATENCY_US_MAX: u64 = 60_000_000;
/// The server's thread that commits.
const WRITER: &str = "store-writer";
/// Between two looks at whether the generator itself keeps time.
const TICK: Duration = Duration::from_millis(5);
/// Pairs made at once, so that they share commits.
const PAIRS_AT_ONCE: usize = 128;

/// Somebody of a pair of friends.
pub struct Person {
    token: String,
    conversation: ConversationId,
}

/// What came of it.
pub struct Outcome {
    pub senders: usize,
    pub seconds: f64,
    pub errors: u64,
    pub ack_us: Histogram<u64>,
    /// From the call of the sender to the connection of the receiver.
    pub delivery_us: Histogram<u64>,
    /// Of the server, for each message sent after the warm-up.
    pub server_cpu_us: f64,
    /// Of the generator itself, likewise.
    pub load_cpu_us: f64,
    pub resident_mib: f64,
    pub pauses: Pauses,
}

/// Where a slow ack was slow: the longest of each during the run.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct Pauses {
    /// Without an ack to anybody.
    pub silence_ms: f64,
    /// By which a timer of the generator itself came late: what it cannot blame on the server.
    pub load_late_ms: f64,
    /// In the writer's queue, and in a commit: bounds of the server's own histograms.
    pub queue_ms: f64,
    pub commit_ms: f64,
    /// Shares of the time in which the thread that writes was on a core, and in which it waited for one.
    pub writer_runs: f64,
    pub writer_waits: f64,
}

impl Outcome {
    pub fn acked_per_second(&self) -> f64 {
        self.ack_us.len() as f64 / self.seconds
    }
}

/// What a bench measures must not be the limits of one user.
pub fn unlimited(options: Options) -> Options {
    options
        .set("telemetry.log", "warn")
        .set("logic.sends.burst", 1_000_000_000)
        .set("logic.sends.every_ms", 1)
        .set("comet.commands_per_second", 1_000_000)
        .set("comet.commands_burst", 1_000_000)
}

/// Pairs of friends, enough for so many senders; each speaks in the direct conversation with its neighbour.
pub async fn seed(seed: &Seed, senders: usize) -> Result<Vec<Person>> {
    let pairs = stream::iter(0..senders.div_ceil(2)).map(|nth| pair(seed, nth)).buffered(PAIRS_AT_ONCE);
    Ok(pairs.try_collect::<Vec<_>>().await?.into_iter().flatten().collect())
}

async fn pair(seed: &Seed, nth: usize) -> Result<[Person; 2]> {
    let (left, right) = (seed.user(&format!("left-{nth}")).await?, seed.user(&format!("right-{nth}")).await?);
    seed.befriend(left, right).await?;
    let conversation = seed.direct(left, right).await?;
    let person = async |uid| anyhow::Ok(Person { token: seed.session(uid, DeviceClass::Cli).await?, conversation });
    Ok([person(left).await?, person(right).await?])
}

/// As many of `people` as `senders` speak for `time`, after a second of warming up.
pub async fn run(server: &ServerProcess, people: Vec<Person>, senders: usize, time: Duration) -> Result<Outcome> {
    let mut connections = connect(server, people).await?;
    until_delivered(&mut connections).await?;
    let begin = Instant::now() + WARM_UP;
    let (mut tasks, delivered) = (JoinSet::new(), Arc::new(Delivered::since(begin)?));
    let (acks, late) = (Arc::new(Watch::new(begin)), Arc::new(Watch::new(begin)));
    let ticking = tokio::spawn(tick(late.clone()));
    // Without a sender: who hears the last of an odd number. Held, so that it stays.
    let mut silent = Vec::new();
    for (index, (connection, pushes, conversation)) in connections.into_iter().enumerate() {
        tokio::spawn(listen(pushes, index, delivered.clone()));
        if index < senders {
            let period = Period { begin, end: begin + time };
            tasks.spawn(send_until(connection, index, conversation, period, acks.clone()));
        } else {
            silent.push(connection);
        }
    }
    tokio::time::sleep_until(begin.into()).await;
    let (server_before, load_before) = (Usage::of(server.pid())?, Usage::of(std::process::id())?);
    let writer_before = OnCores::of(server.pid(), WRITER)?;
    let mut total = Tally::new()?;
    let mut connected = Vec::with_capacity(senders);
    while let Some(ended) = tasks.join_next().await {
        let (tally, connection) = ended.context("a sender failed")??;
        total.add(tally)?;
        connected.push(connection);
    }
    let (server_after, load_after) = (Usage::of(server.pid())?, Usage::of(std::process::id())?);
    let [writer_runs, writer_waits] = OnCores::of(server.pid(), WRITER)?.shares_since(writer_before, begin.elapsed());
    ticking.abort();
    let metrics = Metrics::of(server.admin()?).await?;
    let delivery_us = delivered.all(total.ack_us.len()).await;
    let cpu_us = |before: &Usage, after: &Usage| (after.cpu - before.cpu).as_secs_f64() * 1e6 / total.sent.max(1) as f64;
    Ok(Outcome {
        senders,
        seconds: time.as_secs_f64(),
        errors: total.errors,
        delivery_us,
        server_cpu_us: cpu_us(&server_before, &server_after),
        load_cpu_us: cpu_us(&load_before, &load_after),
        resident_mib: server_after.resident_kib as f64 / 1024.0,
        ack_us: total.ack_us,
        pauses: Pauses {
            silence_ms: acks.longest_ms(),
            load_late_ms: (late.longest_ms() - TICK.as_secs_f64() * 1e3).max(0.0),
            queue_ms: metrics.most("skein_store_queue_seconds") * 1e3,
            commit_ms: metrics.most("skein_store_commit_seconds") * 1e3,
            writer_runs,
            writer_waits,
        },
    })
}

async fn connect(server: &ServerProcess, people: Vec<Person>) -> Result<Vec<(Connection, Pushes, ConversationId)>> {
    let tcp = server.endpoints()?.tcp;
    let address = Address { scheme: Scheme::Tcp, host: tcp.ip().to_string(), port: tcp.port(), path: String::new() };
    let mut connections = Vec::with_capacity(people.len());
    for Person { token, conversation } in people {
        let (connection, pushes, _) = Connection::connect(&address, Auth::Token(token)).await.context("connect somebody")?;
        connections.push((connection, pushes, conversation));
    }
    Ok(connections)
}

/// Until a first message has arrived: a group of consumers takes seconds to form.
async fn until_delivered(connections: &mut [(Connection, Pushes, ConversationId)]) -> Result<()> {
    let [(left, ..), (_, pushes, conversation), ..] = connections else { return Ok(()) };
    left.request(Request::Send(message(*conversation, "first".to_owned()))).await.context("send the first message")?;
    let arriving = async { while !matches!(pushes.recv().await, Some(Push::ServerMessages(_)) | None) {} };
    tokio::time::timeout(FIRST_PUSH, arriving).await.context("the first message does not arrive")
}

#[derive(Clone, Copy)]
struct Period {
    begin: Instant,
    end: Instant,
}

async fn send_until(
    connection: Connection,
    index: usize,
    conversation: ConversationId,
    Period { begin, end }: Period,
    acks: Arc<Watch>,
) -> Result<(Tally, Connection)> {
    let mut tally = Tally::new()?;
    for number in 0.. {
        let start = Instant::now();
        if start >= end {
            break;
        }
        // The receiver reads from the key who began when; 0: during the warm-up.
        let begun_us = start.saturating_duration_since(begin).as_micros();
        let outcome = connection.request(Request::Send(message(conversation, format!("{index}-{number}-{begun_us}")))).await;
        if start < begin {
            continue;
        }
        tally.sent += 1;
        match outcome {
            Ok(Reply::Ack(_)) => {
                tally.ack_us.record(start.elapsed().as_micros() as u64)?;
                acks.seen();
            }
            _ => tally.errors += 1,
        }
    }
    Ok((tally, connection))
}

pub fn message(conversation: ConversationId, key: String) -> v1::Send {
    let segment = v1::Segment { part: Some(v1::segment::Part::Text(TEXT.to_owned())) };
    let body = v1::Body { kind: "text".to_owned(), segments: vec![segment], ..Default::default() };
    v1::Send { conversation: conversation.0, key, body: Some(body), ..Default::default() }
}

struct Tally {
    ack_us: Histogram<u64>,
    sent: u64,
    errors: u64,
}

impl Tally {
    fn new() -> Result<Self> {
        Ok(Self { ack_us: Histogram::new(3)?, sent: 0, errors: 0 })
    }

    fn add(&mut self, other: Tally) -> Result<()> {
        self.ack_us.add(other.ack_us)?;
        self.sent += other.sent;
        self.errors += other.errors;
        Ok(())
    }
}

// === pauses ===

/// The longest time between two sightings of something.
struct Watch {
    begin: Instant,
    last_us: AtomicU64,
    longest_us: AtomicU64,
}

impl Watch {
    fn new(begin: Instant) -> Self {
        Self { begin, last_us: AtomicU64::new(0), longest_us: AtomicU64::new(0) }
    }

    fn seen(&self) {
        let now_us = self.begin.elapsed().as_micros() as u64;
        let last_us = self.last_us.fetch_max(now_us, Ordering::Relaxed);
        self.longest_us.fetch_max(now_us.saturating_sub(last_us), Ordering::Relaxed);
    }

    fn longest_ms(&self) -> f64 {
        self.longest_us.load(Ordering::Relaxed) as f64 / 1e3
    }
}

async fn tick(late: Arc<Watch>) {
    tokio::time::sleep_until(late.begin.into()).await;
    loop {
        late.seen();
        tokio::time::sleep(TICK).await;
    }
}

// === delivery ===

/// Hears what others say until the connection ends.
async fn listen(mut pushes: Pushes, own: usize, delivered: Arc<Delivered>) {
    while let Some(push) = pushes.recv().await {
        if let Push::ServerMessages(pushed) = push {
            pushed.entries.iter().for_each(|entry| delivered.heard(own, &entry.key));
        }
    }
}

/// How long messages took from the call of their sender to the connection of their receiver.
struct Delivered {
    begin: Instant,
    latency_us: Mutex<Histogram<u64>>,
}

impl Delivered {
    fn since(begin: Instant) -> Result<Self> {
        Ok(Self { begin, latency_us: Mutex::new(Histogram::new_with_max(LATENCY_US_MAX, 3)?) })
    }

    fn heard(&self, own: usize, key: &str) {
        let mut parts = key.split('-').map(str::parse::<u64>);
        let (Some(Ok(author)), Some(Ok(_)), Some(Ok(begun_us))) = (parts.next(), parts.next(), parts.next()) else { return };
        if author == own as u64 || begun_us == 0 {
            return;
        }
        let took_us = (self.begin.elapsed().as_micros() as u64).saturating_sub(begun_us);
        self.latency_us.lock().unwrap_or_else(PoisonError::into_inner).saturating_record(took_us);
    }

    /// When as many have come as were acked, or no more are to be expected.
    async fn all(&self, acked: u64) -> Histogram<u64> {
        let started = Instant::now();
        loop {
            let latency_us = self.latency_us.lock().unwrap_or_else(PoisonError::into_inner).clone();
            if latency_us.len() >= acked || started.elapsed() >= LAST_PUSHES {
                return latency_us;
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }
}
