//! Logs, metrics and traces: set up once, at the start of the process.

use anyhow::{Context, Result, ensure};
use metrics_exporter_prometheus::PrometheusHandle;
use opentelemetry_sdk::trace::SdkTracerProvider;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use skein_domain::trace::Sampling;
use std::io::IsTerminal;
use tracing_subscriber::filter::filter_fn;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, Layer};

pub mod metrics;
mod traces;

#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Which log lines are written: `info`, or per module as in `info,skein_edge=debug`.
    pub log: String,
    /// How log lines look.
    pub log_format: LogFormat,
    /// Collector of traces (OTLP over gRPC), such as `http://127.0.0.1:4317`. Empty: no traces.
    pub otlp: String,
    /// Share of commands and requests that are traced, 0.0 to 1.0, once `otlp` is set.
    pub trace_share: f64,
}

impl Default for Config {
    fn default() -> Self {
        Self { log: "info".into(), log_format: LogFormat::Text, otlp: String::new(), trace_share: 1.0 }
    }
}

impl Config {
    pub fn validate(&self) -> Result<()> {
        ensure!((0.0..=1.0).contains(&self.trace_share), "telemetry.trace_share must be 0.0 to 1.0");
        Ok(())
    }

    /// Without a collector nothing is traced.
    pub fn sampling(&self) -> Sampling {
        if self.otlp.is_empty() { Sampling::NOTHING } else { Sampling::of_share(self.trace_share) }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

/// Keeps exporters alive; flushes traces when dropped.
pub struct Telemetry {
    pub metrics: PrometheusHandle,
    traces: Option<SdkTracerProvider>,
}

impl Drop for Telemetry {
    fn drop(&mut self) {
        if let Some(Err(error)) = self.traces.take().map(|traces| traces.shutdown()) {
            eprintln!("skein: last traces were not exported: {error}");
        }
    }
}

/// Once per process, inside the runtime.
pub fn init(config: &Config, node: &str) -> Result<Telemetry> {
    let traces = traces::provider(config, node)?;
    let filter = EnvFilter::try_new(&config.log).with_context(|| format!("read telemetry.log = {:?}", config.log))?;
    let lines = tracing_subscriber::fmt::layer().with_writer(std::io::stderr).with_ansi(std::io::stderr().is_terminal());
    let lines = match config.log_format {
        LogFormat::Text => lines.with_target(false).boxed(),
        LogFormat::Json => lines.json().flatten_event(true).boxed(),
    };
    // Filters of their own: a quiet log must not end traces.
    let spans = traces.as_ref().map(|traces| traces::Traces::new(traces).with_filter(filter_fn(traces::is_ours)));
    tracing_subscriber::registry().with(lines.with_filter(filter)).with(spans).try_init().context("set up logging")?;
    Ok(Telemetry { metrics: metrics::install(node)?, traces })
}
