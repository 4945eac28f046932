//! What a node tells logic of its guests, and how they go with it.

use super::client::*;
use super::world::*;
use skein_domain::delivery::Control;
use skein_domain::id::Generation;
use skein_domain::live::{GuestCommand, GuestKey, GuestRef, Mid};
use skein_edge::comet::Config;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

fn renewed(world: &World) -> Vec<Vec<(Mid, GuestRef)>> {
    let reports = world.logic.reports.lock().unwrap();
    let live = |report: &GuestCommand| if let GuestCommand::Renew { live, .. } = report { Some(live.clone()) } else { None };
    reports.iter().filter_map(live).collect()
}

#[tokio::test]
async fn leases_of_guests_are_renewed_and_the_node_counts_them() {
    let world = World::new(Config { renew_interval_ms: 20, ..patient() }).await;
    let _guest = world.guest(Via::Tcp, r#"{"mid":5,"key":"k"}"#).await;
    let generation = world.logic.guests.lock().unwrap()[&GuestKey::parse("k").unwrap()];
    let wanted = vec![(Mid(5), GuestRef { key: GuestKey::parse("k").unwrap(), generation })];
    eventually("its lease is renewed", || renewed(&world).last() == Some(&wanted)).await;
    eventually("it counts", || world.logic.loads.lock().unwrap().last().is_some_and(|load| load.connections == 1)).await;
}

#[tokio::test]
async fn leases_go_a_thousand_at_a_time() {
    let world = World::new(Config { renew_interval_ms: 100, ..patient() }).await;
    let mut guests = Vec::new();
    for _ in 0..1_001 {
        guests.push(world.guest(Via::Tcp, "{}").await);
    }
    let told = || renewed(&world).windows(2).any(|two| two[0].len() == 1_000 && two[1].len() == 1);
    eventually("all are renewed in two calls", told).await;
}

#[tokio::test]
async fn a_report_that_failed_is_repeated_soon_and_the_last_counts_stay() {
    let world = World::new(Config { online_interval_ms: 20, ..patient() }).await;
    world.logic.is_down.store(true, Relaxed);
    let reports = || world.logic.reports.lock().unwrap().len();
    let before = reports();
    eventually("it goes on", || reports() > before + 2).await;
}

#[tokio::test]
async fn an_order_closes_the_connection_it_names_and_no_newer_one() {
    for via in Via::BOTH {
        let world = World::plain().await;
        let mut client = world.guest(via, r#"{"key":"k"}"#).await;
        let key = GuestKey::parse("k").unwrap();
        let generation = world.logic.guests.lock().unwrap()[&key];
        let close = |generation| Control::CloseGuest { guest: GuestRef { key: key.clone(), generation } };
        world.control(close(Generation(generation.0 - 1))).await;
        client.beats(0).await;
        world.control(close(generation)).await;
        client.closed().await;
        world.is_empty_again().await;
    }
}

/// goim has no drain: whoever is there is cut.
#[tokio::test]
async fn every_guest_of_a_node_that_leaves_is_closed_within_its_time() {
    for via in Via::BOTH {
        let world = World::plain().await;
        let mut client = world.guest(via, r#"{"room_id":"live://1"}"#).await;
        client.say(&frame(4, 1, b"x")).await;
        client.hears(&frame(4, 1, b"")).await;
        let (comet, closed) = (world.comet.clone(), tokio::spawn(client.closed()));
        tokio::time::timeout(Duration::from_secs(5), comet.drain(Duration::from_secs(10))).await.expect("it ends before its limit");
        closed.await.unwrap();
        world.is_empty_again().await;
    }
}
