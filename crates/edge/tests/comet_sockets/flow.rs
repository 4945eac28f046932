//! How much may be under way, and what becomes of those who cannot keep up.

use super::client::*;
use super::script::Script;
use super::world::*;
use futures_util::FutureExt;
use skein_domain::command::SyncPage;
use skein_domain::delivery::Target;
use skein_edge::comet::Config;
use skein_protocol::table::Incoming;
use skein_protocol::{Push, Reply, Request, v1};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::Duration;

#[tokio::test]
async fn the_sixty_fifth_command_waits_for_a_reply() {
    let world = World::plain().await;
    let mut client = world.user("1").await;
    Script::shut(&world.logic.gate);
    let seqs = {
        let mut seqs = Vec::new();
        for _ in 0..80 {
            seqs.push(client.ask(typing()).await);
        }
        seqs
    };
    eventually("64 are asked", || world.logic.asked() == 64).await;
    // All 80 have been sent; what keeps the others is the bound, so nothing more can be awaited.
    tokio::time::sleep(Duration::from_millis(50)).await;
    assert_eq!(world.logic.asked(), 64);
    let states = world.hub.connections_of(skein_domain::id::Uid(1));
    assert_eq!(states.iter().map(|state| state.in_flight).collect::<Vec<_>>(), [64], "{states:?}");
    Script::reopen(&world.logic.gate);
    for seq in seqs {
        assert!(matches!(client.reply(seq).await, Reply::Done(_)));
    }
    assert_eq!(world.logic.asked(), 80);
}

#[tokio::test]
async fn commands_reach_logic_in_the_order_they_were_sent() {
    let world = World::plain().await;
    let mut client = world.user("1").await;
    for nth in 0..40 {
        client.ask(send(&format!("k{nth}"))).await;
    }
    for _ in 0..40 {
        client.hear().await.unwrap();
    }
    let asked = world.logic.asked.lock().unwrap().clone();
    let keys: Vec<String> = asked
        .into_iter()
        .filter_map(|command| match command {
            skein_domain::command::Command::Send { key, .. } => Some(key.as_str().to_owned()),
            _ => None,
        })
        .collect();
    assert_eq!(keys, (0..40).map(|nth| format!("k{nth}")).collect::<Vec<_>>());
}

#[tokio::test]
async fn a_slow_command_delays_neither_heartbeats_nor_others() {
    let world = World::plain().await;
    let mut slow = world.user("1").await;
    let mut other = world.user("2").await;
    Script::shut(&world.logic.gate);
    let late = slow.ask(typing()).await;
    eventually("logic is asked", || world.logic.asked() == 1).await;
    for _ in 0..20 {
        slow.beat().await;
        other.beat().await;
    }
    world.notify("meanwhile").await;
    assert_eq!(slow.notice().await, "meanwhile");
    assert_eq!(other.notice().await, "meanwhile");
    Script::reopen(&world.logic.gate);
    assert!(matches!(slow.reply(late).await, Reply::Done(_)));
}

#[tokio::test]
async fn after_the_deadline_the_outcome_is_unknown_and_the_connection_stays() {
    let world = World::new(Config { call_deadline_ms: 100, ..patient() }, Script::plain()).await;
    let mut client = world.user("1").await;
    Script::shut(&world.logic.gate);
    let change = client.ask(send("k")).await;
    assert_eq!(client.error(change).await, "retry_same_key");
    let query = client.ask(sync()).await;
    assert_eq!(client.error(query).await, "timeout");
    Script::reopen(&world.logic.gate);
    let again = client.ask(send("k")).await;
    assert!(matches!(client.reply(again).await, Reply::Ack(ack) if ack.key == "k" && ack.epoch == u64::MAX));
}

#[tokio::test]
async fn an_error_of_logic_is_a_reply_with_a_trace() {
    let script = Script::new(|_, _| async { Err(skein_domain::Error::new(skein_domain::Code::NotMember, "no").retry_after(3)) }.boxed());
    let world = World::new(patient(), script).await;
    let mut client = world.user("1").await;
    let seq = client.ask(typing()).await;
    let Reply::Error(error) = client.reply(seq).await else { panic!("not an error") };
    assert_eq!((error.code.as_str(), error.retry_after_ms, error.trace.len()), ("not_member", 3, 32));
    client.beat().await;
}

