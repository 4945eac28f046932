//! A real `skein serve` process with two friends, and a client that speaks the frame protocol.

use bytes::BytesMut;
use serde_json::{Value, json};
use skein_protocol::frame::{Frame, FrameDecoder, Limits, Strictness};
use skein_protocol::{Codec, Incoming, MAJOR, Push, Reply, Request, v1};
use skein_server::admin::{Verb, client};
use skein_server::node::Listening;
use std::collections::HashMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::process::{Child, Command};

const PATIENCE: Duration = Duration::from_secs(30);

pub struct Server {
    child: Child,
    folder: tempfile::TempDir,
    pub listening: Listening,
}

/// Somebody with an account, logged in over HTTP.
pub struct Person {
    pub uid: i64,
    pub token: String,
    /// Of the log-in: its request id.
    pub request: String,
}

impl Server {
    pub async fn start(settings: &[&str], environment: &[(&str, &str)]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let log = std::fs::File::create(folder.path().join("log")).unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_skein"));
        command.arg("serve").arg("--data").arg(folder.path().join("data"));
        let ports = ["public", "tcp", "push", "admin"].map(|name| format!("listen.{name}=127.0.0.1:0"));
        for setting in ports.iter().map(String::as_str).chain(settings.iter().copied()) {
            command.arg("--set").arg(setting);
        }
        command.envs(environment.iter().copied()).stdout(Stdio::null()).stderr(log).kill_on_drop(true);
        let child = command.spawn().unwrap();
        let mut server = Self { child, folder, listening: Listening::default() };
        server.listening = until("the server listens", || server.read_listening()).await;
        server
    }

    pub fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    fn read_listening(&self) -> Option<Listening> {
        Listening::read(&self.data()).ok()
    }

    pub fn log(&self) -> String {
        std::fs::read_to_string(self.folder.path().join("log")).unwrap()
    }

    /// Two friends.
    pub async fn friends(&self) -> [Person; 2] {
        let made = client::ask(&self.data(), &Verb::Demo).await.unwrap();
        let accounts = made["accounts"].as_array().unwrap();
        [self.log_in(&accounts[0]).await, self.log_in(&accounts[1]).await]
    }

    async fn log_in(&self, account: &Value) -> Person {
        let asked = json!({"email": account["email"], "password": account["password"], "device_class": "cli"});
        let response = self.post("/api/v1/login", &asked).await;
        let request = response.headers()["x-request-id"].to_str().unwrap().to_owned();
        let told: Value = response.json().await.unwrap();
        let uid = told["uid"].as_str().unwrap().parse().unwrap();
        Person { uid, token: told["token"].as_str().unwrap().to_owned(), request }
    }

    pub async fn post(&self, path: &str, body: &Value) -> reqwest::Response {
        let url = format!("http://{}{path}", self.listening.public.unwrap());
        let asked = reqwest::Client::new().post(url).header("content-type", "application/json").body(body.to_string());
        asked.send().await.unwrap()
    }

    pub async fn connect(&self, person: &Person) -> Client {
        let mut client = Client::open(self.listening.tcp.unwrap()).await;
        let auth = v1::Auth { token: person.token.clone(), major: MAJOR, ..v1::Auth::default() };
        assert!(matches!(client.ask(Request::Auth(auth)).await, Reply::Hello(_)));
        client
    }

    pub async fn metrics(&self) -> Metrics {
        let url = format!("http://{}/metrics", self.listening.admin.unwrap());
        Metrics::parse(&reqwest::get(url).await.unwrap().text().await.unwrap())
    }

    /// SIGTERM, and the end of the drain.
    pub async fn stop(&mut self) {
        let pid = self.child.id().unwrap().to_string();
        assert!(Command::new("kill").arg("-TERM").arg(pid).status().await.unwrap().success());
        let status = tokio::time::timeout(PATIENCE, self.child.wait()).await.expect("the server stops").unwrap();
        assert!(status.success(), "{}", self.log());
    }
}

