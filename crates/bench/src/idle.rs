//! What connections cost that hardly speak: memory for each, the CPU of a log-in, and how heartbeats fare among them.
//!
//! The reference is a bare echo server in a process of its own: one task and one small buffer a connection, no log-in, no
//! registry, no queue. It takes the same connections and the same heartbeats over TCP in the same run.
//!
//! **Invariant:** a connection that ends or is not answered is an error of the run, not a smaller number.

use crate::report::{self, count, figure, ms};
use crate::usage::Usage;
use anyhow::{Context, Result, bail};
use futures_util::{StreamExt, TryStreamExt, stream};
use hdrhistogram::Histogram;
use serde::Serialize;
use skein_domain::account::DeviceClass;
use skein_protocol::{Reply, Request, v1};
use skein_testkit::seed::Seed;
use skein_testkit::server::{Options, ServerProcess};
use skein_testkit::wire::{self, Buffers, Ears, Endpoints, Mouth, Transport};
use std::net::SocketAddr;
use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

/// Log-ins under way at once.
const AT_ONCE: usize = 64;
/// Users made at once, so that they share commits.
const SEEDED_AT_ONCE: usize = 256;
/// A heartbeat unanswered for so long is lost.
const PATIENCE: Duration = Duration::from_secs(10);

pub struct Plan {
    pub connections: usize,
    pub time: Duration,
    /// Between two heartbeats of a connection; below the 30 s after which the server pings a WebSocket.
    pub beat: Duration,
}

#[derive(Debug, Clone, Serialize)]
pub struct Row {
    pub what: &'static str,
    pub connections: usize,
    pub connects_per_second: f64,
    pub cpu_us_per_connect: f64,
    pub resident_bytes_per_connection: f64,
    pub beats: u64,
    pub p50_ms: f64,
    pub p99_ms: f64,
    pub max_ms: f64,
    pub cpu_us_per_beat: f64,
}

/// The reference first, then Skein over TCP and over WebSocket, each in a fresh process.
pub async fn run(plan: &Plan, folder: &Path) -> Result<Vec<Row>> {
    let mut rows = vec![echo(plan).await?];
    for (what, transport) in [("skein tcp", Transport::Tcp), ("skein websocket", Transport::WebSocket)] {
        let folder = tempfile::tempdir_in(folder).context("make a data folder")?;
        rows.push(skein(what, transport, plan, folder.path()).await?);
    }
    Ok(rows)
}

pub fn table(rows: &[Row]) -> String {
    let titles = [
        "what",
        "connections",
        "log-ins/s",
        "CPU µs a log-in",
        "RSS bytes a connection",
        "beats",
        "p50 ms",
        "p99 ms",
        "max ms",
        "CPU µs a beat",
    ];
    report::table(titles, &rows.iter().map(Row::cells).collect::<Vec<_>>())
}

impl Row {
    fn cells(&self) -> [String; 10] {
        [
            self.what.to_owned(),
            count(self.connections as f64),
            count(self.connects_per_second),
            count(self.cpu_us_per_connect),
            count(self.resident_bytes_per_connection),
            count(self.beats as f64),
            figure(self.p50_ms),
            figure(self.p99_ms),
            figure(self.max_ms),
            figure(self.cpu_us_per_beat),
        ]
    }
}

async fn skein(what: &'static str, transport: Transport, plan: &Plan, folder: &Path) -> Result<Row> {
    eprintln!("{what}: {} connections for {:?} …", plan.connections, plan.time);
    let data = folder.join("data");
    let tokens = seed(&data, plan.connections).await?;
    let mut server = ServerProcess::start(Options::on(&data).set("telemetry.log", "warn")).await?;
    let at = server.endpoints()?;
    let row = measure(what, plan, server.pid(), tokens, async move |token: String| Skein::log_in(at, transport, &token).await).await?;
    server.terminate().await?;
    Ok(row)
}

/// A user for each connection.
async fn seed(data: &Path, connections: usize) -> Result<Vec<String>> {
    let seed = Seed::open(data)?;
    let token = async |nth: usize| anyhow::Ok(seed.session(seed.user(&format!("idle-{nth}")).await?, DeviceClass::Cli).await?);
    let tokens = stream::iter(0..connections).map(token).buffered(SEEDED_AT_ONCE).try_collect().await;
    seed.close();
    tokens
}

/// Something that can be asked whether it is there.
trait Beats: Send + 'static {
    fn beat(&mut self) -> impl Future<Output = Result<()>> + Send;
}

struct Skein {
    mouth: Mouth,
    ears: Ears,
}

impl Skein {
    async fn log_in(at: Endpoints, transport: Transport, token: &str) -> Result<Self> {
        let (mouth, ears, _) = wire::log_in(at, transport, Buffers::Usual, token).await?;
        Ok(Self { mouth, ears })
    }
}

