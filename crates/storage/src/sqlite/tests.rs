//! The conformance suites on SQLite, and what only this engine promises.

use super::{OpenError, Store};
use crate::Config;
use crate::conformance::{Backend, Ports};
use crate::sql::append::{self, Draft};
use crate::sql::engine::params;
use crate::sql::failure::Failure;
use crate::sql::lab::{Held, Lab};
use crate::sql::statements;
use crate::sql::transaction::{Transaction, one};
use async_trait::async_trait;
use skein_domain::body::Body;
use skein_domain::entry::EntryEvent;
use skein_domain::id::{Millis, Seq, Uid};
use skein_domain::port::{AccountStore, Append, MessageStore};
use skein_domain::{Code, Error};
use std::os::unix::fs::PermissionsExt;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use tempfile::TempDir;

struct Sqlite {
    folder: TempDir,
    config: Config,
}

impl Sqlite {
    fn new(shards: u16) -> Self {
        Self { folder: tempfile::tempdir().unwrap(), config: Config { shards, ..Config::default() } }
    }

    fn store(&self) -> Store {
        Store::open(self.folder.path(), &self.config).unwrap()
    }
}

#[async_trait]
impl Backend for Sqlite {
    async fn open(&self) -> Ports {
        Ports::of(self.store())
    }
}

crate::sql::lab::suites!(Sqlite);