#[tokio::test]
async fn a_request_that_is_not_understood_is_answered_and_the_connection_stays() {
    let world = World::plain().await;
    let mut client = world.user("1").await;
    client.send(&skein_protocol::Frame::new(skein_protocol::Op(999), 77, Default::default()).encode()).await;
    assert_eq!(client.error(77).await, "unsupported");
    let bad = client.ask(Request::Leave(v1::Leave { conversation: 1, key: "two words".into() })).await;
    assert_eq!(client.error(bad).await, "bad_request");
    client.beat().await;
}

#[tokio::test]
async fn over_the_rate_commands_are_refused_and_heartbeats_are_not() {
    let world = World::new(Config { commands_per_second: 1, commands_burst: 3, ..patient() }, Script::plain()).await;
    let mut client = world.user("1").await;
    for _ in 0..3 {
        let seq = client.ask(typing()).await;
        assert!(matches!(client.reply(seq).await, Reply::Done(_)));
    }
    let seq = client.ask(typing()).await;
    assert_eq!(client.error(seq).await, "rate_limited");
    client.beat().await;
    assert_eq!(world.logic.asked(), 3);
}

/// Pushes until the connection has more waiting than it may.
async fn overflow(world: &World) -> usize {
    let text = "x".repeat(1_000);
    for sent in 1..10_000 {
        if world.notify(&text).await.resynced == 1 {
            return sent;
        }
    }
    panic!("ten megabytes have left though nobody reads");
}

#[tokio::test]
async fn a_slow_reader_is_told_once_and_gets_no_push_until_its_last_page() {
    let world = World::narrow(patient(), Script::plain()).await;
    let mut client = Client::narrow(world.tcp).await;
    client.log_in("1").await;
    let sent = overflow(&world).await;
    for _ in 0..100 {
        let delivered = world.notify("left out").await;
        assert_eq!((delivered.queued, delivered.resynced), (0, 1));
    }
    let (mut notices, mut resyncs) = (0, 0);
    let ack = client.ask(send("k")).await;
    loop {
        match client.hear().await.unwrap() {
            (0, Incoming::Push(Push::Notice(notice))) => {
                assert_ne!(notice.text, "left out");
                assert_eq!(resyncs, 0, "a push behind the resync");
                notices += 1;
            }
            (0, Incoming::Push(Push::Resync(resync))) => {
                assert!(resync.after_ms >= 500 && resync.after_ms < 1_000);
                resyncs += 1;
            }
            (seq, Incoming::Reply(Reply::Ack(_))) if seq == ack => break,
            other => panic!("unexpected {other:?}"),
        }
    }
    assert_eq!(resyncs, 1);
    assert!(notices < sent, "something was discarded");

    let more = client.ask(Request::Sync(v1::Sync { cursor: "more".into() })).await;
    assert!(matches!(client.reply(more).await, Reply::SyncPage(page) if page.more));
    world.notify("between the pages").await;
    Script::shut(&world.logic.gate);
    let last = client.ask(sync()).await;
    eventually("the last page is being read", || world.logic.asked() == 3).await;
    world.notify("while the last page is read").await;
    Script::reopen(&world.logic.gate);
    assert!(matches!(client.reply(last).await, Reply::SyncPage(page) if !page.more));
    assert_eq!(client.notice().await, "while the last page is read", "the page may be without it");
    world.notify("live again").await;
    assert_eq!(client.notice().await, "live again");
}

#[tokio::test]
async fn a_slow_reader_slows_nobody_else() {
    let world = World::narrow(patient(), Script::plain()).await;
    let mut slow = Client::narrow(world.tcp).await;
    slow.log_in("1").await;
    let mut quick = world.user("2").await;
    let slow_at = Target::Connections(vec![world.connection(1)]);
    let text = "x".repeat(1_000);
    let mut sent = 0;
    while world.push(slow_at.clone(), notice(&text)).await.resynced == 0 {
        sent += 1;
        assert!(sent < 10_000);
    }
    for nth in 0..200 {
        let delivered = world.notify(&nth.to_string()).await;
        assert_eq!((delivered.found, delivered.queued, delivered.resynced), (2, 1, 1));
        assert_eq!(quick.notice().await, nth.to_string());
    }
}

