//! Traces as a collector gets them.

use super::collector::{Collector, Span};
use super::world::Server;
use serde_json::json;
use skein_protocol::Reply;
use xtask::services::{self, Service};

/// So that what the collector has was flushed when the process stopped.
const ONLY_AT_THE_END: [(&str, &str); 1] = [("OTEL_BSP_SCHEDULE_DELAY", "3600000")];

/// The name of each span's parent, beside its own.
fn line(spans: &[Span]) -> Vec<(&str, &str)> {
    let name_of = |id: &str| spans.iter().find(|span| span.id == id).map_or("", |span| span.name.as_str());
    spans.iter().map(|span| (name_of(&span.parent), span.name.as_str())).collect()
}

/// Of one message, on a server with these settings.
async fn spans_of_a_message(settings: &[String]) -> Vec<Span> {
    let (collector, otlp) = Collector::start().await;
    let settings: Vec<&str> = settings.iter().map(String::as_str).chain([otlp.as_str()]).collect();
    let mut server = Server::start(&settings, &ONLY_AT_THE_END).await;
    let [ann, bo] = server.friends().await;
    let (mut ann_device, mut bo_device) = (server.connect(&ann).await, server.connect(&bo).await);
    let conversation = ann_device.direct(&bo).await;
    assert!(matches!(ann_device.send(conversation, "traced-1").await, Reply::Ack(_)));
    bo_device.expect_message("traced-1").await;
    // Both devices of the message have it, so its fan-out has done its work.
    ann_device.expect_message("traced-1").await;
    assert!(collector.spans().is_empty(), "nothing leaves before the end");
    server.stop().await;
    let appends: Vec<Span> = collector.spans().into_iter().filter(|span| span.name == "append").collect();
    assert_eq!(appends.len(), 1, "{appends:?}");
    collector.trace(&appends[0].trace)
}

#[tokio::test]
async fn one_message_is_one_trace_over_all_hops() {
    let spans = spans_of_a_message(&[]).await;
    assert_eq!(line(&spans), HOPS);
    assert_eq!(spans[0].parent, "", "the first hop is the root");
    assert!(spans.iter().all(|span| span.begun <= span.ended));
}

/// The hop is left to nobody in this process: what reads the log has it from the record.
#[tokio::test]
async fn a_trace_goes_on_over_kafka() {
    let brokers = tokio::task::spawn_blocking(|| services::require(Service::Kafka)).await.unwrap().unwrap();
    let name = format!("traces-{}", std::process::id());
    let own = [("brokers", brokers), ("topic", name.clone()), ("push_topic", format!("{name}-push")), ("group", name)];
    let spans = spans_of_a_message(&own.map(|(key, value)| format!("kafka.{key}={value}"))).await;
    assert_eq!(line(&spans), HOPS);
}

const HOPS: [(&str, &str); 5] =
    [("", "comet.command"), ("comet.command", "command"), ("command", "append"), ("append", "fan_out"), ("fan_out", "deliver")];

#[tokio::test]
async fn a_trace_goes_on_between_processes() {
    let (collector, otlp) = Collector::start().await;
    // Free a moment ago; the core must know it before the Comet is there.
    let comet_rpc = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let peers = format!("peers.comets=[{{node=\"comet-1\",address=\"http://{comet_rpc}\"}}]");
    let roles = "node.roles=[\"gate\",\"status\",\"verify\",\"logic\",\"job\"]";
    let mut core = Server::start(&[&otlp, roles, &peers, "node.name=core", "listen.logic_rpc=127.0.0.1:0"], &ONLY_AT_THE_END).await;
    let settings = [
        otlp,
        "node.roles=[\"comet\"]".to_owned(),
        "node.name=comet-1".to_owned(),
        format!("listen.comet_rpc={comet_rpc}"),
        format!("peers.logic=http://{}", core.listening.logic_rpc.unwrap()),
        format!("peers.secret_file={}", core.data().join("internal.secret").display()),
    ];
    let mut comet = Server::start(&settings.each_ref().map(String::as_str), &ONLY_AT_THE_END).await;
    let [ann, bo] = core.friends().await;
    let (mut ann_device, mut bo_device) = (comet.connect(&ann).await, comet.connect(&bo).await);
    let conversation = ann_device.direct(&bo).await;
    assert!(matches!(ann_device.send(conversation, "far").await, Reply::Ack(_)));
    bo_device.expect_message("far").await;
    ann_device.expect_message("far").await;
    comet.stop().await;
    core.stop().await;
    let appends: Vec<Span> = collector.spans().into_iter().filter(|span| span.name == "append").collect();
    assert_eq!(line(&collector.trace(&appends[0].trace)), HOPS);
}

#[tokio::test]
async fn a_log_in_is_one_trace_named_by_its_request_id() {
    let (collector, otlp) = Collector::start().await;
    let mut server = Server::start(&[&otlp], &ONLY_AT_THE_END).await;
    let [ann, _] = server.friends().await;
    server.stop().await;
    let spans = collector.trace(&ann.request);
    // Client to gate, gate to verification, verification to status; the answer ends the first.
    assert_eq!(line(&spans), [("", "http"), ("http", "account.log_in"), ("account.log_in", "status.choose")]);
    assert!(spans[1..].iter().all(|span| span.ended <= spans[0].ended));
}

#[tokio::test]
async fn a_client_s_own_trace_goes_on_in_ours() {
    let (collector, otlp) = Collector::start().await;
    let mut server = Server::start(&[&otlp, "telemetry.log=error"], &ONLY_AT_THE_END).await;
    let [ann, bo] = server.friends().await;
    let conversation = server.connect(&ann).await.direct(&bo).await;
    let url = format!("http://{}/api/v1/conversations/{conversation}/messages", server.listening.public.unwrap());
    let (trace, span) = ("0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331");
    for (flags, key) in [("01", "traced"), ("00", "not-traced")] {
        let asked = reqwest::Client::new().post(&url).header("content-type", "application/json").bearer_auth(&ann.token);
        let asked = asked.header("traceparent", format!("00-{trace}-{span}-{flags}"));
        let answer = asked.body(json!({"key": key, "text": "hi"}).to_string()).send().await.unwrap();
        assert_eq!((answer.status().as_u16(), &answer.headers()["x-request-id"]), (200, &trace.parse().unwrap()));
    }
    server.stop().await;
    let spans = collector.trace(trace);
    let names: Vec<&str> = spans.iter().map(|span| span.name.as_str()).collect();
    assert_eq!((names[0], spans[0].parent.as_str()), ("http", span), "also with a quiet log");
    assert_eq!(names.iter().filter(|name| **name == "append").count(), 1, "{names:?}");
}

#[tokio::test]
async fn a_share_of_nothing_is_nothing() {
    let (collector, otlp) = Collector::start().await;
    let mut server = Server::start(&[&otlp, "telemetry.trace_share=0.0"], &[]).await;
    let [ann, bo] = server.friends().await;
    let mut device = server.connect(&ann).await;
    let conversation = device.direct(&bo).await;
    assert!(matches!(device.send(conversation, "k").await, Reply::Ack(_)));
    match device.send(conversation + 1_000, "k2").await {
        Reply::Error(error) => assert_eq!(error.trace.len(), 32, "a failure has a name all the same"),
        other => panic!("{other:?}"),
    }
    server.stop().await;
    assert_eq!(collector.spans().len(), 0);
}
