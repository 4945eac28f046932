//! From `tracing` spans to OpenTelemetry's: only what is traced, under the ids that its hops chose.
//!
//! A span with a field `trace` is a hop (see [`skein_domain::trace`]): it is exported under exactly that trace and span id,
//! with the hop of its field `parent` before it, be that in this process or another. A span inside a traced one is exported
//! as its child. Of all other spans nothing is made, so what is not traced costs a look at its field names.
//!
//! **Invariant:** whether something is traced was decided where it came in; nothing here samples again.
//!
//! Bound: the exporter's queue (2,048 spans; beyond it spans are dropped), and its deadline when the process stops.

use super::Config;
use anyhow::{Context as _, Result};
use opentelemetry::trace::{
    Span as _, SpanBuilder, SpanContext, SpanId, TraceContextExt, TraceFlags, TraceId, TraceState, Tracer, TracerProvider,
};
use opentelemetry::{Context, KeyValue, Value};
use opentelemetry_otlp::WithExportConfig;
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::{IdGenerator, RandomIdGenerator, Sampler, SdkTracer, SdkTracerProvider, Span};
use skein_domain::trace::Trace;
use std::cell::Cell;
use std::fmt::Debug;
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Metadata, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::layer::Context as Spans;
use tracing_subscriber::registry::LookupSpan;

/// `None`: traces go nowhere. Inside the runtime that is to drive the exporter.
pub(super) fn provider(config: &Config, node: &str) -> Result<Option<SdkTracerProvider>> {
    if config.otlp.is_empty() {
        return Ok(None);
    }
    let exporter = opentelemetry_otlp::SpanExporter::builder()
        .with_tonic()
        .with_endpoint(&config.otlp)
        .build()
        .with_context(|| format!("set up traces to {}", config.otlp))?;
    let instance = KeyValue::new("service.instance.id", node.to_owned());
    let provider = SdkTracerProvider::builder()
        .with_batch_exporter(exporter)
        .with_sampler(Sampler::AlwaysOn)
        .with_id_generator(HopIds::default())
        .with_resource(Resource::builder().with_service_name("skein").with_attribute(instance).build());
    Ok(Some(provider.build()))
}

/// Our own spans, whatever the log shows.
pub(super) fn is_ours(metadata: &Metadata<'_>) -> bool {
    metadata.is_span() && metadata.target().starts_with("skein") && *metadata.level() <= tracing::Level::INFO
}

pub(super) struct Traces {
    tracer: SdkTracer,
}

/// What a `tracing` span carries while it lasts.
struct Open(Span);

impl Traces {
    pub fn new(provider: &SdkTracerProvider) -> Self {
        Self { tracer: provider.tracer("skein") }
    }

    fn hop(&self, hop: Trace, parent: Option<u64>, builder: SpanBuilder) -> Span {
        let id = TraceId::from(hop.id().0);
        let before = match parent {
            Some(parent) => {
                let remote = SpanContext::new(id, SpanId::from(parent), TraceFlags::SAMPLED, true, TraceState::default());
                Context::new().with_remote_span_context(remote)
            }
            None => Context::new(),
        };
        NEXT.set(Some((id, SpanId::from(hop.span().0))));
        let span = self.tracer.build_with_context(builder, &before);
        NEXT.set(None);
        span
    }
}

impl<S: Subscriber + for<'span> LookupSpan<'span>> Layer<S> for Traces {
    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, spans: Spans<'_, S>) {
        let Some(span) = spans.span(id) else { return };
        let around = span.parent().and_then(|parent| parent.extensions().get::<Open>().map(|open| open.0.span_context().clone()));
        if around.is_none() && attributes.metadata().fields().field("trace").is_none() {
            return;
        }
        let mut fields = Fields::default();
        attributes.record(&mut fields);
        let builder = SpanBuilder::from_name(attributes.metadata().name()).with_attributes(fields.others);
        let open = match (fields.trace, around) {
            (Some(hop), _) => self.hop(hop, fields.parent, builder),
            (None, Some(around)) => {
                let around = Context::new().with_remote_span_context(around);
                self.tracer.build_with_context(builder, &around)
            }
            (None, None) => return,
        };
        span.extensions_mut().insert(Open(open));
    }

    fn on_record(&self, id: &Id, values: &Record<'_>, spans: Spans<'_, S>) {
        let Some(span) = spans.span(id) else { return };
        if let Some(Open(open)) = span.extensions_mut().get_mut::<Open>() {
            let mut fields = Fields::default();
            values.record(&mut fields);
            open.set_attributes(fields.others);
        }
    }

    fn on_close(&self, id: Id, spans: Spans<'_, S>) {
        let open = spans.span(&id).and_then(|span| span.extensions_mut().remove::<Open>());
        if let Some(Open(mut open)) = open {
            open.end();
        }
    }
}

/// Fields of a span.
#[derive(Default)]
struct Fields {
    trace: Option<Trace>,
    parent: Option<u64>,
    others: Vec<KeyValue>,
}

impl Fields {
    fn add(&mut self, field: &Field, value: impl Into<Value>) {
        self.others.push(KeyValue::new(field.name(), value));
    }
}

impl Visit for Fields {
    fn record_bool(&mut self, field: &Field, value: bool) {
        self.add(field, value);
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.add(field, value);
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        self.add(field, value);
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        match field.name() {
            "trace" => self.trace = Trace::parse(value).map(|(hop, _)| hop),
            "parent" => self.parent = u64::from_str_radix(value, 16).ok(),
            _ => self.add(field, value.to_owned()),
        }
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.add(field, i64::try_from(value).unwrap_or(i64::MAX));
    }

    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        self.record_str(field, &format!("{value:?}"));
    }
}

thread_local! {
    /// The ids of the hop that is being made.
    static NEXT: Cell<Option<(TraceId, SpanId)>> = const { Cell::new(None) };
}

/// A hop's own ids; random ones for spans inside hops.
#[derive(Debug, Default)]
struct HopIds(RandomIdGenerator);

impl IdGenerator for HopIds {
    fn new_trace_id(&self) -> TraceId {
        NEXT.get().map_or_else(|| self.0.new_trace_id(), |(trace, _)| trace)
    }

    fn new_span_id(&self) -> SpanId {
        NEXT.get().map_or_else(|| self.0.new_span_id(), |(_, span)| span)
    }
}
