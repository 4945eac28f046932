//! Transient pushes between the roles, as goim's records on goim's topic: what goim's logic or job would stand beside.

use super::{PATIENCE, blocking};
use rdkafka::ClientConfig;
use rdkafka::consumer::{Consumer, StreamConsumer};
use rdkafka::message::{Message, OwnedMessage};
use rdkafka::producer::{FutureProducer, FutureRecord};
use rdkafka::util::Timeout;
use skein_testkit::cluster::{Cluster, Setup, Topology};
use skein_testkit::goim::Goim;
use skein_testkit::live_crowd;
use std::net::SocketAddr;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use xtask::services::{Service, require};

const PARTITIONS: i32 = 6;
const LISTENERS: [&str; 5] = ["websocket", "websocket_tls", "http", "comet_rpc", "logic_rpc"];
const SWITCHES: [&str; 3] = ["on", "trust", "open_push"];
/// First tag of what goim does not know: field 100, with a length.
const OURS: [u8; 2] = [0xa2, 0x06];

/// Comet in one process, the rest in another, goim's doors open.
struct Deployment {
    cluster: Cluster,
    client: ClientConfig,
    topic: String,
    _folder: TempDir,
}

impl Deployment {
    async fn start(name: &str) -> Self {
        let brokers = blocking(|| require(Service::Kafka)).await.unwrap();
        let topic = format!("{name}-{}", std::process::id());
        let own =
            [("brokers", brokers.clone()), ("topic", format!("{topic}-log")), ("group", topic.clone()), ("push_topic", topic.clone())];
        let mut settings: Vec<(String, String)> = own.into_iter().map(|(key, value)| (format!("kafka.{key}"), value)).collect();
        settings.extend(LISTENERS.map(|name| (format!("compat.goim.{name}"), "127.0.0.1:0".into())));
        settings.extend(SWITCHES.map(|name| (format!("compat.goim.{name}"), "true".into())));
        let folder = tempfile::tempdir().unwrap();
        let mut cluster = Cluster::new(Topology::Split, folder.path(), Setup { settings, ..Setup::default() }).unwrap();
        cluster.start(&skein_powercut::Options::default()).await.unwrap();
        let mut client = ClientConfig::new();
        client.set("bootstrap.servers", brokers);
        Self { cluster, client, topic, _folder: folder }
    }

    fn clients(&self) -> SocketAddr {
        self.cluster.address().borrow().unwrap().tcp
    }

    fn http(&self) -> SocketAddr {
        self.cluster.core().unwrap().goim_http().unwrap()
    }

    async fn push(&self, target: &str, body: &str) {
        let mut stream = TcpStream::connect(self.http()).await.unwrap();
        let request = format!("POST /goim/push/{target} HTTP/1.0\r\nContent-Length: {}\r\n\r\n{body}", body.len());
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        assert!(answer.contains("\"code\":0"), "{target}: {answer}");
    }

    async fn records(&self, count: usize) -> Vec<OwnedMessage> {
        let mut client = self.client.clone();
        client.set("group.id", format!("{}-look", self.topic)).set("auto.offset.reset", "earliest");
        let consumer: StreamConsumer = client.create().unwrap();
        consumer.subscribe(&[&self.topic]).unwrap();
        let reading = async {
            let mut records = Vec::new();
            while records.len() < count {
                records.push(consumer.recv().await.unwrap().detach());
            }
            records
        };
        tokio::time::timeout(PATIENCE, reading).await.expect("records in time")
    }
}

/// As goim's logic encodes a `goim.logic.PushMsg`: fields in their order, those without a value left out.
fn push_msg(kind: u8, server: &str, room: &str, keys: &[&str], msg: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    if kind != 0 {
        bytes.extend([0x08, kind]);
    }
    // Operation 1000.
    bytes.extend([0x10, 0xe8, 0x07]);
    let mut text = |tag: u8, text: &str| {
        bytes.extend([tag, text.len() as u8]);
        bytes.extend(text.as_bytes());
    };
    if !server.is_empty() {
        text(0x22, server);
    }
    if !room.is_empty() {
        text(0x2a, room);
    }
    keys.iter().for_each(|key| text(0x32, key));
    text(0x3a, msg);
    bytes
}