/// Reads at half the stream's rate: pages instead of looping, and ends with everything.
#[tokio::test]
async fn a_reader_at_half_rate_ends_complete() {
    const LAST: usize = 1_500;
    let said = Arc::new(AtomicUsize::new(0));
    let known = said.clone();
    // A page holds everything said when it is read; its cursor says how much that was.
    let script = Script::new(move |_, _| {
        let cursor = known.load(Relaxed).to_string();
        async move { Ok(skein_domain::command::Reply::Sync { page: SyncPage { cursor, ..SyncPage::default() } }) }.boxed()
    });
    let world = World::narrow(patient(), script).await;
    let mut client = Client::narrow(world.tcp).await;
    client.log_in("1").await;
    let padding = "x".repeat(1_000);
    let (mut position, mut resyncs) = (0, 0);
    while position < LAST {
        // Two are said for each one that is read.
        for _ in 0..2 {
            if said.load(Relaxed) < LAST {
                let nth = said.fetch_add(1, Relaxed) + 1;
                world.notify(&format!("{nth} {padding}")).await;
            }
        }
        match client.hear().await.expect("the connection stays") {
            (0, Incoming::Push(Push::Notice(notice))) => {
                let nth: usize = notice.text.split(' ').next().unwrap().parse().unwrap();
                assert!(nth <= position + 1, "a gap that no page has closed: {position} then {nth}");
                position = position.max(nth);
            }
            (0, Incoming::Push(Push::Resync(_))) => {
                resyncs += 1;
                client.ask(sync()).await;
            }
            (_, Incoming::Reply(Reply::SyncPage(page))) => position = position.max(page.cursor.parse().unwrap()),
            other => panic!("unexpected {other:?}"),
        }
    }
    assert!(resyncs > 0, "the reader kept up, so the test shows nothing");
}

#[tokio::test]
async fn replies_that_nobody_reads_end_the_connection() {
    let script = Script::new(|_, _| {
        let cursor = "x".repeat(40_000);
        async move { Ok(skein_domain::command::Reply::Rooms { rooms: Vec::new(), cursor }) }.boxed()
    });
    let config = Config { commands_burst: 10_000, ..patient() };
    let world = World::narrow(config, script).await;
    let mut client = Client::narrow(world.tcp).await;
    client.log_in("1").await;
    for _ in 0..64 {
        client.ask(Request::ListRooms(v1::ListRooms::default())).await;
    }
    eventually("the session has ended", || world.hub.counts().sessions == 0).await;
    assert_eq!(client.closed().await, "slow");
    world.is_empty_again().await;
}

/// While replies wait, reading pauses; it must go on when they have left, whether the socket took them at once or not.
#[tokio::test]
async fn a_client_that_reads_its_replies_late_gets_them_all() {
    let long_replies = || {
        Script::new(|_, _| {
            let cursor = "x".repeat(700);
            async move { Ok(skein_domain::command::Reply::Rooms { rooms: Vec::new(), cursor }) }.boxed()
        })
    };
    let config = Config { commands_burst: 10_000, ..patient() };
    for world in [World::new(config.clone(), long_replies()).await, World::narrow(config, long_replies()).await] {
        let mut client = Client::narrow(world.tcp).await;
        client.log_in("1").await;
        for _ in 0..500 {
            client.ask(Request::ListRooms(v1::ListRooms::default())).await;
        }
        eventually("replies wait", || world.logic.asked() >= 64).await;
        for heard in 0..500 {
            match client.hear().await {
                Some((_, Incoming::Reply(Reply::Rooms(_)))) => {}
                other => panic!("expected rooms, heard {other:?} after {heard}"),
            }
        }
        client.beat().await;
    }
}

#[tokio::test]
async fn a_directory_that_is_watched_is_pushed_until_it_is_not() {
    let world = World::plain().await;
    let mut client = world.user("1").await;
    let rooms = || skein_domain::delivery::Push::Rooms { rooms: Vec::new() };
    assert_eq!(world.push(Target::RoomWatchers, rooms()).await.found, 0);
    for (watch, found) in [(true, 1), (false, 0)] {
        let seq = client.ask(Request::ListRooms(v1::ListRooms { watch, ..Default::default() })).await;
        assert!(matches!(client.reply(seq).await, Reply::Rooms(_)));
        assert_eq!(world.push(Target::RoomWatchers, rooms()).await.found, found);
        if watch {
            assert!(matches!(client.push().await, Push::RoomsChanged(_)));
        }
    }
}
