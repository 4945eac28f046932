//! Locks, lost connections and lost answers; and that many at once are the same as one by one.

use super::super::session::{Purpose, Session};
use super::nodes::at_replica;
use super::{Database, Held, Lab, admin, connections_to};
use crate::sql::engine::Sql;
use crate::{Config, Store};
use skein_domain::body::Body;
use skein_domain::entry::EntryEvent;
use skein_domain::id::{ConversationId, PolicyVersion, Seq};
use skein_domain::port::{Append, Appended, MessageStore};
use skein_domain::{Code, Error};
use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use xtask::services::{self, Service};

/// Everything that can be right or wrong about an append, in one order.
fn script(lab: &Lab) -> Vec<Append> {
    let key = |text: &str| skein_domain::id::IdempotencyKey::parse(text).unwrap();
    let say = |text: &str| EntryEvent::Message { body: Some(Body::text(text)), reply_to: None };
    vec![
        lab.append("a"),
        lab.append("b"),
        lab.append("a"),
        Append { event: say("else"), ..lab.append("a") },
        Append { after: Some(key("b")), ..lab.append("c") },
        Append { after: Some(key("never")), ..lab.append("d") },
        Append { policy_version: PolicyVersion(99), ..lab.append("e") },
        Append { conversation: ConversationId(999), ..lab.append("f") },
        Append { event: say("' OR 1=1 -- 你好 🧶"), ..lab.append("g") },
        Append { event: EntryEvent::Recalled { target: Seq(2) }, ..lab.append("h") },
        Append { at: lab.draft.at.plus(-5_000), ..lab.append("i") },
        Append { event: EntryEvent::Message { body: Some(Body::text("re")), reply_to: Some(Seq(3)) }, ..lab.append("j") },
        lab.append("k"),
        Append { after: Some(key("k")), ..lab.append("l") },
        lab.append("b"),
    ]
}

type Told = Result<(Appended, bool), Code>;

fn told(outcome: Result<Appended, Error>) -> Told {
    outcome.map(|appended| (appended.clone(), appended.repeated)).map_err(|error| error.code)
}