async fn lab() -> (Lab, Sqlite) {
    let backend = Sqlite::new(1);
    (Lab::new(backend.store()).await, backend)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn commands_that_wait_share_a_commit() {
    let (lab, _backend) = lab().await;
    let held = Held::new(&lab.store).await;
    let before = lab.store.stats();
    let calls: Vec<_> = (0..256).map(|n| lab.store.append(lab.append(&format!("c{n}")))).collect();
    held.release().await;
    for call in calls {
        call.await.unwrap();
    }
    let after = lab.store.stats();
    assert!(after.commits - before.commits <= 32, "{} commits", after.commits - before.commits);
    assert!(after.commands - before.commands >= 256);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_batch_is_bounded_in_bytes() {
    let (lab, _backend) = lab().await;
    let held = Held::new(&lab.store).await;
    let half_a_mebibyte = 512 * 1024;
    let before = lab.store.stats();
    let calls: Vec<_> = (0..8).map(|_| lab.store.writer().submit(half_a_mebibyte, |_| Ok(()))).collect();
    held.release().await;
    for call in calls {
        call.await.unwrap();
    }
    assert!(lab.store.stats().commits - before.commits >= 4);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_bad_command_fails_alone() {
    let (lab, _backend) = lab().await;
    let held = Held::new(&lab.store).await;
    let store = &lab.store;
    let first = store.append(lab.append("one"));
    let refused_draft = Draft::new(lab.append("refused")).ok().unwrap();
    let refused = store.writer().submit(0, move |transaction: &mut Transaction<'_>| {
        append::append(transaction, &refused_draft)?;
        Err::<(), _>(Failure::Refused(Error::new(Code::Forbidden, "no")))
    });
    let broken = store.writer().submit(0, |transaction: &mut Transaction<'_>| {
        transaction.execute("INSERT INTO meta (id, epoch, shards, created_at) VALUES (1, 1, 1, 1)", &[])
    });
    let panicked_draft = Draft::new(lab.append("panicked")).ok().unwrap();
    let panicked = store.writer().submit(0, move |transaction: &mut Transaction<'_>| {
        append::append(transaction, &panicked_draft)?;
        if transaction.shards() > 0 {
            panic!("planted by the test");
        }
        Ok(())
    });
    let last = store.append(lab.append("two"));
    let commits = store.stats().commits;
    held.release().await;
    assert_eq!(first.await.unwrap().seq, Seq(2));
    assert_eq!(refused.await.unwrap_err().code, Code::Forbidden);
    assert_eq!(broken.await.unwrap_err().code, Code::Internal);
    assert_eq!(panicked.await.unwrap_err().code, Code::Internal);
    assert_eq!(last.await.unwrap().seq, Seq(3), "the refused left no gap");
    assert_eq!(lab.entries().await.len(), 3, "nothing of the others is left");
    assert_eq!(store.stats().commits, commits + 2, "they shared a commit");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_queue_answers_busy() {
    let (lab, _backend) = lab().await;
    let held = Held::new(&lab.store).await;
    let waiting: Vec<_> = (0..8_192).map(|_| lab.store.writer().submit(0, |_| Ok(()))).collect();
    let refused = lab.store.append(lab.append("late")).await.unwrap_err();
    assert_eq!(refused.code, Code::Busy);
    assert!(refused.retry_after_ms.is_some());
    held.release().await;
    for call in waiting {
        call.await.unwrap();
    }
    lab.store.append(lab.append("late")).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_disk_refuses_and_the_store_goes_on() {
    let (lab, _backend) = lab().await;
    let set_pages = async |pages: &'static str| {
        let set = move |transaction: &mut Transaction<'_>| one(transaction.connection, pages, &[], |row| row.get::<i64>(0));
        lab.store.writer().submit(0, set).await.unwrap();
    };
    set_pages("PRAGMA max_page_count = 1").await; // SQLite takes the present size instead
    let text = Body::text("x".repeat(16_000));
    let big = |n: i32| Append { event: EntryEvent::Message { body: Some(text.clone()), reply_to: None }, ..lab.append(&format!("big{n}")) };
    let mut stored = 1;
    let refused = loop {
        match lab.store.append(big(stored)).await {
            Ok(appended) => stored = appended.seq.0 as i32,
            Err(error) => break error,
        }
        assert!(stored < 1_000, "the disk never filled");
    };
    assert_eq!(refused.code, Code::StorageFull);
    assert_eq!(lab.store.user(Uid(1)).await.unwrap().unwrap().nickname, "ann", "reads go on");
    set_pages("PRAGMA max_page_count = 1000000").await;
    let next = lab.store.append(big(stored)).await.unwrap();
    assert_eq!((next.seq, next.repeated), (Seq(i64::from(stored) + 1), false), "no gap, and nothing of the refused one");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_an_io_error_nothing_is_acknowledged() {
    let backend = Sqlite::new(1);
    let calls = Arc::new(AtomicUsize::new(0));
    let counted = calls.clone();
    let fatal = Box::new(move |_: &str| {
        counted.fetch_add(1, Ordering::SeqCst);
    });
    let store = Store::open_with(backend.folder.path(), &backend.config, fatal).unwrap();
    let lab = Lab::new(store).await;
    let held = Held::new(&lab.store).await;
    let good = lab.store.append(lab.append("good"));
    let failing = lab.store.writer().submit(0, |_| {
        let code = rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_IOERR_FSYNC);
        Err::<(), _>(Failure::from(rusqlite::Error::SqliteFailure(code, None)))
    });
    held.release().await;
    assert_eq!(good.await.unwrap_err().code, Code::RetrySameKey);
    assert_eq!(failing.await.unwrap_err().code, Code::RetrySameKey);
    lab.store.close();
    assert_eq!(calls.load(Ordering::SeqCst), 1);
    assert_eq!(lab.store.append(lab.append("later")).await.unwrap_err().code, Code::Unavailable);
}

#[tokio::test]
async fn a_second_opener_is_refused_naming_the_holder() {
    let backend = Sqlite::new(1);
    let store = backend.store();
    let refused = Store::open(backend.folder.path(), &backend.config).err().unwrap();
    assert!(matches!(refused, OpenError::Locked { .. }));
    assert_eq!(refused.code(), "data_folder_locked");
    assert!(refused.to_string().contains(&format!("process {}", std::process::id())), "{refused}");
    drop(store);
    backend.store();
}

#[tokio::test]
async fn data_is_private_and_the_log_is_folded_in_at_the_end() {
    let backend = Sqlite::new(1);
    let folder = backend.folder.path().join("new");
    let store = Store::open(&folder, &backend.config).unwrap();
    let mode = |name: &str| std::fs::metadata(folder.join(name)).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode("."), 0o700);
    for name in ["skein.db", "skein.db-wal", "lock"] {
        assert_eq!(mode(name), 0o600, "{name}");
    }
    store.close();
    store.close();
    assert!(std::fs::metadata(folder.join("skein.db-wal")).map_or(0, |wal| wal.len()) == 0);
    assert_eq!(store.submit_nothing().await.unwrap_err().code, Code::Unavailable);
}

