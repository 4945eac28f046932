//! In order and in time.

use super::client::*;
use super::world::*;
use std::time::{Duration, Instant};

/// goim's Job holds a lone message for a second.
#[tokio::test]
async fn every_lone_push_to_a_room_arrives_in_milliseconds() {
    for via in Via::BOTH {
        let world = World::plain().await;
        let mut client = world.guest(via, r#"{"room_id":"live://1"}"#).await;
        let mut times = Vec::new();
        for _ in 0..50 {
            let begun = Instant::now();
            world.push(room("live://1"), &[(1, b"x")]).await;
            client.hears_push(&[(1, b"x")]).await;
            times.push(begun.elapsed());
        }
        times.sort_unstable();
        assert!(times[25] < Duration::from_millis(20), "{:?} in the middle, {:?} at most", times[25], times[49]);
    }
}

/// goim hands the batches of a room, and the pushes to a key, to workers in turn: two may overtake each other.
#[tokio::test]
async fn every_room_and_every_key_hears_its_pushes_in_their_order() {
    for via in Via::BOTH {
        let world = World::plain().await;
        let mut clients = Vec::new();
        for nth in 0..20 {
            clients.push(world.guest(via, &format!(r#"{{"key":"k-{nth}","room_id":"live://1","accepts":[2]}}"#)).await);
        }
        for round in 0u32..200 {
            world.push(room("live://1"), &[(1, &round.to_be_bytes())]).await;
            for nth in 0..20 {
                world.push(keys(&[&format!("k-{nth}")]), &[(2, &round.to_be_bytes())]).await;
            }
        }
        for client in &mut clients {
            for round in 0u32..200 {
                client.hears_push(&[(1, &round.to_be_bytes())]).await;
                client.hears_push(&[(2, &round.to_be_bytes())]).await;
            }
        }
    }
}

/// Nothing is lost or doubled at goim's published rate, forty messages a second of twenty at a time, as fast as it goes.
#[tokio::test]
async fn every_receiver_of_a_crowded_room_hears_everything_once() {
    for via in Via::BOTH {
        let world = World::plain().await;
        let mut clients = Vec::new();
        for _ in 0..100 {
            clients.push(world.guest(via, r#"{"room_id":"live://1"}"#).await);
        }
        let body = br#"{"test":1}"#;
        let batch = [(1000, &body[..]); 20];
        for _ in 0..30 {
            let delivered = world.push(room("live://1"), &batch).await;
            assert_eq!((delivered.queued, delivered.dropped), (100, 0));
            for client in &mut clients {
                client.hears_push(&batch).await;
            }
        }
        for client in &mut clients {
            client.beats(100).await;
        }
    }
}
