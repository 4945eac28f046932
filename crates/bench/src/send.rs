//! Durable acked messages per second: each sender sends, waits for the ack, and sends again.

use crate::reference::sync_time;
use crate::report::{Report, Row};
use crate::usage::Usage;
use anyhow::{Context, Result};
use hdrhistogram::Histogram;
use skein_domain::account::DeviceClass;
use skein_domain::id::ConversationId;
use skein_protocol::{Reply, Request, v1};
use skein_sdk::connection::{Address, Auth, Connection, Scheme};
use skein_testkit::powercut::PowerCut;
use skein_testkit::seed::Seed;
use skein_testkit::server::{Options, ServerProcess};
use std::path::Path;
use std::time::{Duration, Instant};
use tokio::task::JoinSet;

const TEXT: &str = "The quick brown fox jumps over the lazy dog. 敏捷的棕色狐狸跳过懒狗。";
const WARM_UP: Duration = Duration::from_secs(1);

pub struct Plan {
    pub senders: Vec<usize>,
    pub time: Duration,
    /// In place of the disk's own sync.
    pub sync_delay: Option<Duration>,
}

struct Sender {
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
    let senders = seed(&data, count).await?;
    let mut server = start(&data, folder, plan.sync_delay).await?;
    let tcp = server.endpoints()?.tcp;
    let address = Address { scheme: Scheme::Tcp, host: tcp.ip().to_string(), port: tcp.port(), path: String::new() };

    let mut connections = Vec::with_capacity(count);
    for Sender { token, conversation } in senders {
        let (connection, pushes, _) = Connection::connect(&address, Auth::Token(token)).await.context("connect a sender")?;
        connections.push((connection, pushes, conversation));
    }
    let begin = Instant::now() + WARM_UP;
    let mut tasks = JoinSet::new();
    for (index, (connection, mut pushes, conversation)) in connections.into_iter().enumerate() {
        tokio::spawn(async move { while pushes.recv().await.is_some() {} });
        tasks.spawn(send_until(connection, index, conversation, begin, begin + plan.time));
    }
    tokio::time::sleep_until(begin.into()).await;
    let before = Usage::of(server.pid())?;
    let mut total = Tally::new()?;
    while let Some(tally) = tasks.join_next().await {
        total.add(tally.context("a sender failed")??)?;
    }
    let after = Usage::of(server.pid())?;
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
        errors: total.errors,
        server_cpu_us_per_ack: (after.cpu - before.cpu).as_secs_f64() * 1e6 / total.sent.max(1) as f64,
        server_resident_mib: after.resident_kib as f64 / 1024.0,
    })
}

/// Pairs of friends; each sender speaks in the direct conversation with its neighbour.
async fn seed(data: &Path, count: usize) -> Result<Vec<Sender>> {
    let seed = Seed::open(data)?;
    let mut senders = Vec::with_capacity(count);
    for pair in 0..count.div_ceil(2) {
        let (left, right) = (seed.user(&format!("left-{pair}")).await?, seed.user(&format!("right-{pair}")).await?);
        seed.befriend(left, right).await?;
        let conversation = seed.direct(left, right).await?;
        for uid in [left, right].into_iter().take(count - senders.len()) {
            senders.push(Sender { token: seed.session(uid, DeviceClass::Cli).await?, conversation });
        }
    }
    seed.close();
    Ok(senders)
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

async fn send_until(connection: Connection, index: usize, conversation: ConversationId, begin: Instant, end: Instant) -> Result<Tally> {
    let mut tally = Tally::new()?;
    for number in 0.. {
        let start = Instant::now();
        if start >= end {
            break;
        }
        let outcome = connection.request(Request::Send(message(conversation, format!("{index}-{number}")))).await;
        if start < begin {
            continue;
        }
        tally.sent += 1;
        match outcome {
            Ok(Reply::Ack(_)) => tally.latency_us.record(start.elapsed().as_micros() as u64)?,
            _ => tally.errors += 1,
        }
    }
    Ok(tally)
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
