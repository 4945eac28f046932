//! Rooms of guests: going there, being counted there, being gone.

use super::client::*;
use super::script::Script;
use super::world::*;
use skein_domain::live::{GuestCommand, RoomName};
use skein_edge::comet::Config;

fn name(room: &str) -> RoomName {
    RoomName::parse(room).unwrap()
}

#[tokio::test]
async fn every_change_of_room_takes_effect_at_once_and_an_empty_name_leaves() {
    for via in Via::BOTH {
        let world = World::plain().await;
        let mut client = world.guest(via, r#"{"room_id":"live://1"}"#).await;
        for (to, here) in [("live://2", 1), ("live://2", 1), ("", 0), ("live://1", 1)] {
            client.say(&frame(12, 3, to.as_bytes())).await;
            client.hears(&frame(13, 3, to.as_bytes())).await;
            client.beats(here).await;
            for from in ["live://1", "live://2"] {
                assert_eq!(world.push(room(from), &[(1, b"x")]).await.queued, u64::from(from == to), "{from} in {to}");
            }
            if here == 1 {
                client.hears_push(&[(1, b"x")]).await;
            }
        }
        eventually("logic hears where it is", || world.logic.moves().last() == Some(&Some("live://1".into()))).await;
    }
}

/// goim takes any bytes for a name.
#[tokio::test]
async fn every_name_that_cannot_be_one_changes_nothing_and_is_answered() {
    for via in Via::BOTH {
        let world = World::plain().await;
        let mut client = world.guest(via, r#"{"room_id":"live://1"}"#).await;
        for bad in [&b"\xff"[..], b"a\nb", &[b'x'; 257]] {
            client.say(&frame(12, 3, bad)).await;
            client.hears(&frame(13, 3, bad)).await;
            client.beats(1).await;
        }
        assert_eq!(world.push(room("live://1"), &[(1, b"x")]).await.queued, 1);
    }
}

/// Only the last place counts while logic does not listen.
#[tokio::test]
async fn every_move_is_told_in_order_and_those_overtaken_not_at_all() {
    for via in Via::BOTH {
        let world = World::plain().await;
        Script::shut(&world.logic.desk);
        let mut client = world.guest(via, "{}").await;
        for nth in 0..200 {
            let to = format!("live://{nth}");
            client.say(&frame(12, nth, to.as_bytes())).await;
            client.hears(&frame(13, nth, to.as_bytes())).await;
        }
        Script::reopen(&world.logic.desk);
        let wanted = [Some("live://0".to_owned()), Some("live://199".to_owned())];
        eventually("logic hears of the last", || world.logic.moves() == wanted).await;
    }
}

/// Or the move would bring back who is gone.
#[tokio::test]
async fn every_end_is_told_behind_the_move_that_logic_is_hearing() {
    for via in Via::BOTH {
        let world = World::plain().await;
        Script::shut(&world.logic.desk);
        let mut client = world.guest(via, r#"{"key":"k"}"#).await;
        client.say(&frame(12, 1, b"live://1")).await;
        client.hears(&frame(13, 1, b"live://1")).await;
        drop(client);
        eventually("the guest is gone", || world.hub.counts().connections == 0).await;
        Script::reopen(&world.logic.desk);
        eventually("its end is told", || world.logic.registered() == 0).await;
        let heard = world.logic.heard.lock().unwrap().clone();
        assert!(matches!(heard[1..], [GuestCommand::Move { .. }, GuestCommand::Disconnect { .. }]), "in this order");
    }
}

#[tokio::test]
async fn every_heartbeat_counts_the_room_over_two_nodes() {
    let config = Config { online_interval_ms: 20, ..patient() };
    for via in Via::BOTH {
        let one = World::new(config.clone()).await;
        let other = World::beside(&one, config.clone()).await;
        *one.logic.elsewhere.lock().unwrap() = vec![(name("live://1"), 1)];
        let mut here = one.guest(via, r#"{"room_id":"live://1"}"#).await;
        let _there = other.guest(via, r#"{"room_id":"live://1"}"#).await;
        let both = tokio::time::timeout(std::time::Duration::from_secs(10), async {
            loop {
                here.say(&frame(2, 1, b"")).await;
                let mut heard = vec![0; if via == Via::Tcp { 20 } else { 22 }];
                tokio::io::AsyncReadExt::read_exact(&mut here.stream, &mut heard).await.unwrap();
                if heard.ends_with(&[0, 0, 0, 2]) {
                    return;
                }
            }
        });
        both.await.expect("the other one is counted");
    }
}

/// goim never clears the count of a room that became empty while its server lives.
#[tokio::test]
async fn every_empty_room_is_gone_from_the_next_report() {
    for via in Via::BOTH {
        let world = World::new(Config { online_interval_ms: 20, ..patient() }).await;
        let reported = |wanted: &[(RoomName, u32)], connections: u32, addresses: u32| {
            let reports = world.logic.reports.lock().unwrap();
            matches!(reports.last(), Some(GuestCommand::Online { rooms, connections: all, addresses: from, weight: 10, .. })
                if rooms == wanted && (*all, *from) == (connections, addresses))
        };
        let mut client = world.guest(via, r#"{"room_id":"live://1"}"#).await;
        eventually("it is counted", || reported(&[(name("live://1"), 1)], 1, 1)).await;
        client.say(&frame(12, 1, b"")).await;
        eventually("the room is empty", || reported(&[], 1, 1)).await;
        client.say(&frame(12, 2, b"live://2")).await;
        eventually("it is in another", || reported(&[(name("live://2"), 1)], 1, 1)).await;
        drop(client);
        eventually("nobody is there", || reported(&[], 0, 0)).await;
        world.is_empty_again().await;
    }
}
