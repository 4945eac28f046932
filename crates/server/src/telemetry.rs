//! Logs, metrics and traces: set up once, at the start of the process.

use anyhow::{Context, Result};
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};
use opentelemetry::trace::TracerProvider as _;
use opentelemetry_otlp::WithExportConfig;
use opentelemetry_sdk::trace::SdkTracerProvider;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::io::IsTerminal;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, Layer};

#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Which log lines are written: `info`, or per module as in `info,skein_edge=debug`.
    pub log: String,
    /// How log lines look.
    pub log_format: LogFormat,
    /// Collector of traces (OTLP over gRPC), such as `http://127.0.0.1:4317`. Empty: no traces.
    pub otlp: String,
    /// Share of messages that are traced, 0.0 to 1.0.
    pub trace_share: f64,
}

impl Default for Config {
    fn default() -> Self {
        Self { log: "info".into(), log_format: LogFormat::Text, otlp: String::new(), trace_share: 1.0 }
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
    let traces = traces(config, node)?;
    let filter = EnvFilter::try_new(&config.log).with_context(|| format!("read telemetry.log = {:?}", config.log))?;
    let lines = tracing_subscriber::fmt::layer().with_writer(std::io::stderr).with_ansi(std::io::stderr().is_terminal());
    let lines = match config.log_format {
        LogFormat::Text => lines.with_target(false).boxed(),
        LogFormat::Json => lines.json().flatten_event(true).boxed(),
    };
    let spans = traces.as_ref().map(|traces| tracing_opentelemetry::layer().with_tracer(traces.tracer("skein")));
    tracing_subscriber::registry().with(filter).with(lines).with(spans).try_init().context("set up logging")?;
    Ok(Telemetry { metrics: metrics()?, traces })
}

fn metrics() -> Result<PrometheusHandle> {
    const SECONDS: &[f64] = &[0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0];
    const SIZES: &[f64] = &[1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0, 1024.0, 4096.0, 16384.0, 65536.0];
    PrometheusBuilder::new()
        .set_buckets_for_metric(Matcher::Suffix("_seconds".into()), SECONDS)
        .and_then(|builder| builder.set_buckets(SIZES))
        .context("set up metric buckets")?
        .install_recorder()
        .context("set up metrics")
}

fn traces(config: &Config, node: &str) -> Result<Option<SdkTracerProvider>> {
    use opentelemetry_sdk::trace::Sampler;
    if config.otlp.is_empty() {
        return Ok(None);
    }
    let exporter = opentelemetry_otlp::SpanExporter::builder()
        .with_tonic()
        .with_endpoint(&config.otlp)
        .build()
        .with_context(|| format!("set up traces to {}", config.otlp))?;
    let resource = opentelemetry_sdk::Resource::builder()
        .with_service_name("skein")
        .with_attribute(opentelemetry::KeyValue::new("service.instance.id", node.to_owned()))
        .build();
    let provider = SdkTracerProvider::builder()
        .with_batch_exporter(exporter)
        .with_sampler(Sampler::ParentBased(Box::new(Sampler::TraceIdRatioBased(config.trace_share))))
        .with_resource(resource)
        .build();
    opentelemetry::global::set_text_map_propagator(opentelemetry_sdk::propagation::TraceContextPropagator::new());
    Ok(Some(provider))
}
