//! Several nodes on one server, and a replica beside it.

use super::{Database, Held, Lab};
use crate::mysql::{Address, Store};
use skein_domain::body::Body;
use skein_domain::entry::EntryEvent;
use skein_domain::id::{Revision, Seq, Shard};
use skein_domain::port::{Append, HistoryQuery, MessageStore, Outbox};
use sqlx::{Connection, Executor};
use std::time::Duration;
use xtask::services::{self, Service};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_nodes_write_one_log() {
    let database = Database::new(1);
    let config = database.config.clone();
    // Both find an empty database.
    let other = std::thread::spawn(move || Store::open_mysql(&config).unwrap());
    let one = database.store();
    let other = other.join().unwrap();
    assert_eq!(one.epoch(), other.epoch());
    let lab = Lab::new(one.clone()).await;
    let mut calls = Vec::new();
    for n in 0..200 {
        calls.push(one.append(lab.append(&format!("one{n}"))));
        calls.push(other.append(lab.append(&format!("other{n}"))));
    }
    for call in calls {
        call.await.unwrap();
    }
    let entries = lab.entries().await;
    let seqs: Vec<i64> = entries.iter().map(|entry| entry.seq.0).collect();
    assert_eq!(seqs, (1..=401).collect::<Vec<_>>());
    assert!(entries.is_sorted_by_key(|entry| entry.revision));
    let records = other.records(Shard(0), Revision(0), 1_000).await.unwrap();
    assert!(records.is_sorted_by(|a, b| a.revision < b.revision));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_commit_of_another_node_wakes_who_waits() {
    let database = Database::new(1);
    let (lab, other) = (Lab::new(database.store()).await, database.store());
    let last = other.revisions().await.unwrap()[0];
    let waiting = tokio::spawn(async move { other.committed(Shard(0), last).await });
    lab.store.append(lab.append("x")).await.unwrap();
    tokio::time::timeout(Duration::from_secs(10), waiting).await.expect("woken").unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn commands_that_wait_share_a_commit_and_a_bad_one_fails_alone() {
    let database = Database::new(1);
    let lab = Lab::new(database.store()).await;
    let held = Held::new(&lab.store).await;
    let before = lab.store.stats();
    let mut calls: Vec<_> = (0..255).map(|n| lab.store.append(lab.append(&format!("c{n}")))).collect();
    let broken = lab
        .store
        .writer()
        .submit(0, |transaction| transaction.execute("INSERT INTO meta (id, epoch, shards, created_at) VALUES (1, 1, 1, 1)", &[]));
    calls.extend((0..100).map(|n| lab.store.append(lab.append(&format!("d{n}")))));
    held.release().await;
    for (n, call) in calls.into_iter().enumerate() {
        assert_eq!(call.await.unwrap().seq, Seq(n as i64 + 2), "no gap");
    }
    assert_eq!(broken.await.unwrap_err().code, skein_domain::Code::Internal);
    assert!(lab.store.stats().commits - before.commits <= 6, "{:?}", lab.store.stats());
}

/// The replica's own connection, to hold it back and let it go.
pub(super) fn at_replica(url: &str, sql: &str) {
    assert!(try_at_replica(url, sql), "{sql}");
}

/// False where the tables have not arrived there yet.
fn try_at_replica(url: &str, sql: &str) -> bool {
    let (url, sql) = (url.to_owned(), sql.to_owned());
    let run = move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let mut connection = sqlx::MySqlConnection::connect(&url).await.unwrap();
            connection.execute(sqlx::raw_sql(sqlx::AssertSqlSafe(sql))).await.is_ok()
        })
    };
    std::thread::spawn(run).join().unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_replica_serves_logs_and_never_hides_what_was_just_written() {
    let replica = services::require(Service::MariadbReplica).expect("a replica");
    at_replica(&replica, "START SLAVE");
    let mut database = Database::replicated();
    database.config.mysql.replica_url = format!("{replica}{}", database.name);
    let lab = Lab::new(database.store()).await;
    let (store, group) = (&lab.store, lab.draft.conversation);
    assert!(Address::replica(&database.config.mysql).is_ok());
    let said = store.append(lab.append("said")).await.unwrap();
    let history = |to: Seq| HistoryQuery { from: Seq(1), to, before: None, after: None, count: 100 };

    // At once, and for as long as it takes until the replica serves, which a mark there betrays.
    let mark = format!("UPDATE {}.conversation SET floor = 77", database.name);
    let deadline = tokio::time::Instant::now() + Duration::from_secs(60);
    loop {
        let page = store.history(group, history(said.seq)).await.unwrap();
        assert_eq!(page.messages.len(), 1);
        if page.floor == Seq(77) {
            break;
        }
        assert!(tokio::time::Instant::now() < deadline, "the replica never served");
        tokio::time::sleep(Duration::from_millis(20)).await;
        try_at_replica(&replica, &mark);
    }
    assert_ne!(store.history(group, history(Seq::MAX)).await.unwrap().floor, Seq(77), "what there is the primary knows");

    at_replica(&replica, "STOP SLAVE SQL_THREAD");
    let recall = Append { event: EntryEvent::Recalled { target: said.seq }, ..lab.append("recall") };
    store.append(recall).await.unwrap();
    let more = Append { event: EntryEvent::Message { body: Some(Body::text("more")), reply_to: None }, ..lab.append("more") };
    let more = store.append(more).await.unwrap();
    let page = store.history(group, history(said.seq)).await.unwrap();
    assert_eq!(page.messages[0].body, None, "my own recall, in a range the replica has");
    assert_eq!(store.entries(group, more.seq, more.seq, 1).await.unwrap().len(), 1, "a head the replica has not");
    at_replica(&replica, "START SLAVE SQL_THREAD");
}

/// The replica's settings are those of a server that only follows.
#[tokio::test]
async fn a_server_that_acknowledges_too_early_is_refused() {
    let replica = services::require(Service::MariadbReplica).expect("a replica");
    let mut database = Database::new(1);
    let alone = format!("{}_alone", database.name);
    at_replica(&replica, &format!("CREATE DATABASE {alone}"));
    database.config.mysql.url = format!("{replica}{alone}");
    let refused = Store::open_mysql(&database.config).err().unwrap();
    assert_eq!(refused.code(), "database_unsafe");
    assert!(refused.to_string().contains("innodb_flush_log_at_trx_commit = 2"), "{refused}");
    assert_eq!(Store::look_at_mysql(&database.config).unwrap_err().to_string(), refused.to_string());
    database.config.allow_unsafe_durability = true;
    let allowed = Store::open_mysql(&database.config).is_ok();
    at_replica(&replica, &format!("DROP DATABASE {alone}"));
    assert!(allowed);
}
