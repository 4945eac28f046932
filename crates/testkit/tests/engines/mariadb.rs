//! MariaDB away, or on a bad disk: nothing is acknowledged that it has not, and nothing acknowledged is lost.
//!
//! **Invariant:** each fault ends before a person's patience (20 s) does, so that every message said is stored in the end.

use crate::lab::{Engine, Traffic, crew, until_gone};
use skein_testkit::powercut::{Options, PowerCut, Switches};
use skein_testkit::scenario::World;
use std::time::{Duration, Instant};
use tempfile::TempDir;
use xtask::services::Service;

/// Longer than a try of a batch, and shorter than the batch's patience: see `mysql/writer.rs`.
const LONGER_THAN_A_TRY: Duration = Duration::from_secs(13);

async fn on_own(engine: &Engine) -> World {
    let url = engine.own.make_database("skein").unwrap();
    crew().on_database(&url).start().await.unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_mariadb_that_is_killed_or_stands_still_or_hangs_up_delays_acks_and_loses_none() {
    let mut mariadb = Engine::start(Service::Mariadb).await;
    let world = on_own(&mariadb).await;
    let mut traffic = Traffic::new();
    traffic.say(&world, 20).await;

    let harm = async {
        mariadb.own.kill().unwrap();
        mariadb.restart().await
    };
    let (restarted, talk) = traffic.while_suffering(&world, harm).await;
    talk.told("MariaDB killed and started again");
    mariadb = restarted;

    let talk = traffic.while_suffering(&world, stands_still(&mariadb, Duration::from_millis(1_500))).await.1;
    talk.told("MariaDB stood still for 1.5 s");
    assert!(talk.refusals.is_empty(), "shorter than any time-out: {:?}", talk.refusals);
    let talk = traffic.while_suffering(&world, stands_still(&mariadb, LONGER_THAN_A_TRY)).await.1;
    talk.told("MariaDB stood still for 13 s");
    assert!(talk.refusals.contains("retry_same_key"), "{:?}", talk.refusals);

    let harm = async {
        for _ in 0..20 {
            mariadb.own.hang_up().unwrap();
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    traffic.while_suffering(&world, harm).await.1.told("MariaDB killed all connections, 20 times in a row");
    traffic.arrives(&world).await;
    drop(world);
}

async fn stands_still(mariadb: &Engine, duration: Duration) {
    mariadb.own.pause().unwrap();
    tokio::time::sleep(duration).await;
    mariadb.own.resume().unwrap();
}

/// A MariaDB whose disk does what the switches say.
struct OnBadDisk {
    engine: Engine,
    switches: Switches,
    _journal: TempDir,
}

impl OnBadDisk {
    async fn start(arguments: &'static [&'static str]) -> Self {
        let (folder, journal) = (Engine::folder(), Engine::folder());
        let power = PowerCut::new(&folder.path().join("data"), journal.path()).unwrap();
        let switches = power.switches().unwrap();
        // Nobody cuts its power: InnoDB also writes by io_uring, which the journal does not see.
        let environment = power.environment(&Options { keep_nothing: true, ..Options::default() });
        let engine = Engine::start_with(Service::Mariadb, folder, environment, arguments).await;
        Self { engine, switches, _journal: journal }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_mariadb_whose_disk_is_slow_or_fails_acknowledges_late_and_loses_nothing() {
    let bad = OnBadDisk::start(&[]).await;
    let world = on_own(&bad.engine).await;
    let mut traffic = Traffic::new();
    for delay in [0, 2, 10].map(Duration::from_millis) {
        bad.switches.delay_fsync(delay).unwrap();
        let started = Instant::now();
        traffic.say(&world, 40).await;
        let each = started.elapsed() / 40;
        eprintln!("MariaDB with fsync {delay:?} slower: {each:?} an ack, one by one");
        assert!(each >= delay, "an ack that waited for no fsync: {each:?}");
    }
    bad.switches.delay_fsync(Duration::ZERO).unwrap();
    traffic.arrives(&world).await;

    let pid = bad.engine.own.pid();
    let harm = async {
        bad.switches.fail_fsync(true).unwrap();
        until_gone(pid).await;
        bad.switches.fail_fsync(false).unwrap();
        bad.engine.restart().await
    };
    let (restarted, talk) = traffic.while_suffering(&world, harm).await;
    talk.told("MariaDB's fsync failed: it ended, and was started again");
    traffic.arrives(&world).await;
    drop((world, restarted));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_mariadb_with_a_full_disk_refuses_with_storage_full_and_goes_on_once_there_is_room() {
    let bad = OnBadDisk::start(&["--skip-log-bin"]).await;
    let world = on_own(&bad.engine).await;
    let mut traffic = Traffic::new();
    traffic.say(&world, 20).await;
    traffic.arrives(&world).await;

    bad.switches.fill_up(true).unwrap();
    let harm = async {
        let is_refused = |world: &World| world.user("ann").refusals().contains_key("storage_full");
        world.until("ann hears that the disk is full", is_refused).await;
        world.user("bob").goes_offline().await;
        world.user("bob").comes_back().await;
        world.until("bob reads on", |world| world.user("bob").screen("crew").len() >= 20).await;
        bad.switches.fill_up(false).unwrap();
    };
    let talk = traffic.while_suffering(&world, harm).await.1;
    talk.told("MariaDB's disk was full");
    traffic.arrives(&world).await;
    drop(world);
}
