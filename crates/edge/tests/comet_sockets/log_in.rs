//! Who gets in over TCP, and what they hear first.

use super::client::*;
use super::script::Script;
use super::world::*;
use skein_domain::id::{SessionId, Uid};
use skein_edge::comet::Config;
use skein_protocol::{Reply, v1};

#[tokio::test]
async fn hello_comes_when_the_connection_is_registered_and_in_the_hub() {
    let world = World::plain().await;
    let mut client = world.client().await;
    let hello = client.log_in("7.2").await;
    assert_eq!((hello.uid, hello.session.as_str(), hello.node.as_str()), (7, "702", "node-1"));
    assert_eq!((hello.major, hello.epoch, hello.features), (1, u64::MAX, vec!["deflate".to_owned()]));
    let limits = hello.limits.unwrap();
    assert_eq!((limits.frame_bytes, limits.in_flight_commands, limits.heartbeat_timeout_ms), (65_536, 64, 90_000));
    assert_eq!((world.hub.user_of(SessionId(702)), world.hub.sessions_of(Uid(7))), (Some(Uid(7)), vec![SessionId(702)]));
    assert_eq!(world.logic.registered(), 1);
    assert_eq!(world.notify("x").await.queued, 1);
    assert_eq!(client.notice().await, "x");
}

#[tokio::test]
async fn the_codec_chosen_at_log_in_holds_from_the_reply_on() {
    let world = World::plain().await;
    let mut client = world.client().await;
    let seq = client.auth(v1::Auth { token: "7".into(), codec: "json".into(), ..Default::default() }).await;
    let frame = client.frame().await.unwrap();
    assert_eq!((frame.seq, frame.body.first()), (seq, Some(&b'{')));
    world.notify("x").await;
    assert_eq!(client.notice().await, "x");
}

#[tokio::test]
async fn long_bodies_are_deflated_for_those_who_said_so() {
    let world = World::plain().await;
    let mut plain = world.user("1").await;
    let mut client = world.client().await;
    let seq = client.auth(v1::Auth { token: "2".into(), deflate: true, ..Default::default() }).await;
    assert!(matches!(client.reply(seq).await, Reply::Hello(_)));
    let text = "the quick brown fox ".repeat(200);
    world.notify(&text).await;
    let mut header = [0; 16];
    tokio::io::AsyncReadExt::read_exact(&mut client.stream, &mut header).await.unwrap();
    let len = u32::from_be_bytes([header[0], header[1], header[2], header[3]]);
    assert_eq!(header[6..8], [1, 1], "version 1 with the bit for deflate");
    assert!((len as usize) < text.len() / 4, "{len} bytes on the wire");
    assert_eq!(plain.notice().await, text);
}

#[tokio::test]
async fn a_refused_log_in_says_why_and_whether_to_come_back() {
    let world = World::plain().await;
    for (token, code, close) in [
        ("nobody", "unauthorized", "auth_failed"),
        ("disabled", "disabled", "disabled"),
        ("down", "unavailable", "internal_error"),
        ("", "unauthorized", "auth_failed"),
    ] {
        let mut client = world.client().await;
        let seq = client.auth(v1::Auth { token: token.into(), ..Default::default() }).await;
        assert_eq!(client.error(seq).await, code);
        assert_eq!(client.closed().await, close, "{token}");
    }
    world.is_empty_again().await;
}

#[tokio::test]
async fn before_log_in_a_command_is_refused_and_a_heartbeat_is_not() {
    let world = World::plain().await;
    let mut client = world.client().await;
    client.beat().await;
    let seq = client.ask(typing()).await;
    assert_eq!(client.error(seq).await, "unauthorized");
    assert_eq!(client.closed().await, "auth_failed");
    assert_eq!(world.logic.asked(), 0);
}

#[tokio::test]
async fn a_second_log_in_is_refused_and_the_connection_stays() {
    let world = World::plain().await;
    let mut client = world.user("1").await;
    let seq = client.auth(v1::Auth { token: "2".into(), ..Default::default() }).await;
    assert_eq!(client.error(seq).await, "bad_request");
    client.beat().await;
}

#[tokio::test]
async fn heartbeats_do_not_buy_time_to_log_in() {
    let world = World::new(Config { auth_timeout_ms: 150, ..patient() }, Script::plain()).await;
    let mut client = world.client().await;
    client.beat().await;
    assert_eq!(client.closed().await, "auth_timeout");
    world.is_empty_again().await;
}

#[tokio::test]
async fn what_is_sent_right_behind_the_log_in_waits_for_it() {
    let world = World::plain().await;
    Script::shut(&world.logic.connect_gate);
    let mut client = world.client().await;
    let auth = client.auth(v1::Auth { token: "1".into(), ..Default::default() }).await;
    let next = client.ask(sync()).await;
    eventually("logic is asked", || !world.logic.connects.lock().unwrap().is_empty()).await;
    assert_eq!(world.logic.asked(), 0);
    Script::reopen(&world.logic.connect_gate);
    assert!(matches!(client.reply(auth).await, Reply::Hello(_)));
    assert!(matches!(client.reply(next).await, Reply::SyncPage(_)));
}

#[tokio::test]
async fn a_client_that_vanishes_during_log_in_leaves_nothing() {
    let world = World::plain().await;
    Script::shut(&world.logic.connect_gate);
    let mut client = world.client().await;
    client.auth(v1::Auth { token: "1".into(), ..Default::default() }).await;
    eventually("logic is asked", || !world.logic.connects.lock().unwrap().is_empty()).await;
    drop(client);
    eventually("the socket is gone", || world.hub.counts().connections == 0).await;
    Script::reopen(&world.logic.connect_gate);
    // Registered by then; the guard takes it back.
    world.is_empty_again().await;
}
