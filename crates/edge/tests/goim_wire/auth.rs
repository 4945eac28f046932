//! Op 7 and what comes of it: let in, refused, too late, twice.

use super::client::*;
use super::script::Script;
use super::world::*;
use skein_domain::live::{GuestCommand, GuestKey};
use skein_edge::comet::Config;
use skein_protocol::{Codec, Frame, Op, Request, v1};
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

const VECTOR: &str = r#"{"mid":123,"room_id":"live://1000","platform":"web","accepts":[1000,1001,1002]}"#;

#[tokio::test]
async fn every_vector_of_log_in_and_heartbeat_holds() {
    for via in Via::BOTH {
        let world = World::plain().await;
        let mut others = Vec::new();
        for _ in 0..4 {
            others.push(world.guest(via, r#"{"room_id":"live://1000"}"#).await);
        }
        let mut client = world.client(via).await;
        client.say(&[hex("0000005f 0010 0001 00000007 00000001"), VECTOR.into()].concat()).await;
        client.hears(&hex("00000010 0010 0001 00000008 00000001")).await;
        client.say(&hex("00000010 0010 0001 00000002 00000001")).await;
        client.hears(&hex("00000014 0010 0001 00000003 00000001 00000005")).await;
        drop((client, others));
        world.is_empty_again().await;
    }
}

#[tokio::test]
async fn every_frame_before_the_log_in_is_skipped() {
    for via in Via::BOTH {
        let world = World::plain().await;
        let mut client = world.client(via).await;
        for op in [2, 4, 12, 14, 0, 9, 1000, 8] {
            client.say(&frame(op, 1, b"x")).await;
        }
        client.log_in("{}").await;
        client.beats(0).await;
    }
}

#[tokio::test]
async fn every_name_of_a_field_counts_in_any_case_and_unknown_fields_do_not() {
    for via in Via::BOTH {
        let world = World::plain().await;
        let mut nobody = world.guest(via, "{}").await;
        nobody.beats(0).await;
        let body = r#"{"MID":5,"Key":"me","Room_ID":"live://1","accepts":[7],"other":{"a":[1]},"platform":"x"}"#;
        let mut client = world.guest(via, body).await;
        client.beats(1).await;
        world.push(keys(&["me"]), &[(7, b"x")]).await;
        client.hears_push(&[(7, b"x")]).await;
        let heard = world.logic.heard.lock().unwrap().clone();
        let tokens = heard.iter().filter_map(|command| match command {
            GuestCommand::Connect { token, .. } => Some(token.clone()),
            _ => None,
        });
        assert_eq!(tokens.collect::<Vec<_>>(), [b"{}".to_vec(), body.into()], "logic gets the body as it came");
    }
}

#[tokio::test]
async fn every_body_that_is_no_object_closes_without_a_word() {
    for via in Via::BOTH {
        let world = World::plain().await;
        for body in [&b""[..], b"{", b"hello", b"[]", b"1", b"{\"mid\":}", b"\xff\xfe"] {
            let mut client = world.client(via).await;
            client.say(&frame(7, 1, body)).await;
            client.closed().await;
        }
        world.is_empty_again().await;
    }
}

#[tokio::test]
async fn every_log_in_that_is_too_late_ends_without_a_word() {
    assert_eq!(Config::default().auth_timeout_ms, 8_000, "goim's example file");
    for via in Via::BOTH {
        let world = World::new(Config { auth_timeout_ms: 200, ..patient() }).await;
        let begun = Instant::now();
        let (silent, mut talks) = (world.client(via).await, world.client(via).await);
        talks.say(&frame(2, 1, b"")).await;
        silent.closed().await;
        talks.closed().await;
        assert!(begun.elapsed() >= Duration::from_millis(200));
        // Also before the upgrade.
        Goim { stream: tokio::net::TcpStream::connect(world.websocket).await.unwrap(), via }.closed().await;
        // And while logic thinks.
        Script::shut(&world.logic.door);
        let mut waits = world.client(via).await;
        waits.say(&frame(7, 1, b"{}")).await;
        waits.closed().await;
        Script::reopen(&world.logic.door);
        world.is_empty_again().await;
    }
}

#[tokio::test]
async fn every_guest_that_leaves_during_its_log_in_is_gone() {
    for via in Via::BOTH {
        let world = World::plain().await;
        Script::shut(&world.logic.door);
        let mut client = world.client(via).await;
        client.say(&frame(7, 1, b"{\"key\":\"k\"}")).await;
        eventually("logic is asked", || !world.logic.heard.lock().unwrap().is_empty()).await;
        drop(client);
        eventually("its leaving is noticed", || world.hub.counts().connections == 0).await;
        Script::reopen(&world.logic.door);
        let told = || world.logic.heard.lock().unwrap().iter().any(|heard| matches!(heard, GuestCommand::Disconnect { .. }));
        eventually("the registration is undone", told).await;
        world.is_empty_again().await;
    }
}

#[tokio::test]
async fn every_second_log_in_is_a_message_like_others() {
    for via in Via::BOTH {
        let world = World::plain().await;
        let mut client = world.guest(via, "{}").await;
        client.say(&frame(7, 5, b"{\"key\":\"another\"}")).await;
        client.hears(&frame(7, 5, b"")).await;
        eventually("logic hears of it", || world.logic.messages() == [(7, b"{\"key\":\"another\"}".to_vec())]).await;
    }
}

/// goim's older connection, when it goes, deletes what the newer one just wrote: pushes by key are lost for half an hour.
#[tokio::test]
async fn every_reconnect_closes_the_older_and_keeps_the_newer_registration() {
    for via in Via::BOTH {
        let world = World::plain().await;
        let older = world.guest(via, r#"{"key":"k","room_id":"live://1","accepts":[7]}"#).await;
        let mut newer = world.guest(via, r#"{"key":"k","room_id":"live://1","accepts":[7]}"#).await;
        older.closed().await;
        let told = || world.logic.heard.lock().unwrap().iter().any(|heard| matches!(heard, GuestCommand::Disconnect { .. }));
        eventually("the older one's end is told", told).await;
        assert!(world.logic.guests.lock().unwrap().contains_key(&GuestKey::parse("k").unwrap()));
        assert_eq!(world.push(keys(&["k"]), &[(7, b"x")]).await.queued, 1);
        newer.hears_push(&[(7, b"x")]).await;
        newer.beats(1).await;
        drop(newer);
        world.is_empty_again().await;
    }
}

/// Other frames do not count.
#[tokio::test]
async fn every_guest_lives_by_op_2_alone() {
    for via in Via::BOTH {
        let world = World::new(Config { auth_timeout_ms: 400, ..patient() }).await;
        world.logic.heartbeat_ms.store(400, Relaxed);
        let (mut beats, mut talks) = (world.guest(via, "{}").await, world.guest(via, "{}").await);
        let begun = Instant::now();
        let talking = tokio::spawn(async move {
            let mut stays = true;
            while stays {
                stays = talks.stream.writable().await.is_ok() && tokio::io::AsyncWriteExt::write_all(&mut talks.stream, &[]).await.is_ok();
                let (said, mut heard) = (frame(4, 1, b""), [0; 64]);
                let said = if via == Via::Tcp { said } else { fragment(true, 2, true, &said) };
                stays &= tokio::io::AsyncWriteExt::write_all(&mut talks.stream, &said).await.is_ok();
                stays &= matches!(tokio::io::AsyncReadExt::read(&mut talks.stream, &mut heard).await, Ok(1..));
            }
        });
        while !talking.is_finished() {
            beats.beats(0).await;
            assert!(begun.elapsed() < Duration::from_secs(10), "talking kept it alive");
        }
        assert!(begun.elapsed() >= Duration::from_millis(400));
        beats.beats(0).await;
        assert_eq!(world.hub.counts().guests, 1);
    }
}

#[tokio::test]
async fn one_port_takes_guests_and_accounts() {
    let world = World::plain().await;
    let mut guest = world.guest(Via::Tcp, "{}").await;
    for codec in [Codec::Protobuf, Codec::Json] {
        let auth = v1::Auth { token: "7".into(), major: 1, codec: codec.name().into(), ..Default::default() };
        let mut account = world.client(Via::Tcp).await;
        account.say(&Frame::request(&Request::Auth(auth), 1, codec).unwrap().encode()).await;
        let mut head = [0; 16];
        tokio::io::AsyncReadExt::read_exact(&mut account.stream, &mut head).await.unwrap();
        assert_eq!((&head[8..12], world.hub.counts().sessions), (&[0, 0, 0, 8][..], 1));
        assert!(i32::from_be_bytes(head[..4].try_into().unwrap()) > 16, "a hello, where a guest's answer is empty");
    }
    guest.beats(0).await;
}

/// What is a Skein log-in is judged as one: the tolerance was goim's.
#[tokio::test]
async fn an_account_of_another_version_hears_so_on_the_common_port() {
    let world = World::plain().await;
    let auth = v1::Auth { token: "7".into(), major: 1, ..Default::default() };
    let frame = Frame { ver: 2, ..Frame::request(&Request::Auth(auth), 1, Codec::Protobuf).unwrap() };
    let mut account = world.client(Via::Tcp).await;
    account.say(&frame.encode()).await;
    let mut heard = Vec::new();
    tokio::io::AsyncReadExt::read_to_end(&mut account.stream, &mut heard).await.unwrap();
    assert_eq!(heard[8..12], Op::ERROR.0.to_be_bytes());
    assert!(String::from_utf8_lossy(&heard).contains("unsupported_version"));
}
