//! A node of comet alone, on ports of its own.

use super::client::Client;
use super::script::Script;
use axum::Router;
use skein_domain::delivery::{Batch, Control, Delivered, Envelope, Push, Target};
use skein_domain::door::Delivery;
use skein_domain::id::{ConnectionRef, Millis, NodeId, SessionId};
use skein_domain::port::CometAddress;
use skein_edge::comet::{Clients, Comet, Config, Counts, Hub};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::{TcpListener, TcpSocket};
use tokio_util::sync::{CancellationToken, DropGuard};

pub struct World {
    pub hub: Arc<Hub>,
    pub comet: Comet,
    pub logic: Arc<Script>,
    pub tcp: SocketAddr,
    pub http: SocketAddr,
    pub accepting: CancellationToken,
    _running: DropGuard,
}

/// Times a test can wait for. Nothing in here is near what a healthy client takes.
pub fn patient() -> Config {
    Config { renew_interval_ms: 3_600_000, ..Config::default() }
}

impl World {
    pub async fn new(config: Config, logic: Arc<Script>) -> Self {
        Self::on(config, logic, TcpListener::bind("127.0.0.1:0").await.unwrap()).await
    }

    /// Little room in the kernel, so that a slow reader is noticed soon. Accepted sockets inherit it.
    pub async fn narrow(config: Config, logic: Arc<Script>) -> Self {
        let socket = TcpSocket::new_v4().unwrap();
        socket.set_send_buffer_size(8 * 1024).unwrap();
        socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
        Self::on(config, logic, socket.listen(128).unwrap()).await
    }

    async fn on(config: Config, logic: Arc<Script>, tcp_listener: TcpListener) -> Self {
        config.validate().unwrap();
        let hub = Hub::new(config.clone(), NodeId("node-1".into()));
        let comet = Comet::new(hub.clone(), logic.clone(), CometAddress::default());
        let http_listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (tcp, http) = (tcp_listener.local_addr().unwrap(), http_listener.local_addr().unwrap());
        let (accepting, running) = (CancellationToken::new(), CancellationToken::new());
        let gate = Router::new().route("/hello", axum::routing::get(async || "from the gate"));
        let http_server =
            skein_edge::serve_http(http_listener, None, gate, Some(comet.clone()), config.listener.clone(), accepting.clone());
        tokio::spawn(http_server);
        let (serving, stop) = (comet.clone(), accepting.clone());
        tokio::spawn(async move { serving.serve(tcp_listener, None, Clients::Skein, stop).await });
        let (working, stop) = (comet.clone(), running.clone());
        tokio::spawn(async move { working.run(stop).await });
        Self { hub, comet, logic, tcp, http, accepting, _running: running.drop_guard() }
    }

    pub async fn plain() -> Self {
        Self::new(patient(), Script::plain()).await
    }

    pub async fn client(&self) -> Client {
        Client::connect(self.tcp).await
    }

    /// Logged in over TCP.
    pub async fn user(&self, token: &str) -> Client {
        let mut client = self.client().await;
        client.log_in(token).await;
        client
    }

    pub fn connection(&self, session: i64) -> ConnectionRef {
        let session = SessionId(session);
        ConnectionRef { session, generation: self.logic.registry.lock().unwrap()[&session] }
    }

    pub async fn push(&self, target: Target, push: Push) -> Delivered {
        let batch = Batch { origin: None, envelopes: vec![Envelope { target, push }], controls: Vec::new(), trace: None };
        let delivered = self.hub.deliver(batch).await.unwrap();
        // So that connections write what they can: a queue should fill because its socket is full.
        tokio::task::yield_now().await;
        delivered
    }

    pub async fn notify(&self, text: &str) -> Delivered {
        self.push(Target::Everyone, notice(text)).await
    }

    pub async fn control(&self, control: Control) {
        self.hub.deliver(Batch { origin: None, envelopes: Vec::new(), controls: vec![control], trace: None }).await.unwrap();
    }

    /// Nobody is here and nothing is left of anybody, in the hub and in the registry.
    pub async fn is_empty_again(&self) {
        let empty = || self.hub.counts() == Counts::default() && self.logic.registered() == 0;
        eventually(&format!("nothing is left, but {:?} and {} registered", self.hub.counts(), self.logic.registered()), empty).await;
    }
}

pub fn notice(text: &str) -> Push {
    Push::Notice { title: "n".into(), text: text.into(), at: Millis(1) }
}

/// For conditions that nobody can be asked to announce.
pub async fn eventually(what: &str, condition: impl Fn() -> bool) {
    let met = async {
        while !condition() {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(10), met).await.unwrap_or_else(|_| panic!("never happened: {what}"));
}