impl Beats for Skein {
    async fn beat(&mut self) -> Result<()> {
        match wire::exchange(&mut self.mouth, &mut self.ears, &Request::Heartbeat(v1::Heartbeat {})).await? {
            Reply::HeartbeatReply(_) => Ok(()),
            other => bail!("a heartbeat was answered by {other:?}"),
        }
    }
}

async fn measure<T, B: Beats>(
    what: &'static str,
    plan: &Plan,
    pid: u32,
    targets: Vec<T>,
    connect: impl AsyncFn(T) -> Result<B>,
) -> Result<Row> {
    let (idle, start) = (Usage::of(pid)?, Instant::now());
    let connections: Vec<_> =
        stream::iter(targets).map(|target| connect(target)).buffer_unordered(AT_ONCE).try_collect().await.context("connect")?;
    let (connected, took) = (Usage::of(pid)?, start.elapsed());
    let count = connections.len();

    let (begin, end) = (Instant::now(), Instant::now() + plan.time);
    let mut tasks = JoinSet::new();
    for (nth, connection) in connections.into_iter().enumerate() {
        let first = begin + plan.beat.mul_f64(nth as f64 / count as f64);
        tasks.spawn(beat_until(connection, first, plan.beat, end));
    }
    let mut latency_us = Histogram::<u64>::new(3)?;
    while let Some(tally) = tasks.join_next().await {
        latency_us.add(tally.context("a connection's task failed")??)?;
    }
    let after = Usage::of(pid)?;
    let per_connection = |total: f64| total / count as f64;
    Ok(Row {
        what,
        connections: count,
        connects_per_second: count as f64 / took.as_secs_f64(),
        cpu_us_per_connect: per_connection((connected.cpu - idle.cpu).as_secs_f64() * 1e6),
        resident_bytes_per_connection: per_connection((after.resident_kib.saturating_sub(idle.resident_kib) * 1024) as f64),
        beats: latency_us.len(),
        p50_ms: ms(&latency_us, 0.5),
        p99_ms: ms(&latency_us, 0.99),
        max_ms: ms(&latency_us, 1.0),
        cpu_us_per_beat: (after.cpu - connected.cpu).as_secs_f64() * 1e6 / latency_us.len().max(1) as f64,
    })
}

/// The last beat is after `end`: whoever was lost in between is noticed.
async fn beat_until(mut connection: impl Beats, first: Instant, every: Duration, end: Instant) -> Result<Histogram<u64>> {
    let mut latency_us = Histogram::new(3)?;
    let mut next = first;
    loop {
        tokio::time::sleep_until(next.into()).await;
        let start = Instant::now();
        tokio::time::timeout(PATIENCE, connection.beat()).await.context("a heartbeat was not answered")??;
        latency_us.record(start.elapsed().as_micros() as u64)?;
        if start >= end {
            return Ok(latency_us);
        }
        next += every;
    }
}

// === the reference ===

/// As large as a heartbeat.
const BEAT: [u8; 16] = [0, 0, 0, 16, 0, 16, 0, 1, 0, 0, 0, 2, 0, 0, 0, 1];

async fn echo(plan: &Plan) -> Result<Row> {
    eprintln!("reference: {} connections for {:?} …", plan.connections, plan.time);
    let mut process = tokio::process::Command::new(std::env::current_exe().context("find this program")?)
        .arg("echo")
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .context("start the reference")?;
    let stdout = process.stdout.take().context("read the reference's address")?;
    let line = BufReader::new(stdout).lines().next_line().await?.context("the reference named no address")?;
    let address: SocketAddr = line.parse().context("read the reference's address")?;
    let pid = process.id().context("the reference has ended")?;
    let row = measure("bare echo tcp", plan, pid, vec![(); plan.connections], async |()| Echo::connect(address).await).await?;
    process.kill().await.context("stop the reference")?;
    Ok(row)
}

struct Echo(TcpStream);

impl Echo {
    async fn connect(address: SocketAddr) -> Result<Self> {
        let mut echo = Self(TcpStream::connect(address).await?);
        echo.0.set_nodelay(true)?;
        // In place of the log-in.
        echo.beat().await?;
        Ok(echo)
    }
}

impl Beats for Echo {
    async fn beat(&mut self) -> Result<()> {
        self.0.write_all(&BEAT).await?;
        let mut answer = [0; BEAT.len()];
        self.0.read_exact(&mut answer).await.map(drop).context("read the echo")
    }
}

/// The reference itself: says where it listens, and echoes until it is killed.
pub async fn serve_echo() -> Result<()> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    println!("{}", listener.local_addr()?);
    loop {
        let (mut stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        tokio::spawn(async move {
            let mut buffer = [0; 1024];
            while let Ok(read @ 1..) = stream.read(&mut buffer).await {
                if stream.write_all(&buffer[..read]).await.is_err() {
                    break;
                }
            }
        });
    }
}
