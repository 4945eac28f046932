//! A node of comet that takes goim's clients in, on ports of its own.

use super::client::{Goim, Via};
use super::script::Script;
use skein_domain::delivery::{Batch, Control, Delivered, Envelope, Push, Target};
use skein_domain::door::Delivery;
use skein_domain::id::NodeId;
use skein_domain::live::{Audience, GuestKey, LiveMessage, RoomName};
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
    pub websocket: SocketAddr,
    _running: DropGuard,
}

/// Times a test can wait for. Nothing in here is near what a healthy client takes.
pub fn patient() -> Config {
    Config { renew_interval_ms: 3_600_000, online_interval_ms: 3_600_000, ..Config::default() }
}

impl World {
    pub async fn plain() -> Self {
        Self::new(patient()).await
    }

    pub async fn new(config: Config) -> Self {
        Self::over(config, Arc::default(), "node-1", listener().await, listener().await).await
    }

    /// Little room in the kernel, so that a slow reader is noticed soon. Accepted sockets inherit it.
    pub async fn narrow(config: Config) -> Self {
        let narrow = || {
            let socket = TcpSocket::new_v4().unwrap();
            socket.set_send_buffer_size(8 * 1024).unwrap();
            socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
            socket.listen(128).unwrap()
        };
        Self::over(config, Arc::default(), "node-1", narrow(), narrow()).await
    }

    /// A second node of the same logic.
    pub async fn beside(other: &World, config: Config) -> Self {
        Self::over(config, other.logic.clone(), "node-2", listener().await, listener().await).await
    }

    async fn over(config: Config, logic: Arc<Script>, node: &str, tcp_listener: TcpListener, websocket_listener: TcpListener) -> Self {
        config.validate().unwrap();
        let hub = Hub::new(config, NodeId(node.into()));
        let comet = Comet::new(hub.clone(), logic.clone(), CometAddress::default());
        let (tcp, websocket) = (tcp_listener.local_addr().unwrap(), websocket_listener.local_addr().unwrap());
        let running = CancellationToken::new();
        for (listener, clients) in [(tcp_listener, Clients::SkeinAndGoim), (websocket_listener, Clients::GoimWebSocket)] {
            let (serving, stop) = (comet.clone(), running.clone());
            tokio::spawn(async move { serving.serve(listener, None, clients, stop).await });
        }
        let (working, stop) = (comet.clone(), running.clone());
        tokio::spawn(async move { working.run(stop).await });
        Self { hub, comet, logic, tcp, websocket, _running: running.drop_guard() }
    }

    /// Connected, and upgraded where that is due.
    pub async fn client(&self, via: Via) -> Goim {
        Goim::connect(via, if via == Via::Tcp { self.tcp } else { self.websocket }).await
    }

    /// Logged in with this body of op 7.
    pub async fn guest(&self, via: Via, body: &str) -> Goim {
        let mut client = self.client(via).await;
        client.log_in(body).await;
        client
    }

    pub async fn push(&self, target: Target, messages: &[(i32, &[u8])]) -> Delivered {
        let messages = messages.iter().map(|(operation, body)| LiveMessage { operation: *operation, body: body.to_vec() }).collect();
        let room = if let Target::LiveRoom(room) = &target { Some(room.clone()) } else { None };
        self.deliver(Envelope { target, push: Push::Live { room, messages } }).await
    }

    pub async fn deliver(&self, envelope: Envelope) -> Delivered {
        let batch = Batch { origin: None, envelopes: vec![envelope], controls: Vec::new(), trace: None };
        let delivered = self.hub.deliver(batch).await.unwrap();
        // So that connections write what they can: a queue should fill because its socket is full.
        tokio::task::yield_now().await;
        delivered
    }

    pub async fn control(&self, control: Control) {
        self.hub.deliver(Batch { origin: None, envelopes: Vec::new(), controls: vec![control], trace: None }).await.unwrap();
    }

    /// Nobody is here and nothing is left of anybody, in the hub and in the registry.
    pub async fn is_empty_again(&self) {
        let empty = || self.hub.counts() == Counts::default() && self.logic.registered() == 0;
        eventually("nothing is left", empty).await;
    }
}

async fn listener() -> TcpListener {
    TcpListener::bind("127.0.0.1:0").await.unwrap()
}

pub fn room(name: &str) -> Target {
    Target::LiveRoom(RoomName::parse(name).unwrap())
}

pub fn keys(keys: &[&str]) -> Target {
    Target::Guests(keys.iter().map(|key| GuestKey::parse(key).unwrap()).collect())
}

pub fn all() -> Target {
    Target::Audience(Audience::default())
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
