//! How often one waits for Redis.

use super::super::cache::tests::{Two, two_on};
use super::super::{Config, Redis, RedisSessions};
use futures_util::future::join_all;
use skein_domain::account::DeviceClass;
use skein_domain::id::{ConversationId, Generation, NodeId, Revision, Seq, SessionId, Uid};
use skein_domain::port::{Route, SessionRegistry};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use xtask::services::{self, Service};

/// Stands between, and counts how often something is asked after something was answered.
#[derive(Default)]
struct Trips {
    count: AtomicU32,
    is_answered: AtomicBool,
}

impl Trips {
    fn asked(&self) {
        if self.is_answered.swap(false, Ordering::SeqCst) {
            self.count.fetch_add(1, Ordering::SeqCst);
        }
    }

    fn answered(&self) {
        self.is_answered.store(true, Ordering::SeqCst);
    }

    async fn of<T>(&self, act: impl Future<Output = T>) -> (T, u32) {
        let before = self.count.load(Ordering::SeqCst);
        let outcome = act.await;
        (outcome, self.count.load(Ordering::SeqCst) - before)
    }
}

async fn pass_on(mut from: impl AsyncRead + Unpin, mut to: impl AsyncWrite + Unpin, heard: impl Fn()) {
    let mut buffer = vec![0; 256 * 1024];
    while let Ok(count @ 1..) = from.read(&mut buffer).await {
        heard();
        if to.write_all(&buffer[..count]).await.is_err() {
            break;
        }
    }
}

/// Over one connection, so that nothing is asked beside.
async fn counted(what: &str) -> (Redis, Arc<Trips>) {
    let url = services::require(Service::Redis).expect("redis");
    let server: SocketAddr = url.trim_start_matches("redis://").parse().expect("an address");
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("listen");
    let address = listener.local_addr().expect("address");
    let trips = Arc::new(Trips::default());
    let counting = trips.clone();
    tokio::spawn(async move {
        while let Ok((client, _)) = listener.accept().await {
            let (from_client, to_client) = client.into_split();
            let (from_server, to_server) = TcpStream::connect(server).await.expect("redis").into_split();
            let (asking, answering) = (counting.clone(), counting.clone());
            tokio::spawn(pass_on(from_client, to_server, move || asking.asked()));
            tokio::spawn(pass_on(from_server, to_client, move || answering.answered()));
        }
    });
    let prefix = format!("test:trips:{what}:{}:", std::process::id());
    let config = Config { urls: vec![format!("redis://{address}")], prefix, connections: 1, ..Config::default() };
    (Redis::open(&config).await.expect("open"), trips)
}

async fn conversation_of(two: &Two, name: &str, count: u32) -> (ConversationId, Seq) {
    let (ann, bob) = (two.here.user(name).await, two.here.user(&format!("friend-of-{name}")).await);
    let group = two.here.group(ann, &[bob]).await;
    let mut head = Seq(0);
    for n in 0..count {
        head = two.here.say(group, ann, &format!("{n}")).await.seq;
    }
    (group, head)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_page_is_one_round_trip_and_its_refill_another() {
    let (redis, trips) = counted("pages").await;
    let two = two_on(redis).await;
    let messages = &two.here.ports.messages;
    let (other, other_head) = conversation_of(&two, "ann", 1).await;
    // The scripts are known from here on.
    messages.newest(other, other_head, Revision(0), 100).await.expect("newest");

    let (group, head) = conversation_of(&two, "bob", 110).await;
    let (first, asked) = trips.of(messages.newest(group, head, Revision(0), 100)).await;
    assert_eq!((first.expect("newest").0.len(), asked), (100, 2), "looked, and put what the store said");
    let (second, asked) = trips.of(messages.newest(group, head, Revision(0), 100)).await;
    assert_eq!((second.expect("newest").0.len(), asked), (100, 1));

    let mut uids: Vec<Uid> = Vec::new();
    for n in 0..100 {
        uids.push(two.here.user(&format!("user-{n}")).await);
    }
    two.here.ports.accounts.profiles(&uids[..1]).await.expect("profiles");
    let (profiles, asked) = trips.of(two.here.ports.accounts.profiles(&uids)).await;
    assert_eq!(profiles.expect("profiles").len(), 100);
    // One to look and one to fill; the server may answer the first of many before it has heard the last.
    assert!((1..=4).contains(&asked), "{asked}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn those_who_ask_at_once_where_people_are_wait_together() {
    let (redis, trips) = counted("routes").await;
    let registry = RedisSessions::new(redis);
    let route =
        |n: i64| Route { uid: Uid(n), class: DeviceClass::Web, node: NodeId("a".into()), session: SessionId(n), generation: Generation(1) };
    for n in 1..=50 {
        registry.register(route(n), 90_000).await.expect("register");
    }
    let ask = async |n: i64| registry.routes(&[Uid(n), Uid(n + 50)]).await.expect("routes");
    let (answers, asked) = trips.of(join_all((0..500).map(|n| ask(n % 50 + 1)))).await;
    for (n, answer) in answers.into_iter().enumerate() {
        assert_eq!(answer, [route(n as i64 % 50 + 1)], "each hears of its own");
    }
    // Two a lookup, and three lookups: the first may have gone alone.
    assert!((2..=12).contains(&asked), "{asked} round trips for 500 questions");
}
