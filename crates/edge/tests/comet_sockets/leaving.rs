//! Every way to leave: the client hears why, and nothing is left.

use super::client::*;
use super::script::Script;
use super::websocket::{Raw, code_of};
use super::world::*;
use skein_domain::account::Ended;
use skein_domain::delivery::{Control, Target};
use skein_domain::id::{Generation, SessionId};
use skein_edge::comet::Config;
use skein_protocol::table::Incoming;
use skein_protocol::{Push, Reply, Request, v1};
use std::time::Duration;
use tokio::io::AsyncWriteExt;

fn close(session: i64, reason: Ended) -> Control {
    Control::Close { session: SessionId(session), up_to: Generation(i64::MAX), reason }
}

#[tokio::test]
async fn a_kick_says_why_on_both_transports() {
    let world = World::plain().await;
    for (reason, name, number) in [
        (Ended::LoggedInElsewhere, "logged_in_elsewhere", 4101),
        (Ended::Replaced, "replaced", 4102),
        (Ended::LoggedOut, "logged_out", 4104),
        (Ended::PasswordReset, "logged_out", 4104),
        (Ended::Disabled, "disabled", 4107),
    ] {
        let mut tcp = world.user("1").await;
        let mut websocket = Raw::log_in(&world, "2").await;
        world.notify("before the kick").await;
        world.control(close(1, reason)).await;
        world.control(close(2, reason)).await;
        assert_eq!(tcp.notice().await, "before the kick");
        assert_eq!(tcp.closed().await, name);
        assert_eq!(code_of(websocket.closed().await), number);
    }
    world.is_empty_again().await;
}

#[tokio::test]
async fn the_same_session_replaces_its_own_older_connection() {
    let world = World::plain().await;
    let mut older = world.user("1").await;
    let mut newer = world.user("1").await;
    assert_eq!(older.closed().await, "replaced");
    newer.beat().await;
    assert_eq!((world.hub.counts().sessions, world.logic.registered()), (1, 1), "the older one's going took nothing along");
    world.notify("x").await;
    assert_eq!(newer.notice().await, "x");
}

#[tokio::test]
async fn every_way_to_leave_leaves_nothing() {
    let config = Config { heartbeat_interval_ms: 50, ping_after_ms: 100, heartbeat_timeout_ms: 300, ..patient() };
    let world = World::new(config, Script::plain()).await;
    let watch = Request::ListRooms(v1::ListRooms { watch: true, ..Default::default() });
    for way in ["drop", "shutdown", "rubbish", "kick", "silence", "command under way"] {
        world.is_empty_again().await;
        let mut client = world.user("1").await;
        let seq = client.ask(watch.clone()).await;
        client.reply(seq).await;
        let there = world.hub.counts();
        assert_eq!((there.sessions, there.subscriptions, there.watchers), (1, 1, 1));
        match way {
            "drop" => drop(client),
            "shutdown" => client.stream.shutdown().await.unwrap(),
            "rubbish" => client.send(&[0xff; 32]).await,
            "kick" => world.control(close(1, Ended::LoggedOut)).await,
            "silence" => assert_eq!(client.closed().await, "heartbeat_timeout"),
            _ => {
                Script::shut(&world.logic.gate);
                let before = world.logic.asked();
                client.ask(send("k")).await;
                eventually("logic is asked", || world.logic.asked() > before).await;
                drop(client);
                eventually("the session has ended", || world.hub.counts().sessions == 0).await;
                Script::reopen(&world.logic.gate);
            }
        }
    }
    world.is_empty_again().await;
}

#[tokio::test]
async fn a_room_is_heard_by_its_subscribers_alone() {
    let world = World::plain().await;
    let mut inside = world.user("1").await;
    let mut outside = world.user("2").await;
    world.control(Control::Unsubscribe { session: SessionId(2), room: super::script::ROOM }).await;
    let delivered = world.push(Target::Room(super::script::ROOM), notice("for the room")).await;
    assert_eq!((delivered.found, delivered.queued), (1, 1));
    assert_eq!(inside.notice().await, "for the room");
    world.notify("for all").await;
    assert_eq!(outside.notice().await, "for all");
    world.control(Control::Subscribe { session: SessionId(2), room: super::script::ROOM }).await;
    assert_eq!(world.push(Target::Room(super::script::ROOM), notice("again")).await.found, 2);
}

#[tokio::test]
async fn whoever_is_not_registered_any_more_is_closed_at_the_next_renewal() {
    let world = World::new(Config { renew_interval_ms: 30, ..patient() }, Script::plain()).await;
    let mut gone = world.user("1").await;
    let mut stays = world.user("2").await;
    world.logic.gone.lock().unwrap().push(world.connection(1));
    assert_eq!(gone.closed().await, "going_away");
    stays.beat().await;
    let loads = world.logic.loads.lock().unwrap();
    assert!(loads.iter().any(|load| load.connections == 2 && !load.draining));
}

#[tokio::test]
async fn a_drain_says_when_to_come_back_and_lets_what_is_under_way_finish() {
    let world = World::plain().await;
    let mut idle = world.user("1").await;
    let mut busy = world.user("2").await;
    let mut websocket = Raw::log_in(&world, "3").await;
    let mut stranger = world.client().await;
    stranger.beat().await;
    Script::shut(&world.logic.gate);
    let pending = busy.ask(send("k")).await;
    eventually("logic is asked", || world.logic.asked() == 1).await;

    world.accepting.cancel();
    let draining = tokio::spawn({
        let comet = world.comet.clone();
        async move { comet.drain(Duration::from_secs(10)).await }
    });
    assert!(matches!(idle.push().await, Push::GoAway(go) if (0..1_000).contains(&go.after_ms)));
    assert_eq!(idle.closed().await, "going_away");
    assert_eq!(code_of(websocket.closed().await), 1001);
    assert_eq!(stranger.closed().await, "going_away");

    assert!(matches!(busy.push().await, Push::GoAway(_)));
    let refused = busy.ask(send("k2")).await;
    assert_eq!(busy.error(refused).await, "draining");
    Script::reopen(&world.logic.gate);
    assert!(matches!(busy.reply(pending).await, Reply::Ack(_)), "what was under way has its ack");
    assert_eq!(busy.closed().await, "going_away");
    draining.await.unwrap();
    world.is_empty_again().await;
    assert!(world.logic.loads.lock().unwrap().last().unwrap().draining);
}

#[tokio::test]
async fn a_drain_ends_in_time_whatever_logic_does() {
    let world = World::plain().await;
    let mut client = world.user("1").await;
    Script::shut(&world.logic.gate);
    client.ask(send("k")).await;
    eventually("logic is asked", || world.logic.asked() == 1).await;
    world.comet.drain(Duration::from_millis(200)).await;
    assert!(matches!(client.hear().await, Some((0, Incoming::Push(Push::GoAway(_))))));
    assert!(client.hear().await.is_none(), "cut without a word");
}
