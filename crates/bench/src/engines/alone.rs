//! The engines alone, each by the tool its own people measure it with: bare inserts, `kafka-producer-perf-test`,
//! `redis-benchmark`.

use super::stack::{Engines, Stack};
use crate::load::TEXT;
use anyhow::{Context, Result, ensure};
use serde::Serialize;
use skein_domain::body::Body;
use skein_domain::conversation::Kind;
use skein_domain::entry::{Entry, EntryEvent};
use skein_domain::id::{ConversationId, CountNo, IdempotencyKey, Millis, PolicyVersion, Revision, Seq, Shard, Uid};
use skein_domain::port::{LogEvent, LogRecord};
use skein_testkit::seed::Seed;
use std::path::Path;
use std::process::Command;
use std::time::Duration;
use xtask::services::kafka_tool;

/// As many commands as one commit of the product takes at most.
const BATCH_MAX: usize = 256;
/// One, and as many as the product's topic has.
const PARTITIONS: [u32; 2] = [1, 6];
const KAFKA_RECORDS: usize = 200_000;
const REDIS_CALLS: usize = 100_000;
const REDIS_CONNECTIONS: usize = 50;
/// As large as the entry of a connection.
const REDIS_BYTES: usize = 200;

#[derive(Debug, Clone, Serialize)]
pub struct Alone {
    pub inserts: Vec<Inserts>,
    pub kafka: Vec<Kafka>,
    pub redis: Vec<Redis>,
}

#[derive(Debug, Clone, Serialize)]
pub struct Inserts {
    pub stack: Stack,
    pub rows_per_commit: usize,
    pub rows_per_second: f64,
}

/// acks=all, lz4, records as the product's.
#[derive(Debug, Clone, Serialize, PartialEq)]
pub struct Kafka {
    pub partitions: u32,
    pub record_bytes: usize,
    pub records_per_second: f64,
    pub p50_ms: f64,
    pub p99_ms: f64,
}

#[derive(Debug, Clone, Serialize, PartialEq)]
pub struct Redis {
    pub call: String,
    pub calls_per_second: f64,
    pub p50_ms: f64,
    pub p99_ms: f64,
}

impl Alone {
    /// Rows per second of this stack's database, committed as so many senders let the product commit.
    pub fn inserts(&self, stack: Stack, senders: usize) -> f64 {
        let is_it = |inserts: &&Inserts| inserts.stack.is_embedded() == stack.is_embedded() && inserts.rows_per_commit == batch(senders);
        self.inserts.iter().find(is_it).map_or(f64::NAN, |inserts| inserts.rows_per_second)
    }
}

/// With everybody waiting for an ack, no commit is larger than their number.
fn batch(senders: usize) -> usize {
    senders.clamp(1, BATCH_MAX)
}

/// Blocks.
pub fn measure(engines: &Engines, senders: &[usize], time: Duration) -> Result<Alone> {
    let mut batches: Vec<usize> = senders.iter().map(|senders| batch(*senders)).collect();
    batches.dedup();
    let mut inserts = Vec::new();
    for stack in [Stack::Sqlite, Stack::Mariadb] {
        for &rows_per_commit in &batches {
            eprintln!("  {} alone, {rows_per_commit} rows a commit …", stack.name());
            let rows_per_second = bare_inserts(engines, stack, rows_per_commit, time)?;
            inserts.push(Inserts { stack, rows_per_commit, rows_per_second });
        }
    }
    eprintln!("  Kafka alone …");
    let kafka = PARTITIONS.into_iter().map(|partitions| kafka(engines, partitions)).collect::<Result<_>>()?;
    eprintln!("  Redis alone …");
    Ok(Alone { inserts, kafka, redis: redis(engines)? })
}

fn bare_inserts(engines: &Engines, stack: Stack, rows_per_commit: usize, time: Duration) -> Result<f64> {
    let name = engines.fresh_name();
    let data = engines.folder.join(&name);
    let config = engines.store(stack, &name)?;
    // The product's own tables, empty.
    Seed::open_on(&data, &config)?.close();
    let target = if stack.is_embedded() { data.join("skein.db").display().to_string() } else { config.mysql.url };
    let mut command = Command::new(std::env::current_exe().context("find this program")?);
    command.arg("insert").arg(target).arg("--rows-per-commit").arg(rows_per_commit.to_string());
    command.arg("--seconds").arg(time.as_secs_f64().to_string());
    if stack.is_embedded() {
        command.envs(engines.slow(&data)?);
    }
    output(&mut command)?.trim().parse().context("read what the bare inserts answered")
}

// === Kafka ===

fn kafka(engines: &Engines, partitions: u32) -> Result<Kafka> {
    let (topic, brokers) = (engines.fresh_name(), engines.kafka.address());
    let mut make = kafka_tool("org.apache.kafka.tools.TopicCommand")?;
    make.args(["--create", "--bootstrap-server", &brokers, "--topic", &topic, "--replication-factor", "1"]);
    make.args(["--partitions", &partitions.to_string()]);
    output(&mut make)?;
    let payload = engines.folder.join("records");
    let record_bytes = write_records(&payload)?;
    let mut produce = kafka_tool("org.apache.kafka.tools.ProducerPerformance")?;
    produce.args(["--topic", &topic, "--num-records", &KAFKA_RECORDS.to_string(), "--throughput", "-1", "--payload-file"]).arg(&payload);
    let servers = format!("bootstrap.servers={brokers}");
    produce.args(["--producer-props", &servers, "acks=all", "compression.type=lz4", "linger.ms=1"]);
    let told = output(&mut produce)?;
    let line = told.lines().rev().find(|line| line.contains("99th")).context("the tool told no percentiles")?;
    read_kafka(line, record_bytes, partitions).with_context(|| format!("read {line:?}"))
}

