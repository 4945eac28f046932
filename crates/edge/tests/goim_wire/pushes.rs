//! What pushes look like, whom they reach, and what happens where there is no room for them.

use super::client::*;
use super::world::*;
use skein_domain::delivery::Delivered;
use skein_edge::comet::Config;

const HELLO: (i32, &[u8]) = (1000, b"hello");
const HI: (i32, &[u8]) = (1001, b"hi");

#[tokio::test]
async fn every_vector_of_two_pushes_holds() {
    let bare = hex("00000015 0010 0001 000003e8 00000000 68656c6c6f  00000012 0010 0001 000003e9 00000000 6869");
    let container = [hex("00000037 0010 0001 00000009 00000000"), bare.clone()].concat();
    assert_eq!(container.len(), 55);
    for via in Via::BOTH {
        let world = World::plain().await;
        let mut client = world.guest(via, r#"{"room_id":"live://1"}"#).await;
        world.push(room("live://1"), &[HELLO, HI]).await;
        client.is(&if via == Via::Tcp { bare.clone() } else { [vec![0x82, 55], container.clone()].concat() }).await;
    }
}

#[tokio::test]
async fn every_push_to_keys_and_to_all_is_filtered_by_operation_and_none_to_a_room() {
    for via in Via::BOTH {
        let world = World::plain().await;
        let mut wants = world.guest(via, r#"{"key":"a","room_id":"live://1","accepts":[1000]}"#).await;
        let mut wants_not = world.guest(via, r#"{"key":"b","room_id":"live://1","accepts":[5]}"#).await;
        let one = Delivered { found: 1, queued: 1, ..Delivered::default() };
        assert_eq!(world.push(keys(&["a", "b", "nobody"]), &[HELLO]).await, one);
        assert_eq!(world.push(all(), &[HI]).await, Delivered::default());
        assert_eq!(world.push(all(), &[(1000, b"all")]).await, one);
        assert_eq!(world.push(room("live://1"), &[HI]).await, Delivered { found: 2, queued: 2, ..Delivered::default() });
        assert_eq!(world.push(room("live://2"), &[HI]).await, Delivered::default());
        wants.hears_push(&[HELLO]).await;
        wants.hears_push(&[(1000, b"all")]).await;
        wants.hears_push(&[HI]).await;
        wants_not.hears_push(&[HI]).await;
        wants.beats(2).await;
        wants_not.beats(2).await;
    }
}

#[tokio::test]
async fn every_run_of_one_operation_in_a_filtered_push_stays_together() {
    for via in Via::BOTH {
        let world = World::plain().await;
        let mut client = world.guest(via, r#"{"key":"a","accepts":[1000,1001]}"#).await;
        world.push(keys(&["a"]), &[HELLO, HELLO, (5, b"not asked for"), HI]).await;
        client.hears_push(&[HELLO, HELLO]).await;
        client.hears_push(&[HI]).await;
        client.beats(0).await;
    }
}

#[tokio::test]
async fn every_batch_of_21_is_two_containers_of_20_and_1() {
    for via in Via::BOTH {
        let world = World::plain().await;
        let mut client = world.guest(via, r#"{"room_id":"live://1"}"#).await;
        let bodies: Vec<[u8; 1]> = (0..21).map(|nth| [nth]).collect();
        let messages: Vec<(i32, &[u8])> = bodies.iter().map(|body| (1000, &body[..])).collect();
        world.push(room("live://1"), &messages).await;
        let inner: Vec<u8> = messages.iter().flat_map(|(op, body)| frame(*op, 0, body)).collect();
        if via == Via::Tcp {
            client.is(&inner).await;
        } else {
            client.hears(&frame(9, 0, &inner[..20 * 17])).await;
            client.hears(&frame(9, 0, &inner[20 * 17..])).await;
        }
        client.beats(1).await;
    }
}

#[tokio::test]
async fn every_length_of_a_push_is_framed_in_its_shortest_form() {
    for via in Via::BOTH {
        let world = World::plain().await;
        let mut client = world.guest(via, r#"{"room_id":"live://1"}"#).await;
        for bytes in [0, 93, 94, 65_503, 65_504, 70_000] {
            let body = vec![0xfe; bytes];
            world.push(room("live://1"), &[(1000, &body)]).await;
            if via == Via::WebSocket {
                let payload = frame(9, 0, &frame(1000, 0, &body));
                let head = match payload.len() {
                    len @ 0..=125 => vec![0x82, len as u8],
                    len @ 126..=65_535 => [vec![0x82, 126], (len as u16).to_be_bytes().to_vec()].concat(),
                    len => [vec![0x82, 127], (len as u64).to_be_bytes().to_vec()].concat(),
                };
                client.is(&[head, payload].concat()).await;
            } else {
                client.is(&frame(1000, 0, &body)).await;
            }
        }
    }
}

/// goim drops the newest of a client whose ten places are full, and of a push to several keys then skips all behind it.
#[tokio::test]
async fn every_full_queue_loses_its_oldest_and_costs_nobody_else_anything() {
    for via in Via::BOTH {
        let world = World::narrow(patient()).await;
        let address = if via == Via::Tcp { world.tcp } else { world.websocket };
        let mut slow = Goim::narrow(via, address).await;
        slow.log_in(r#"{"key":"slow","accepts":[7]}"#).await;
        let mut quick = world.guest(via, r#"{"key":"quick","accepts":[7]}"#).await;
        let body = |nth: u32| [&nth.to_be_bytes()[..], &[0; 1_000]].concat();
        let mut dropped = 0;
        for nth in 0..400 {
            let delivered = world.push(keys(&["slow", "quick"]), &[(7, &body(nth))]).await;
            assert_eq!((delivered.found, delivered.queued, delivered.resynced), (2, 2, 0));
            dropped += delivered.dropped;
            quick.hears_push(&[(7, &body(nth))]).await;
        }
        assert!(dropped > 200, "{dropped} dropped");
        let heard = slow.drained().await;
        let one = pushed(via, &[(7, &body(0))]).len();
        assert_eq!(heard.len() % one, 0, "whole pushes only");
        let numbers: Vec<u32> =
            heard.chunks(one).map(|push| u32::from_be_bytes(push[one - 1_004..one - 1_000].try_into().unwrap())).collect();
        assert!(numbers.is_sorted(), "in their order");
        assert_eq!(numbers.len() as u64 + dropped, 400, "every loss is counted");
        assert_eq!(numbers.last(), Some(&399), "the newest is there");
        slow.beats(0).await;
        assert_eq!(world.hub.counts().guests, 2, "nobody is closed for it");
    }
}

/// goim's newer connection waits for a place in the full queue of the older one, and all of its bucket with it.
#[tokio::test]
async fn every_stalled_duplicate_freezes_nobody() {
    for via in Via::BOTH {
        let world = World::narrow(patient()).await;
        let address = if via == Via::Tcp { world.tcp } else { world.websocket };
        let mut stalled = Goim::narrow(via, address).await;
        stalled.log_in(r#"{"key":"k","accepts":[7]}"#).await;
        let mut others = Vec::new();
        for nth in 0..40 {
            others.push(world.guest(via, &format!(r#"{{"key":"other-{nth}","accepts":[8]}}"#)).await);
        }
        let mut dropped = 0;
        for _ in 0..1_000 {
            dropped += world.push(keys(&["k"]), &[(7, &[0; 8_000])]).await.dropped;
        }
        assert!(dropped > 0, "it is stalled");
        let mut newer = world.guest(via, r#"{"key":"k","accepts":[7]}"#).await;
        world.push(keys(&["k"]), &[HELLO, (7, b"x")]).await;
        newer.hears_push(&[(7, b"x")]).await;
        for (nth, other) in others.iter_mut().enumerate() {
            let key = format!("other-{nth}");
            world.push(keys(&[&key]), &[(8, b"y")]).await;
            other.hears_push(&[(8, b"y")]).await;
        }
    }
}

#[tokio::test]
async fn every_guest_that_asks_and_does_not_listen_is_not_read_on_and_ends_by_the_clock() {
    for via in Via::BOTH {
        let world = World::narrow(Config { stall_timeout_ms: 300, ..patient() }).await;
        let address = if via == Via::Tcp { world.tcp } else { world.websocket };
        let mut rude = Goim::narrow(via, address).await;
        rude.log_in("{}").await;
        let asking = frame(14, 1, &[b'5'; 4_096]);
        let asking = if via == Via::Tcp { asking } else { fragment(true, 2, true, &asking) };
        let all_taken = async {
            for _ in 0..2_000 {
                tokio::io::AsyncWriteExt::write_all(&mut rude.stream, &asking).await?;
            }
            std::io::Result::Ok(())
        };
        assert!(all_taken.await.is_err(), "8 MiB of questions are not taken");
        world.is_empty_again().await;
    }
}
