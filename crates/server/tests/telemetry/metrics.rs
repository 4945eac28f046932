//! `/metrics` against the tables and under load.

use super::world::{Metrics, Server};
use serde_json::json;
use skein_domain::metric::Metric;
use skein_protocol::Reply;
use skein_server::admin::{Verb, client};
use skein_server::telemetry::metrics::tables;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

#[tokio::test]
async fn what_matters_is_there_and_moves_under_load() {
    const MESSAGES: u32 = 20;
    let server = Server::start(&["gate.rates.login={per_minute=1, burst=4}"], &[]).await;
    let [ann, bo] = server.friends().await;
    let idle = server.metrics().await;
    let mut bo_device = server.connect(&bo).await;
    let mut device = server.connect(&ann).await;
    let conversation = device.direct(&bo).await;
    assert!(matches!(device.send(conversation, "first").await, Reply::Ack(_)));
    bo_device.expect_message("first").await;
    let before = server.metrics().await;

    for nth in 0..MESSAGES {
        assert!(matches!(device.send(conversation, &format!("k{nth}")).await, Reply::Ack(_)));
    }
    bo_device.expect_message(&format!("k{}", MESSAGES - 1)).await;
    assert!(matches!(device.send(conversation + 1_000, "nowhere").await, Reply::Error(_)));
    let wrong = json!({"email": "ann@demo.invalid", "password": "wrong", "device_class": "cli"});
    let statuses = [server.post("/api/v1/login", &wrong).await.status(), server.post("/api/v1/login", &wrong).await.status()];
    assert_eq!(statuses.map(|status| status.as_u16()), [401, 401]);
    assert_eq!(server.post("/api/v1/login", &wrong).await.status().as_u16(), 429);
    let after = server.metrics().await;

    let messages = f64::from(MESSAGES);
    let connected: [Growth; 3] = [
        ("skein_comet_connections", &["transport=\"tcp\""], 2.0),
        ("skein_listener_accepted_total", &["listener=\"tcp\""], 2.0),
        ("skein_registry_sessions", &[], 2.0),
    ];
    let worked: [Growth; 19] = [
        // Rate, time, errors.
        ("skein_commands_total", &["command=\"send\"", "code=\"ok\""], messages),
        ("skein_command_seconds_count", &["command=\"send\""], messages),
        ("skein_command_seconds_bucket", &["command=\"send\"", "le=\"+Inf\""], messages),
        ("skein_commands_total", &["command=\"send\"", "code=\"not_member\""], 1.0),
        ("skein_http_requests_total", &["route=\"/api/v1/login\"", "status=\"401\""], 2.0),
        ("skein_http_requests_total", &["route=\"/api/v1/login\"", "status=\"429\""], 1.0),
        ("skein_http_request_seconds_count", &["route=\"/api/v1/login\""], 3.0),
        ("skein_comet_frames_in_total", &[], messages),
        ("skein_comet_bytes_in_total", &[], messages),
        ("skein_comet_bytes_out_total", &[], messages),
        // The way of a message.
        ("skein_store_batch_commands_count", &[], messages),
        ("skein_store_commit_seconds_count", &[], messages),
        ("skein_relay_position", &["shard=\"0\""], messages),
        ("skein_relay_records_total", &[], messages),
        ("skein_fanout_batches_total", &["outcome=\"delivered\""], messages),
        ("skein_comet_pushes_queued_total", &[], 2.0 * messages),
        // Caches, people.
        ("skein_snapshots_total", &["from=\"memory\""], messages),
        ("skein_log_ins_total", &["outcome=\"wrong\""], 2.0),
        ("skein_gate_rate_limited_total", &["limit=\"login\""], 1.0),
    ];
    expect(&idle, &before, &connected);
    expect(&before, &after, &worked);
    assert_eq!(after.sum("skein_outbox_lag_revisions", &["shard=\"0\""]), Some(0.0), "all is published");
    for depth in ["skein_store_queue_commands", "skein_comet_queue_bytes", "skein_comet_commands_in_flight"] {
        assert_eq!(after.sum(depth, &[]), Some(0.0), "{depth}");
    }
    let of_ours: BTreeMap<_, _> = metrics_of_the_tables().map(|metric| (metric.name, metric.meaning)).collect();
    for (name, meaning) in after.help.iter() {
        assert_eq!(of_ours.get(name.as_str()), Some(&meaning.as_str()), "help of {name}");
    }
    assert!(after.help.contains_key("skein_commands_total"));
}

/// Name, labels, and by how much it grows at least.
type Growth = (&'static str, &'static [&'static str], f64);

fn expect(before: &Metrics, after: &Metrics, growths: &[Growth]) {
    for (name, labels, at_least) in growths {
        let (was, is) = (before.sum(name, labels).unwrap_or(0.0), after.sum(name, labels));
        assert!(is.is_some_and(|is| is - was >= *at_least), "{name} {labels:?} went from {was} to {is:?}");
    }
}

fn metrics_of_the_tables() -> impl Iterator<Item = &'static Metric> {
    tables().into_iter().flat_map(|(_, table)| table)
}

/// Names in `counter!("…")` and the like.
fn names_in(source: &str) -> impl Iterator<Item = String> + '_ {
    let calls = ["counter!(\"", "gauge!(\"", "histogram!(\""];
    let starts = calls.into_iter().flat_map(|call| source.match_indices(call).map(|(at, call)| at + call.len()));
    starts.filter_map(|at| source[at..].split('"').next().map(str::to_owned))
}

fn names_under(folder: &Path, names: &mut BTreeSet<String>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            names_under(&path, names);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            names.extend(names_in(&std::fs::read_to_string(&path).unwrap()));
        }
    }
}

#[test]
fn every_metric_is_in_its_table_and_every_row_is_counted() {
    let crates = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let mut counted = BTreeSet::new();
    for name in ["edge", "logic", "storage", "rpc", "server"] {
        names_under(&crates.join(name).join("src"), &mut counted);
    }
    let listed: BTreeSet<String> = metrics_of_the_tables().map(|metric| metric.name.to_owned()).collect();
    assert_eq!(counted, listed, "a metric has its row in the `metrics.rs` of its crate, and a row its metric");
}

/// The lease of a node tells its number now and then; administration does not wait for it.
#[tokio::test]
async fn administration_counts_the_connections_here_as_they_are() {
    let server = Server::start(&["comet.renew_interval_ms=3600000"], &[]).await;
    let [ann, bob] = server.friends().await;
    let count = async || client::ask(&server.data(), &Verb::Stats).await.unwrap()["connections"].as_u64().unwrap();
    assert_eq!(count().await, 0);
    let devices = (server.connect(&ann).await, server.connect(&bob).await);
    assert_eq!(count().await, 2);
    drop(devices);
}