/// Records as the product writes them, one a line; answers how long one is.
fn write_records(path: &Path) -> Result<usize> {
    const DIFFERENT: i64 = 1_000;
    let lines: Vec<String> =
        (0..DIFFERENT).map(|nth| serde_json::to_string(&record(nth)?).context("write a record")).collect::<Result<_>>()?;
    std::fs::write(path, lines.join("\n")).context("write the records")?;
    Ok(lines.iter().map(String::len).sum::<usize>() / lines.len())
}

fn record(number: i64) -> Result<LogRecord> {
    let key = IdempotencyKey::parse(&format!("{}-{number}-{}", number % 500, number * 977)).map_err(|error| anyhow::anyhow!("{error}"))?;
    let entry = Entry {
        conversation: ConversationId(number % 500 + 1),
        seq: Seq(number / 500 + 1),
        revision: Revision(number + 1),
        count: CountNo(number / 500 + 1),
        at: Millis(1_763_000_000_000 + number),
        author: Uid(number % 1_000 + 1),
        key,
        event: EntryEvent::Message { body: Some(Body::text(TEXT)), reply_to: None },
    };
    let event = LogEvent::Entry { entry, conversation_kind: Kind::Direct, policy_version: PolicyVersion(1) };
    Ok(LogRecord { shard: Shard(0), revision: Revision(number + 1), event, trace: None })
}

/// `200000 records sent, 61538.5 records/sec (17.9 MB/sec), 103.2 ms avg latency, 398.00 ms max latency, 97 ms 50th, …`.
fn read_kafka(line: &str, record_bytes: usize, partitions: u32) -> Option<Kafka> {
    let before = |word: &str| line.split(", ").find(|part| part.contains(word))?.split_whitespace().next()?.parse::<f64>().ok();
    let (p50_ms, p99_ms) = (before("50th")?, before("99th")?);
    Some(Kafka { partitions, record_bytes, records_per_second: before("records/sec")?, p50_ms, p99_ms })
}

// === Redis ===

fn redis(engines: &Engines) -> Result<Vec<Redis>> {
    let mut command = Command::new("redis-benchmark");
    command.args(["-h", "127.0.0.1", "-p", &engines.redis.port().to_string(), "-t", "get,set", "--csv", "-r", "100000"]);
    command.args(["-n", &REDIS_CALLS.to_string(), "-c", &REDIS_CONNECTIONS.to_string(), "-d", &REDIS_BYTES.to_string()]);
    let told = output(&mut command)?;
    let rows: Vec<Redis> = told.lines().filter_map(read_redis).collect();
    ensure!(!rows.is_empty(), "redis-benchmark told nothing that reads: {told}");
    Ok(rows)
}

/// `"SET","75757.57","0.336","0.088","0.327","0.471","0.631","1.375"`: rate, then average, least, p50, p95, p99 and most.
fn read_redis(line: &str) -> Option<Redis> {
    let cells: Vec<&str> = line.split(',').map(|cell| cell.trim_matches('"')).collect();
    let number = |at: usize| cells.get(at)?.parse::<f64>().ok();
    Some(Redis { call: (*cells.first()?).to_owned(), calls_per_second: number(1)?, p50_ms: number(4)?, p99_ms: number(6)? })
}

fn output(command: &mut Command) -> Result<String> {
    let name = command.get_program().to_string_lossy().into_owned();
    let output = command.output().with_context(|| format!("start {name}"))?;
    ensure!(output.status.success(), "{name} failed ({}): {}", output.status, String::from_utf8_lossy(&output.stderr));
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_tools_tell_is_read() {
        let line = "200000 records sent, 61538.461538 records/sec (17.90 MB/sec), 103.25 ms avg latency, 398.00 ms max latency, 97 ms 50th, \
                    210 ms 95th, 301 ms 99th, 380 ms 99.9th.";
        let kafka = Kafka { partitions: 6, record_bytes: 300, records_per_second: 61538.461538, p50_ms: 97.0, p99_ms: 301.0 };
        assert_eq!(read_kafka(line, 300, 6), Some(kafka));
        let line = "\"SET\",\"75757.57\",\"0.336\",\"0.088\",\"0.327\",\"0.471\",\"0.631\",\"1.375\"";
        assert_eq!(read_redis(line), Some(Redis { call: "SET".to_owned(), calls_per_second: 75757.57, p50_ms: 0.327, p99_ms: 0.631 }));
        assert_eq!(read_redis("\"test\",\"rps\",\"avg_latency_ms\",\"min\",\"p50\",\"p95\",\"p99\",\"max\""), None);
    }

    #[test]
    fn an_engine_alone_commits_as_much_at_once_as_its_senders_let_the_product_do() {
        let inserts = |stack, rows_per_commit, rows_per_second| Inserts { stack, rows_per_commit, rows_per_second };
        let inserts = vec![inserts(Stack::Sqlite, 1, 10.0), inserts(Stack::Sqlite, 256, 20.0), inserts(Stack::Mariadb, 256, 30.0)];
        let alone = Alone { inserts, kafka: Vec::new(), redis: Vec::new() };
        assert_eq!(alone.inserts(Stack::Sqlite, 1), 10.0);
        assert_eq!(alone.inserts(Stack::Sqlite, 1_000), 20.0);
        assert_eq!(alone.inserts(Stack::Servers, 1_000), 30.0);
    }
}