impl Store {
    async fn submit_nothing(&self) -> skein_domain::Result<()> {
        self.writer().submit(0, |_| Ok(())).await
    }
}

#[tokio::test]
async fn a_newer_store_is_refused_and_untouched() {
    let backend = Sqlite::new(1);
    drop(backend.store());
    let database = backend.folder.path().join("skein.db");
    rusqlite::Connection::open(&database).unwrap().pragma_update(None, "user_version", 99).unwrap();
    let refused = Store::open(backend.folder.path(), &backend.config).err().unwrap();
    assert!(matches!(refused, OpenError::Newer { found: 99, .. }), "{refused}");
    let version: u32 = rusqlite::Connection::open(&database).unwrap().query_row("PRAGMA user_version", [], |row| row.get(0)).unwrap();
    assert_eq!(version, 99);
}

#[tokio::test]
async fn the_number_of_shards_is_fixed() {
    let mut backend = Sqlite::new(3);
    drop(backend.store());
    backend.config.shards = 5;
    assert_eq!(backend.store().shards(), 3);
    backend.config.shards = 0;
    assert!(matches!(Store::open(backend.folder.path(), &backend.config).err(), Some(OpenError::Shards(0))));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_endless_read_ends_with_timeout() {
    let backend = Sqlite::new(1);
    let store = backend.store();
    let endless = "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT count(*) FROM n";
    let read = store.readers().read(move |connection| one(connection, endless, &[], |row| row.get::<i64>(0)));
    assert_eq!(read.await.unwrap_err().code, Code::Timeout);
    let writes = store.readers().read(|connection| connection.execute("DELETE FROM user".into(), &[]));
    assert_eq!(writes.await.unwrap_err().code, Code::Internal, "readers cannot write");
    assert_eq!(store.users(Uid(0), 10).await.unwrap(), [], "the reader serves on");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sync_and_lists_use_indexes_with_many_rows() {
    let backend = Sqlite::new(1);
    let store = backend.store();
    let fill =
        |transaction: &mut Transaction<'_>| MANY_ROWS.iter().try_for_each(|statement| transaction.execute(*statement, &[]).map(|_| ()));
    store.writer().submit(0, fill).await.unwrap();
    let reader = rusqlite::Connection::open(backend.folder.path().join("skein.db")).unwrap();
    for (name, statement) in statements::that_must_use_an_index() {
        let plan = plan(&reader, statement.sqlite).unwrap();
        assert!(!plan.is_empty());
        for step in &plan {
            assert!(!step.contains("SCAN"), "{name} scans: {plan:#?}");
            assert!(!step.contains("TEMP B-TREE"), "{name} sorts: {plan:#?}");
        }
    }
    let started = std::time::Instant::now();
    let friends = skein_domain::port::ContactStore::friends(&store, Uid(1), Uid(0), 5_000).await.unwrap();
    assert_eq!(friends.len(), 5_000);
    assert!(started.elapsed().as_millis() < 1_000, "5,000 friends took {:?}", started.elapsed());
}

fn plan(connection: &rusqlite::Connection, sql: &str) -> rusqlite::Result<Vec<String>> {
    let mut statement = connection.prepare(&format!("EXPLAIN QUERY PLAN {sql}"))?;
    let steps = statement.query_map(rusqlite::params_from_iter(std::iter::repeat_n(1, statement_parameters(sql))), |row| row.get(3))?;
    steps.collect()
}

fn statement_parameters(sql: &str) -> usize {
    (1..=9).take_while(|n| sql.contains(&format!("?{n}"))).count()
}

/// One user with 5,000 friends, each with a direct conversation; statistics as the planner likes them.
const MANY_ROWS: &[&str] = &[
    "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 5001)
    INSERT INTO user (uid, email, nickname, folded, password_hash, created_at) SELECT i, i || '@example.org', 'n' || i, 'n' || i, '', 0 FROM n",
    "INSERT INTO contact (uid, peer, friend, since) SELECT 1, uid, 1, 0 FROM user WHERE uid > 1",
    "INSERT INTO contact (uid, peer, friend, since) SELECT uid, 1, 1, 0 FROM user WHERE uid > 1",
    "INSERT INTO conversation (shard, kind, members, created_at, direct_a, direct_b) SELECT 0, 0, 2, 0, 1, uid FROM user WHERE uid > 1",
    "INSERT INTO member (conversation, uid, visible_from, join_count, read, read_count, delivered, revision)
        SELECT id, direct_a, 1, 0, 0, 0, 0, 1 FROM conversation",
    "INSERT INTO member (conversation, uid, visible_from, join_count, read, read_count, delivered, revision)
        SELECT id, direct_b, 1, 0, 0, 0, 0, 1 FROM conversation",
    "INSERT INTO friend_request (from_uid, to_uid, greeting, state, at) SELECT 1, uid, '', 1, 0 FROM user WHERE uid > 1",
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn checkpoints_keep_the_log_of_writes_small() {
    let (lab, backend) = lab().await;
    for round in 0..12 {
        let calls: Vec<_> = (0..500).map(|n| lab.store.append(lab.append(&format!("w{round}-{n}")))).collect();
        for call in calls {
            call.await.unwrap();
        }
    }
    let wal = backend.folder.path().join("skein.db-wal");
    let database = backend.folder.path().join("skein.db");
    // Without checkpoints the database file would not have grown at all.
    let grown = || std::fs::metadata(&database).unwrap().len() > 256 * 1024;
    let deadline = tokio::time::Instant::now() + std::time::Duration::from_secs(10);
    while !grown() && tokio::time::Instant::now() < deadline {
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    }
    assert!(grown());
    assert!(std::fs::metadata(&wal).unwrap().len() < 80 * 1024 * 1024);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn committed_numbers_match_the_rows() {
    let (lab, _backend) = lab().await;
    let appended = lab.store.append(lab.append("x")).await.unwrap();
    let row = lab.store.readers().read(|connection| {
        one(connection, "SELECT revision, published FROM shard WHERE id = 0", params![], |row| Ok((row.get::<i64>(0)?, row.get::<i64>(1)?)))
    });
    assert_eq!(row.await.unwrap(), Some((appended.revision.0, 0)));
    assert_eq!(appended.at, Millis(lab.draft.at.0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_acknowledged_is_in_the_files() {
    let (lab, backend) = lab().await;
    let mut last = lab.store.append(lab.append("c0")).await.unwrap();
    for n in 1..50 {
        last = lab.store.append(lab.append(&format!("c{n}"))).await.unwrap();
    }
    // As a crash leaves them: nothing was closed.
    let crashed = tempfile::tempdir().unwrap();
    for name in ["skein.db", "skein.db-wal"] {
        std::fs::copy(backend.folder.path().join(name), crashed.path().join(name)).unwrap();
    }
    let store = Store::open(crashed.path(), &Config::default()).unwrap();
    let again = store.append(lab.append("c49")).await.unwrap();
    assert_eq!((again.seq, again.revision, again.repeated), (last.seq, last.revision, true));
    assert_eq!(store.epoch(), lab.store.epoch());
    assert_eq!(store.append(lab.append("next")).await.unwrap().seq, last.seq.next());
}

#[tokio::test]
async fn a_commit_waits_for_the_disk_unless_told_otherwise() {
    let mut backend = Sqlite::new(1);
    let synchronous = async |store: Store| {
        let read = |transaction: &mut Transaction<'_>| one(transaction.connection, "PRAGMA synchronous", &[], |row| row.get(0));
        store.writer().submit(0, read).await.unwrap().unwrap()
    };
    let full: i64 = synchronous(backend.store()).await;
    backend.config.allow_unsafe_durability = true;
    let off: i64 = synchronous(backend.store()).await;
    assert_eq!((full, off), (2, 0));
}
