//! Metrics of the whole binary: one recorder, help lines and the operator guide's table from the crates' own tables.

use anyhow::{Context, Result};
use metrics::{describe_counter, describe_gauge, describe_histogram};
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};
use skein_domain::metric::{Kind, Metric, gauge, histogram};
use std::fmt::Write;

/// The server's own.
const METRICS: &[Metric] = &[
    gauge("skein_build_info", "version node", "1; which version runs under which name"),
    histogram("skein_smtp_send_seconds", "outcome", "Time the mail server took for a mail"),
];

/// What is counted, by the part of the product that counts it.
pub fn tables() -> [(&'static str, &'static [Metric]); 5] {
    [
        ("Edge: connections, public HTTP", skein_edge::METRICS),
        ("Logic: commands, accounts, fan-out", skein_logic::METRICS),
        ("Store and registries", skein_storage::METRICS),
        ("Doors between processes", skein_rpc::METRICS),
        ("Server", METRICS),
    ]
}

/// Before anything looks up a metric: handles taken earlier count nothing.
pub(super) fn install(node: &str) -> Result<PrometheusHandle> {
    const SECONDS: &[f64] = &[0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0];
    const SIZES: &[f64] = &[1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0, 1024.0, 4096.0, 16384.0, 65536.0];
    let handle = PrometheusBuilder::new()
        .set_buckets_for_metric(Matcher::Suffix("_seconds".into()), SECONDS)
        .and_then(|builder| builder.set_buckets(SIZES))
        .context("set up metric buckets")?
        .install_recorder()
        .context("set up metrics")?;
    for metric in tables().iter().flat_map(|(_, table)| *table) {
        match metric.kind {
            Kind::Counter => describe_counter!(metric.name, metric.meaning),
            Kind::Gauge => describe_gauge!(metric.name, metric.meaning),
            Kind::Histogram => describe_histogram!(metric.name, metric.meaning),
        }
    }
    metrics::gauge!("skein_build_info", "version" => env!("CARGO_PKG_VERSION"), "node" => node.to_owned()).set(1.0);
    Ok(handle)
}

/// For the operator guide.
pub fn markdown() -> String {
    let mut page = String::new();
    for (part, table) in tables() {
        let _ = writeln!(page, "### {part}\n\n| metric | kind | labels | meaning |\n|---|---|---|---|");
        for Metric { name, kind, labels, meaning } in table {
            let labels: Vec<_> = labels.split_whitespace().map(|label| format!("`{label}`")).collect();
            let _ = writeln!(page, "| `{name}` | {} | {} | {meaning} |", kind.as_str(), labels.join(", "));
        }
        page.push('\n');
    }
    page
}
