//! The tables of a run.

use super::{Report, Row, Section};
use crate::report::{count, figure, table};

pub fn text(report: &Report) -> String {
    let cores = report.cores;
    let mut text = format!("{cores} cores that load, server and engines share; the disk's own sync takes {:.2} ms.\n", report.sync_ms);
    for section in &report.sections {
        text += &self::section(section, report.sync_ms);
    }
    text + &hit_rates(report)
}

fn section(section: &Section, sync_ms: f64) -> String {
    let title = match section.delay_ms {
        None => format!("The disk's own sync, {sync_ms:.2} ms"),
        Some(delay) => format!("A sync of {delay} ms"),
    };
    let rows: Vec<_> = section.rows.iter().map(acked).collect();
    let titles = [
        "store",
        "senders",
        "acked/s",
        "ack p50 ms",
        "p99 ms",
        "max ms",
        "heard p50 ms",
        "p99 ms",
        "not heard",
        "of bare inserts",
        "server CPU µs",
        "engines CPU µs",
        "errors",
    ];
    format!("\n{title}:\n\n{}\n{}", table(titles, &rows), alone(section))
}

fn acked(row: &Row) -> [String; 13] {
    [
        row.stack.name().to_owned(),
        count(row.senders as f64),
        count(row.acked_per_second),
        figure(row.p50_ms),
        figure(row.p99_ms),
        figure(row.max_ms),
        figure(row.delivery_p50_ms),
        figure(row.delivery_p99_ms),
        count(row.not_heard as f64),
        format!("{:.2}", row.of_bare_inserts),
        count(row.server_cpu_us_per_ack),
        count(row.engines_cpu_us_per_ack),
        count(row.errors as f64),
    ]
}

/// Those on no sender's way beside the best that the product reached on all of them.
fn alone(section: &Section) -> String {
    let best = section.rows.iter().filter(|row| row.stack.has_all()).map(|row| row.acked_per_second).fold(0.0, f64::max);
    let none = || "—".to_owned();
    let mut rows = Vec::new();
    for inserts in &section.alone.inserts {
        let name = format!("{}, bare inserts, {} a commit", inserts.stack.name(), inserts.rows_per_commit);
        rows.push([name, count(inserts.rows_per_second), none(), none(), none()]);
    }
    for kafka in &section.alone.kafka {
        let on = format!("{} partition{}", kafka.partitions, if kafka.partitions == 1 { "" } else { "s" });
        let name = format!("Kafka, `kafka-producer-perf-test`, acks=all, lz4, {} bytes, {on}", kafka.record_bytes);
        let per_second = kafka.records_per_second;
        rows.push([name, count(per_second), figure(kafka.p50_ms), figure(kafka.p99_ms), ratio(best, per_second)]);
    }
    for redis in &section.alone.redis {
        let name = format!("Redis, `redis-benchmark`, {}", redis.call);
        rows.push([name, count(redis.calls_per_second), figure(redis.p50_ms), figure(redis.p99_ms), ratio(best, redis.calls_per_second)]);
    }
    table(["alone", "per second", "p50 ms", "p99 ms", "best acked/s, of it"], &rows)
}

fn ratio(of: f64, to: f64) -> String {
    format!("{:.2}", of / to)
}

fn hit_rates(report: &Report) -> String {
    let rows: Vec<_> = report
        .hit_rates
        .iter()
        .map(|rate| {
            let part = |lookups: f64| format!("{:.1} %", 100.0 * lookups / rate.lookups().max(1.0));
            [rate.what.to_owned(), count(rate.lookups()), part(rate.memory), part(rate.redis), part(rate.store)]
        })
        .collect();
    format!("\nWhat answers lookups:\n\n{}", table(["cache", "lookups", "memory", "Redis", "store"], &rows))
}
