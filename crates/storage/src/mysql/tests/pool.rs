//! The pool of connections: bounded, in order of arrival, and kept alive.

use super::{Database, Lab, admin, connections_to};
use crate::sql::engine::Sql;
use crate::sql::failure::Outcome;
use crate::sql::transaction::one;
use crate::{MySqlConfig, Store};
use skein_domain::Code;
use skein_domain::conversation::SettingsChange;
use skein_domain::id::Uid;
use skein_domain::port::{AccountStore, ConversationStore, MessageStore};
use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

fn sleep(seconds: &'static str) -> impl Fn(&dyn Sql) -> Outcome<i32> + Send + 'static {
    move |connection| Ok(one(connection, seconds, &[], |row| row.get(0))?.unwrap_or_default())
}

async fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(20);
    while !holds() {
        assert!(Instant::now() < deadline, "{what} did not come about");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_readers_share_few_connections() {
    let mut database = Database::new(1);
    database.config.mysql = MySqlConfig { connections: 10, connections_min: 2, ..database.config.mysql.clone() };
    let store = database.store();
    assert_eq!(connections_to(&database).len(), 3, "two for reading from the start, and the writer's");
    let reads: Vec<_> = (0..200).map(|_| tokio::spawn(store.readers().read(sleep("SELECT SLEEP(0.01)")))).collect();
    let mut most = 0;
    while !reads.iter().all(|read| read.is_finished()) {
        most = most.max(connections_to(&database).len());
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    for read in reads {
        read.await.unwrap().unwrap();
    }
    assert_eq!(most, 10, "all that are allowed, and not one more");
}

#[test]
fn unless_set_connections_go_by_cores() {
    let cores = std::thread::available_parallelism().unwrap().get();
    assert_eq!(MySqlConfig::default().readers(), cores * 2, "one more writes");
}

/// As many reads as there are places go on at the same time, each on a connection of its own.
async fn assert_has_places(places: usize, store: &Store, database: &Database) {
    let reads: Vec<_> = (0..places).map(|_| tokio::spawn(store.readers().read(sleep("SELECT SLEEP(1)")))).collect();
    until("a read in each place", || connections_to(database).len() == places + 1).await;
    for read in reads {
        read.await.unwrap().unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_waits_too_long_for_a_connection_hears_busy() {
    let mut database = Database::new(1);
    database.config.mysql = MySqlConfig { connections: 5, wait_ms: 200, ..database.config.mysql.clone() };
    let store = database.store();
    let holders: Vec<_> = (0..4).map(|_| tokio::spawn(store.readers().read(sleep("SELECT SLEEP(1)")))).collect();
    until("four reads", || connections_to(&database).len() == 5).await;
    let asked = Instant::now();
    let refused = store.user(Uid(1)).await.unwrap_err();
    assert_eq!(refused.code, Code::Busy);
    assert!(asked.elapsed() >= Duration::from_millis(200) && asked.elapsed() < Duration::from_millis(900), "{:?}", asked.elapsed());
    for holder in holders {
        holder.await.unwrap().unwrap();
    }
    assert_eq!(store.user(Uid(1)).await.unwrap(), None, "given back, one is there again");
}

/// Each of them asks again as soon as it was served, and queues behind those who wait.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn waiters_are_served_in_order_of_arrival_and_none_starves() {
    const CALLERS: usize = 40;
    const ROUNDS: usize = 5;
    let mut database = Database::new(1);
    database.config.mysql = MySqlConfig { connections: 2, ..database.config.mysql.clone() };
    let store = database.store();
    let (lent, is_lent) = std::sync::mpsc::sync_channel::<()>(1);
    let (give_back, told) = std::sync::mpsc::sync_channel::<()>(1);
    let told = Mutex::new(told);
    let holder = tokio::spawn(store.readers().read(move |_: &dyn Sql| Ok(lent.send(()).is_ok() && told.lock().unwrap().recv().is_ok())));
    tokio::task::spawn_blocking(move || is_lent.recv()).await.unwrap().unwrap();

    let served = Arc::new(Mutex::new(Vec::new()));
    let caller = |n: usize| {
        let (readers, served) = (store.readers().clone(), served.clone());
        async move {
            for _ in 0..ROUNDS {
                let served = served.clone();
                let note = move |_: &dyn Sql| -> Outcome<()> {
                    served.lock().unwrap().push(n);
                    Ok(())
                };
                readers.read(note).await.unwrap();
            }
        }
    };
    // All of them wait before the only connection for reading is given back.
    tokio::join!(futures_util::future::join_all((0..CALLERS).map(caller)), async { give_back.send(()).unwrap() });
    assert!(holder.await.unwrap().unwrap());
    let served = served.lock().unwrap();
    assert_eq!(served[..CALLERS], (0..CALLERS).collect::<Vec<_>>(), "in order of arrival");
    let mut times = [0; CALLERS];
    for n in served.iter() {
        times[*n] += 1;
        let (least, most) = (times.iter().min().unwrap(), times.iter().max().unwrap());
        // One who was served may have asked again before another, served at the same moment, has.
        assert!(most - least <= 2, "{n} was served {most} times, somebody {least} times: {served:?}");
    }
    assert_eq!(times, [ROUNDS; CALLERS]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_read_that_panics_gives_its_place_back() {
    let mut database = Database::new(1);
    database.config.mysql = MySqlConfig { connections: 4, ..database.config.mysql.clone() };
    let store = database.store();
    for _ in 0..1_000 {
        // A panic that prints nothing.
        let panicking = |_: &dyn Sql| -> Outcome<()> { std::panic::resume_unwind(Box::new("planted by the test")) };
        assert_eq!(store.readers().read(panicking).await.unwrap_err().code, Code::Internal);
    }
    assert_has_places(3, &store, &database).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_kind_of_call_survives_killed_connections() {
    let database = Database::new(1);
    let lab = Lab::new(database.store()).await;
    let (store, group) = (&lab.store, lab.draft.conversation);
    for round in 0..4 {
        for id in connections_to(&database) {
            admin(&format!("KILL {id}"));
        }
        match round {
            0 => drop(store.user(Uid(1)).await.unwrap().unwrap()),
            1 => assert_eq!(store.append(lab.append("a")).await.unwrap().seq.0, 2),
            2 => drop(store.changed(Uid(1), skein_domain::id::Shard(0), Default::default(), Default::default(), 10).await.unwrap()),
            _ => {
                let change = SettingsChange { pinned: Some(true), ..SettingsChange::default() };
                assert!(store.change_settings(group, Uid(1), change).await.unwrap().pinned);
            }
        }
    }
    assert_eq!(lab.entries().await.len(), 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn idle_connections_are_pinged_and_replaced() {
    let mut database = Database::new(1);
    database.config.mysql = MySqlConfig { connections_min: 3, keep_alive_ms: 100, ..database.config.mysql.clone() };
    let _store = database.store();
    let before: BTreeSet<i64> = connections_to(&database).into_iter().collect();
    for id in &before {
        admin(&format!("KILL {id}"));
    }
    let replaced = || connections_to(&database).iter().filter(|id| !before.contains(*id)).count() == 3;
    until("three new connections without a call", replaced).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_has_a_connection_for_too_long_is_named_once() {
    let database = Database::new(1);
    let store = database.store();
    let read = tokio::spawn(store.readers().read(sleep("SELECT SLEEP(1)")));
    let named = || store.readers().overdue(Duration::from_millis(50));
    let mut found = Vec::new();
    let deadline = Instant::now() + Duration::from_secs(10);
    while found.is_empty() && Instant::now() < deadline {
        found = named();
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert_eq!(found.len(), 1);
    assert!(found[0].0.file().ends_with("pool.rs"), "{}", found[0].0);
    assert!(named().is_empty());
    read.await.unwrap().unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_endless_read_ends_with_timeout_and_its_connection() {
    let mut database = Database::new(1);
    database.config.mysql = MySqlConfig { connections: 4, ..database.config.mysql.clone() };
    let store: Store = database.store();
    let before = connections_to(&database);
    assert_eq!(store.readers().read(sleep("SELECT SLEEP(30)")).await.unwrap_err().code, Code::Timeout);
    until("its connection is closed", || connections_to(&database).iter().filter(|id| before.contains(id)).count() == 1).await;
    assert_has_places(3, &store, &database).await;
    let writes = store.readers().read(|connection| connection.execute("DELETE FROM user".into(), &[])).await;
    assert_eq!(writes.unwrap_err().code, Code::Internal, "readers cannot write");
}
