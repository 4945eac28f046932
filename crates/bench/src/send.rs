//! Durable acked messages per second: each sender sends, waits for the ack, and sends again. The friend it writes to is
//! connected, too: from the call to the push there is the time of delivery.

use crate::reference::sync_time;
use crate::report::{Report, Row};
use crate::usage::Usage;
use anyhow::{Context, Result};
use hdrhistogram::Histogram;
use skein_domain::account::DeviceClass;
use skein_domain::id::ConversationId;
use skein_protocol::{Push, Reply, Request, v1};
use skein_sdk::connection::{Address, Auth, Connection, Pushes, Scheme};
use skein_testkit::powercut::PowerCut;
use skein_testkit::seed::Seed;
use skein_testkit::server::{Options, ServerProcess};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use tokio::task::JoinSet;

const TEXT: &str = "The quick brown fox jumps over the lazy dog. 敏捷的棕色狐狸跳过懒狗。";
const WARM_UP: Duration = Duration::from_secs(1);
/// What is not delivered so long after the last ack is told as lost.
const LAST_PUSHES: Duration = Duration::from_secs(10);
const LOOK_EVERY: Duration = Duration::from_millis(10);
/// What took longer is counted as this.
const LATENCY_US_MAX: u64 = 60_000_000;

pub struct Plan {
    pub senders: Vec<usize>,
    pub time: Duration,
    /// In place of the disk's own sync.
    pub sync_delay: Option<Duration>,
}

/// Somebody of a pair of friends.
struct Person {
    token: String,
    conversation: ConversationId,
}

/// Runs each number of senders on a fresh data folder below `folder`.
pub async fn run(plan: &Plan, folder: &Path) -> Result<Report> {
    let sync = sync_time(folder)?;
    let reference = plan.sync_delay.unwrap_or(sync);
    let mut rows = Vec::new();
    for &senders in &plan.senders {
        eprintln!("{senders} senders for {:?} …", plan.time);
        let folder = tempfile::tempdir_in(folder).context("make a data folder")?;
        rows.push(one(senders, plan, reference, folder.path()).await?);
    }
    let added_delay_ms = plan.sync_delay.map_or(0.0, |delay| delay.as_secs_f64() * 1e3);
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    Ok(Report { sync_ms: sync.as_secs_f64() * 1e3, added_delay_ms, cores, rows })
}

async fn one(count: usize, plan: &Plan, reference: Duration, folder: &Path) -> Result<Row> {
    let data = folder.join("data");
    let people = seed(&data, count).await?;
    let mut server = start(&data, folder, plan.sync_delay).await?;
    let tcp = server.endpoints()?.tcp;
    let address = Address { scheme: Scheme::Tcp, host: tcp.ip().to_string(), port: tcp.port(), path: String::new() };

    let mut connections = Vec::with_capacity(people.len());
    for Person { token, conversation } in people {
        let (connection, pushes, _) = Connection::connect(&address, Auth::Token(token)).await.context("connect somebody")?;
        connections.push((connection, pushes, conversation));
    }
    let begin = Instant::now() + WARM_UP;
    let (mut tasks, delivered) = (JoinSet::new(), Arc::new(Delivered::since(begin)?));
    // Without a sender: who hears the last of an odd number. Held, so that it stays.
    let mut silent = Vec::new();
    for (index, (connection, pushes, conversation)) in connections.into_iter().enumerate() {
        tokio::spawn(listen(pushes, index, delivered.clone()));
        if index < count {
            tasks.spawn(send_until(connection, index, conversation, begin, begin + plan.time));
        } else {
            silent.push(connection);
        }
    }
    tokio::time::sleep_until(begin.into()).await;
    let before = Usage::of(server.pid())?;
    let mut total = Tally::new()?;
    let mut connected = Vec::with_capacity(count);
    while let Some(ended) = tasks.join_next().await {
        let (tally, connection) = ended.context("a sender failed")??;
        total.add(tally)?;
        connected.push(connection);
    }
    let after = Usage::of(server.pid())?;
    let delivery = delivered.all(total.latency_us.len()).await;
    server.terminate().await?;

    let seconds = plan.time.as_secs_f64();
    let acked_per_second = total.latency_us.len() as f64 / seconds;
    let ms = |us: u64| us as f64 / 1e3;
    Ok(Row {
        senders: count,
        seconds,
        acked: total.latency_us.len(),
        acked_per_second,
        per_reference_sync: acked_per_second * reference.as_secs_f64(),
        p50_ms: ms(total.latency_us.value_at_quantile(0.5)),
        p99_ms: ms(total.latency_us.value_at_quantile(0.99)),
        max_ms: ms(total.latency_us.max()),
        delivered: delivery.len(),
        delivery_p50_ms: ms(delivery.value_at_quantile(0.5)),
        delivery_p99_ms: ms(delivery.value_at_quantile(0.99)),
        errors: total.errors,
        server_cpu_us_per_ack: (after.cpu - before.cpu).as_secs_f64() * 1e6 / total.sent.max(1) as f64,
        server_resident_mib: after.resident_kib as f64 / 1024.0,
    })
}