async fn together(lab: &Lab) -> Vec<Told> {
    let held = Held::new(&lab.store).await;
    let calls: Vec<_> = script(lab).into_iter().map(|append| lab.store.append(append)).collect();
    held.release().await;
    let mut results = Vec::new();
    for call in calls {
        results.push(told(call.await));
    }
    results
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_at_once_are_the_same_as_one_by_one_and_as_on_sqlite() {
    let (first, second) = (Database::new(1), Database::new(1));
    let folder = tempfile::tempdir().unwrap();
    let batched = Lab::new(first.store()).await;
    let single = Lab::new(second.store()).await;
    let sqlite = Lab::new(Store::open(folder.path(), &Config::default()).unwrap()).await;
    let mut one_by_one = Vec::new();
    for append in script(&single) {
        one_by_one.push(told(single.store.append(append).await));
    }
    let batched_results = together(&batched).await;
    assert_eq!(batched_results, one_by_one);
    assert_eq!(batched_results, together(&sqlite).await);
    assert_eq!(batched_results.iter().filter(|told| told.is_ok()).count(), 11, "{batched_results:?}");
    let logs = (batched.entries().await, single.entries().await, sqlite.entries().await);
    assert_eq!(logs.0, logs.1);
    assert_eq!(logs.0, logs.2);
    let ann = batched.draft.author;
    use skein_domain::port::ConversationStore;
    let view = batched.store.view(batched.draft.conversation, ann).await.unwrap();
    assert_eq!(view, sqlite.store.view(sqlite.draft.conversation, ann).await.unwrap());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_writer_killed_while_it_waits_for_a_lock_writes_once() {
    let database = Database::new(1);
    let lab = Lab::new(database.store()).await;
    let before = connections_to(&database);
    let name = database.name.clone();
    let lock = std::thread::spawn(move || {
        // Killed below, which gives the lock back.
        let sql = format!("START TRANSACTION; SELECT * FROM {name}.shard FOR UPDATE; SELECT SLEEP(30) AS {name}");
        std::panic::catch_unwind(|| admin(&sql)).is_err()
    });
    let waiting = |what: &str| {
        let sql = format!(
            "SELECT CAST(id AS SIGNED) FROM information_schema.processlist WHERE info LIKE '%{what}%' AND info LIKE '%{}%' AND info NOT LIKE '%processlist%'",
            if what == "SLEEP" { database.name.as_str() } else { "FOR UPDATE" }
        );
        let found = super::numbers(&sql);
        found.into_iter().filter(|id| what == "SLEEP" || before.contains(id)).collect::<Vec<_>>()
    };
    let deadline = std::time::Instant::now() + Duration::from_secs(20);
    while waiting("SLEEP").is_empty() {
        assert!(std::time::Instant::now() < deadline, "nobody has the lock");
    }
    let call = tokio::spawn(lab.store.append(lab.append("x")));
    let mut stuck = Vec::new();
    while stuck.is_empty() && std::time::Instant::now() < deadline {
        stuck = waiting("revision");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    for id in stuck.iter().chain(&waiting("SLEEP")) {
        admin(&format!("KILL {id}"));
    }
    assert!(!stuck.is_empty(), "the writer was seen waiting");
    assert_eq!(call.await.unwrap().unwrap().seq, Seq(2));
    assert_eq!(lab.entries().await.len(), 2);
    assert!(lock.join().unwrap());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_stands_still_in_the_middle_of_a_transaction_holds_nobody_up_for_long() {
    let database = Database::new(1);
    let lab = Lab::new(database.store()).await;
    let url = database.config.mysql.url.clone();
    let stands_still = move || {
        let session = Session::connect(&url.parse().expect("an address"), Purpose::Write).expect("a connection");
        session.control("START TRANSACTION").expect("a transaction");
        session.control("SELECT revision FROM shard FOR UPDATE").expect("the lock");
        session
    };
    let session = tokio::task::spawn_blocking(stands_still).await.expect("it stands still");
    assert_eq!(lab.store.append(lab.append("x")).await.expect("stored").seq, Seq(2));
    let goes_on = tokio::task::spawn_blocking(move || session.control("COMMIT")).await.expect("it goes on");
    assert!(goes_on.is_err(), "what it had begun is undone");
}

/// Passes everything on, until it is told to keep the answer to the next commit to itself and hang up.
struct Proxy {
    address: SocketAddr,
    /// Of links from now on.
    server: Arc<Mutex<SocketAddr>>,
    is_armed: Arc<AtomicBool>,
}

impl Proxy {
    fn to(server: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let (address, is_armed) = (listener.local_addr().unwrap(), Arc::new(AtomicBool::new(false)));
        let server = Arc::new(Mutex::new(server));
        let (armed, at) = (is_armed.clone(), server.clone());
        std::thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                let server = TcpStream::connect(*at.lock().unwrap()).unwrap();
                let (client_again, server_again) = (client.try_clone().unwrap(), server.try_clone().unwrap());
                let armed = armed.clone();
                std::thread::spawn(move || pass(client, server, &armed));
                std::thread::spawn(move || pass(server_again, client_again, &AtomicBool::new(false)));
            }
        });
        Self { address, server, is_armed }
    }

    /// In front of the server of this database.
    fn of(database: &mut Database) -> Self {
        let server = address(&database.config.mysql.url);
        let proxy = Self::to(server);
        database.config.mysql.url = database.config.mysql.url.replace(&server.to_string(), &proxy.address.to_string());
        proxy
    }

    fn switch(&self, to: SocketAddr) {
        *self.server.lock().unwrap() = to;
    }
}

/// Of `mysql://user@host:port/name`.
fn address(url: &str) -> SocketAddr {
    let (_, rest) = url.split_once('@').unwrap();
    rest.split('/').next().unwrap().parse().unwrap()
}

fn pass(mut from: TcpStream, mut to: TcpStream, is_armed: &AtomicBool) {
    let mut bytes = [0; 65_536];
    while let Ok(length @ 1..) = from.read(&mut bytes) {
        let is_commit = bytes[..length].windows(6).any(|word| word == b"COMMIT");
        if is_commit && is_armed.swap(false, Ordering::SeqCst) {
            // Nobody who asks hears the answer any more.
            let _ = from.shutdown(Shutdown::Both);
            let _ = to.write_all(&bytes[..length]);
            // The server answers into the void; closing at once could make it forget the commit.
            let _ = to.read(&mut bytes);
            return;
        }
        if to.write_all(&bytes[..length]).is_err() {
            break;
        }
    }
    let _ = to.shutdown(Shutdown::Both);
    let _ = from.shutdown(Shutdown::Both);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_commit_without_an_answer_is_told_as_unknown_and_the_retry_finds_it() {
    let mut database = Database::new(1);
    let proxy = Proxy::of(&mut database);
    let lab = Lab::new(database.store()).await;
    let held = Held::new(&lab.store).await;
    let calls: Vec<_> = ["x", "y"].map(|key| lab.store.append(lab.append(key))).into();
    // The held batch commits first.
    proxy.is_armed.store(false, Ordering::SeqCst);
    held.release().await;
    for call in calls {
        call.await.unwrap();
    }
    proxy.is_armed.store(true, Ordering::SeqCst);
    let unknown = lab.store.append(lab.append("z")).await.unwrap_err();
    assert_eq!(unknown.code, Code::RetrySameKey);
    let again = lab.store.append(lab.append("z")).await.unwrap();
    assert_eq!(again.seq, Seq(4));
    assert_eq!(lab.entries().await.len(), 4, "once, whether or not the first commit arrived");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_takes_the_place_of_the_first_is_looked_at_before_it_is_written_to() {
    // It acknowledges before its disk has it.
    let replica = services::require(Service::MariadbReplica).expect("a replica");
    let mut database = Database::new(1);
    let (first, second) = (address(&database.config.mysql.url), address(&replica));
    let proxy = Proxy::of(&mut database);
    let lab = Lab::new(database.store()).await;
    let mut other = Config { allow_unsafe_durability: true, ..database.config.clone() };
    other.mysql.url = format!("{replica}{}", database.name);
    at_replica(&replica, &format!("CREATE DATABASE {}", database.name));
    Store::open_mysql(&other).unwrap().close();

    proxy.switch(second);
    for id in connections_to(&database) {
        admin(&format!("KILL {id}"));
    }
    assert_eq!(lab.store.append(lab.append("x")).await.unwrap_err().code, Code::Busy, "another store");
    at_replica(&replica, &format!("UPDATE {}.meta SET epoch = {}", database.name, lab.store.epoch().0 as i64));
    assert_eq!(lab.store.append(lab.append("x")).await.unwrap_err().code, Code::Busy, "one that commits lightly");
    at_replica(&replica, &format!("DROP DATABASE {}", database.name));
    proxy.switch(first);
    assert_eq!(lab.store.append(lab.append("x")).await.unwrap().seq, Seq(2));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_unreachable_server_refuses_to_open_and_tells_no_password() {
    let mut database = Database::new(1);
    let good = std::mem::replace(&mut database.config.mysql.url, "mysql://u:hunter2@127.0.0.1:1/x".to_owned());
    let refused = Store::open_mysql(&database.config).err().unwrap();
    assert_eq!(refused.code(), "database_unusable");
    database.config.mysql.url = "hunter2".to_owned();
    let unread = Store::open_mysql(&database.config).err().unwrap();
    assert_eq!(unread.code(), "bad_config");
    assert!(!format!("{refused}{unread}").contains("hunter2"));
    database.config.mysql.url = good;
}
