//! The disk under the embedded store: its fsync fails, or it is full.

use skein_testkit::cluster::Topology;
use skein_testkit::scenario::{Draft, World};
use skein_testkit::wire::Transport::{Tcp, WebSocket};
use std::time::Instant;

/// As `sysexits.h` calls an input/output error.
const EXIT_IO_ERROR: i32 = 74;

fn two(topology: Topology) -> Draft {
    let draft = World::new(topology).user("ann", Tcp).user("bob", WebSocket).direct("talk", "ann", "bob");
    // Who is online is told again soon after a restart.
    draft.set("comet.renew_interval_ms", "200").with_disk()
}

fn texts(count: usize) -> Vec<String> {
    (0..count).map(|n| format!("message {n}")).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_a_failed_fsync_nothing_is_acknowledged_and_a_restart_knows_the_truth() {
    let mut world = two(Topology::Split).start().await.unwrap();
    let said = texts(30);
    for text in &said[..20] {
        world.user("ann").send("talk", text).await;
    }
    world.disk().fail_fsync(true).unwrap();
    let mut keys = Vec::new();
    for text in &said[20..] {
        keys.push(world.user("ann").says("talk", text).await);
    }
    assert_eq!(world.core_ends().await, Some(EXIT_IO_ERROR));
    for key in &keys {
        assert!(!world.user("ann").is_done(key), "{key} was acknowledged although no fsync came back");
    }
    // What was not durable is really gone.
    world.cut_power();
    world.disk().fail_fsync(false).unwrap();
    let started = Instant::now();
    world.restart().await;
    for key in &keys {
        world.user("ann").acked(key).await;
    }
    eprintln!("SQLite's fsync failed: acks {:?} after the start of the next process", started.elapsed());
    for name in ["ann", "bob"] {
        world.user(name).expects("talk", &said).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_disk_refuses_with_storage_full_reads_go_on_and_room_mends_it() {
    let world = two(Topology::AllInOne).start().await.unwrap();
    let said = texts(400);
    for text in &said[..20] {
        world.user("ann").send("talk", text).await;
    }
    world.disk().fill_up(true).unwrap();
    let mut keys = Vec::new();
    for text in &said[20..] {
        keys.push(world.user("ann").says("talk", text).await);
    }
    world.until("ann hears that the disk is full", |world| world.user("ann").refusals().contains_key("storage_full")).await;
    world.user("bob").goes_offline().await;
    world.user("bob").comes_back().await;
    world.until("bob reads what there is", |world| world.user("bob").screen("talk").starts_with(&said[..20])).await;
    world.disk().fill_up(false).unwrap();
    let mended = Instant::now();
    for key in &keys {
        world.user("ann").acked(key).await;
    }
    eprintln!("SQLite's disk was full: all acked {:?} after there was room", mended.elapsed());
    for name in ["ann", "bob"] {
        world.user(name).expects("talk", &said).await;
    }
    let heard = world.user("ann").refusals();
    assert!(heard.keys().all(|code| ["storage_full", "out_of_order", "busy", "rate_limited"].contains(&code.as_str())), "{heard:?}");
}