/// Looks until there is something; fails when that takes too long.
pub async fn until<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let looking = async {
        loop {
            match look() {
                Some(found) => return found,
                None => tokio::time::sleep(Duration::from_millis(5)).await,
            }
        }
    };
    tokio::time::timeout(PATIENCE, looking).await.unwrap_or_else(|_| panic!("waited in vain: {what}"))
}

/// One connection over TCP.
pub struct Client {
    stream: TcpStream,
    unread: BytesMut,
    asked: i32,
    pushes: Vec<Push>,
}

impl Client {
    pub async fn open(address: SocketAddr) -> Self {
        Self { stream: TcpStream::connect(address).await.unwrap(), unread: BytesMut::new(), asked: 0, pushes: Vec::new() }
    }

    pub async fn ask(&mut self, request: Request) -> Reply {
        self.asked += 1;
        let frame = Frame::request(&request, self.asked, Codec::Protobuf).unwrap();
        self.stream.write_all(&frame.encode()).await.unwrap();
        loop {
            match self.hear().await {
                Incoming::Reply(reply) => return reply,
                Incoming::Push(push) => self.pushes.push(push),
            }
        }
    }

    /// The direct conversation with a friend.
    pub async fn direct(&mut self, friend: &Person) -> i64 {
        match self.ask(Request::OpenDirect(v1::OpenDirect { uid: friend.uid })).await {
            Reply::ConversationReply(reply) => reply.conversation.unwrap().id,
            other => panic!("{other:?}"),
        }
    }

    pub async fn send(&mut self, conversation: i64, key: &str) -> Reply {
        let text = v1::Segment { part: Some(v1::segment::Part::Text("你好".to_owned())) };
        let body = v1::Body { kind: "text".to_owned(), segments: vec![text], ..v1::Body::default() };
        let (key, body) = (key.to_owned(), Some(body));
        self.ask(Request::Send(v1::Send { conversation, key, body, ..v1::Send::default() })).await
    }

    /// Until a message arrives.
    pub async fn expect_message(&mut self, key: &str) {
        let is_it = |push: &Push| matches!(push, Push::ServerMessages(told) if told.entries.iter().any(|entry| entry.key == key));
        while !self.pushes.iter().any(is_it) {
            if let Incoming::Push(push) = self.hear().await {
                self.pushes.push(push);
            }
        }
    }

    async fn hear(&mut self) -> Incoming {
        let decoder = FrameDecoder::new(Limits::SKEIN, Strictness::Skein);
        loop {
            if let Some(frame) = decoder.decode(&mut self.unread).unwrap() {
                return Incoming::decode(frame.op, frame.seq, Codec::Protobuf, &frame.body).unwrap();
            }
            let read = tokio::time::timeout(PATIENCE, self.stream.read_buf(&mut self.unread)).await.expect("the server speaks");
            assert!(read.unwrap() > 0, "connection closed");
        }
    }
}

/// A page of `/metrics`.
pub struct Metrics {
    /// With their labels as they stand.
    samples: Vec<(String, f64)>,
    pub help: HashMap<String, String>,
}

impl Metrics {
    fn parse(page: &str) -> Self {
        let helped = page.lines().filter_map(|line| line.strip_prefix("# HELP ")?.split_once(' '));
        let help = helped.map(|(name, meaning)| (name.to_owned(), meaning.to_owned())).collect();
        let sampled = page.lines().filter(|line| !line.starts_with('#')).filter_map(|line| line.rsplit_once(' '));
        let samples = sampled.map(|(name, value)| (name.to_owned(), value.parse().unwrap())).collect();
        Self { samples, help }
    }

    /// Sum of the samples whose name is this and whose labels hold all of these; `None` if there is none.
    pub fn sum(&self, name: &str, labels: &[&str]) -> Option<f64> {
        let is_it = |sample: &str| {
            let (own, own_labels) = sample.split_once('{').unwrap_or((sample, ""));
            own == name && labels.iter().all(|label| own_labels.contains(label))
        };
        let found: Vec<f64> = self.samples.iter().filter(|(sample, _)| is_it(sample)).map(|(_, value)| *value).collect();
        (!found.is_empty()).then(|| found.iter().sum())
    }
}