/// Where Sarama, which goim uses, puts a key.
fn sarama_partition(key: &[u8]) -> i32 {
    let hash = key.iter().fold(0x811c_9dc5_u32, |hash, byte| (hash ^ u32::from(*byte)).wrapping_mul(0x0100_0193));
    ((hash as i32) % PARTITIONS).abs()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn our_records_are_goims() {
    let deployment = Deployment::start("pushed-by-us").await;
    let mut ann = Goim::tcp(deployment.clients(), r#"{"mid":7,"key":"ann","room_id":"live://1","accepts":[1000]}"#).await;
    deployment.push("room?operation=1000&type=live&room=1", "to the room").await;
    deployment.push("keys?operation=1000&keys=ann", "to ann").await;
    deployment.push("all?operation=1000", "to all").await;
    let heard: Vec<String> = ann.pushes(3).await.into_iter().map(|(_, text)| text).collect();
    assert_eq!(heard, ["to all", "to ann", "to the room"]);

    let mut expected = vec![
        ("live://1", push_msg(1, "", "live://1", &[], "to the room")),
        ("ann", push_msg(0, "comet-1", "", &["ann"], "to ann")),
        ("1000", push_msg(2, "", "", &[], "to all")),
    ];
    for record in deployment.records(3).await {
        let (key, value) = (record.key().unwrap(), record.payload().unwrap());
        let nth = expected.iter().position(|(expected, _)| expected.as_bytes() == key).expect("one of goim's keys, once");
        let (_, goims) = expected.remove(nth);
        let rest = value.strip_prefix(&goims[..]).expect("goim's bytes come first");
        assert!(rest.starts_with(&OURS), "and then what goim skips");
        assert_eq!(record.partition(), sarama_partition(key));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn goims_records_are_pushed_in_order_and_what_is_none_is_skipped() {
    let deployment = Deployment::start("pushed-by-goim").await;
    let mut ann = Goim::tcp(deployment.clients(), r#"{"mid":7,"key":"ann","room_id":"live://1","accepts":[1000]}"#).await;
    let producer: FutureProducer = deployment.client.clone().set("partitioner", "fnv1a").create().unwrap();
    let send = async |key: &str, value: &[u8]| {
        let record = FutureRecord::to(&deployment.topic).key(key).payload(value);
        producer.send(record, Timeout::After(PATIENCE)).await.unwrap();
    };
    for nth in 0..30 {
        send("live://1", &push_msg(1, "", "live://1", &[], &nth.to_string())).await;
        send("live://1", if nth % 2 == 0 { b"rubbish" } else { &[0x08, 0x09] }).await;
    }
    for nth in 0..30 {
        assert_eq!(ann.push().await, (1000, nth.to_string()));
    }
    send("ann", &push_msg(0, "comet-1", "", &["ann"], "to ann")).await;
    assert_eq!(ann.push().await, (1000, "to ann".into()));
    send("1000", &push_msg(2, "", "", &[], "to all")).await;
    assert_eq!(ann.push().await, (1000, "to all".into()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_room_full_of_guests_hears_everything_in_order_over_the_log() {
    let deployment = Deployment::start("crowd").await;
    let plan = live_crowd::Plan { receivers: 50, per_second: 100, messages: 300 };
    let heard = live_crowd::run(deployment.clients(), deployment.http(), plan).await.unwrap();
    assert_eq!((heard.lost, heard.doubled_or_late), (0, 0), "{heard:?}");
    let mut last = heard.last_receiver.clone();
    last.sort_unstable();
    eprintln!("pushes over the log: last receiver after p50 {:?}, p99 {:?}", last[last.len() / 2], last[last.len() * 99 / 100]);
}