/// Pairs of friends, enough for so many senders; each speaks in the direct conversation with its neighbour.
async fn seed(data: &Path, count: usize) -> Result<Vec<Person>> {
    let seed = Seed::open(data)?;
    let mut people = Vec::with_capacity(count + 1);
    for pair in 0..count.div_ceil(2) {
        let (left, right) = (seed.user(&format!("left-{pair}")).await?, seed.user(&format!("right-{pair}")).await?);
        seed.befriend(left, right).await?;
        let conversation = seed.direct(left, right).await?;
        for uid in [left, right] {
            people.push(Person { token: seed.session(uid, DeviceClass::Cli).await?, conversation });
        }
    }
    seed.close();
    Ok(people)
}

async fn start(data: &Path, folder: &Path, sync_delay: Option<Duration>) -> Result<ServerProcess> {
    // What a bench measures must not be the limits of one user.
    let mut options = Options::on(data)
        .set("telemetry.log", "warn")
        .set("logic.sends.burst", 1_000_000_000)
        .set("logic.sends.every_ms", 1)
        .set("comet.commands_per_second", 1_000_000)
        .set("comet.commands_burst", 1_000_000);
    if let Some(fsync_delay) = sync_delay {
        let power = PowerCut::new(data, &folder.join("journal"))?;
        options.power = Some((
            power,
            skein_testkit::powercut::Options { fsync_delay, skip_real_fsync: true, keep_nothing: true, ..Default::default() },
        ));
    }
    ServerProcess::start(options).await
}

async fn send_until(
    connection: Connection,
    index: usize,
    conversation: ConversationId,
    begin: Instant,
    end: Instant,
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
            Ok(Reply::Ack(_)) => tally.latency_us.record(start.elapsed().as_micros() as u64)?,
            _ => tally.errors += 1,
        }
    }
    Ok((tally, connection))
}

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

fn message(conversation: ConversationId, key: String) -> v1::Send {
    let segment = v1::Segment { part: Some(v1::segment::Part::Text(TEXT.to_owned())) };
    let body = v1::Body { kind: "text".to_owned(), segments: vec![segment], ..Default::default() };
    v1::Send { conversation: conversation.0, key, body: Some(body), ..Default::default() }
}

struct Tally {
    latency_us: Histogram<u64>,
    sent: u64,
    errors: u64,
}

impl Tally {
    fn new() -> Result<Self> {
        Ok(Self { latency_us: Histogram::new(3)?, sent: 0, errors: 0 })
    }

    fn add(&mut self, other: Tally) -> Result<()> {
        self.latency_us.add(other.latency_us)?;
        self.sent += other.sent;
        self.errors += other.errors;
        Ok(())
    }
}
