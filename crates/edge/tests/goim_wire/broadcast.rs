//! Pushes to all: whom they fit, and how fast they go.

use super::client::*;
use super::world::*;
use skein_domain::delivery::{Delivered, Target};
use skein_domain::live::Audience;
use std::time::{Duration, Instant};

fn audience(platforms: &[&str], tags: &[&str], speed: Option<u32>) -> Target {
    let texts = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect();
    Target::Audience(Audience { platforms: texts(platforms), tags: texts(tags), speed })
}

#[tokio::test]
async fn every_audience_is_chosen_by_platform_and_tag() {
    for via in Via::BOTH {
        let world = World::plain().await;
        let mut phone = world.guest(via, r#"{"platform":"ios","tags":["vip","new"],"accepts":[7]}"#).await;
        let mut browser = world.guest(via, r#"{"platform":"web","accepts":[7]}"#).await;
        for (target, to_phone, to_browser) in [
            (audience(&[], &[], None), true, true),
            (audience(&["ios", "android"], &[], None), true, false),
            (audience(&["web"], &["vip"], None), false, false),
            (audience(&[], &["vip"], None), true, false),
            (audience(&["web"], &[], None), false, true),
        ] {
            let delivered = world.push(target, &[(7, b"x")]).await;
            assert_eq!(delivered.queued, u64::from(to_phone) + u64::from(to_browser));
            if to_phone {
                phone.hears_push(&[(7, b"x")]).await;
            }
            if to_browser {
                browser.hears_push(&[(7, b"x")]).await;
            }
        }
    }
}

#[tokio::test]
async fn every_speed_is_kept_beside_everything_else() {
    for via in Via::BOTH {
        let world = World::plain().await;
        let mut clients = Vec::new();
        for _ in 0..21 {
            clients.push(world.guest(via, r#"{"accepts":[7,8]}"#).await);
        }
        let begun = Instant::now();
        let told = Delivered { found: 21, queued: 21, ..Delivered::default() };
        assert_eq!(world.push(audience(&[], &[], Some(20)), &[(7, b"slow")]).await, told);
        assert_eq!(world.push(audience(&[], &[], Some(20)), &[(7, b"slow")]).await, told);
        assert!(begun.elapsed() < Duration::from_millis(500), "the call does not wait for it");
        world.push(audience(&[], &[], None), &[(8, b"quick")]).await;
        for client in &mut clients {
            let mut heard = vec![0; pushed(via, &[(7, b"slow")]).len() * 2 + pushed(via, &[(8, b"quick")]).len()];
            tokio::io::AsyncReadExt::read_exact(&mut client.stream, &mut heard).await.unwrap();
        }
        assert!(begun.elapsed() >= Duration::from_millis(900), "one at once, and twenty a second: {:?}", begun.elapsed());
    }
}

#[tokio::test]
async fn too_many_slow_pushes_at_a_time_are_refused_and_counted() {
    let world = World::plain().await;
    let _clients = [world.guest(Via::Tcp, r#"{"accepts":[7]}"#).await, world.guest(Via::Tcp, r#"{"accepts":[7]}"#).await];
    let mut delivered = Vec::new();
    for _ in 0..17 {
        delivered.push(world.push(audience(&[], &[], Some(1)), &[(7, b"x")]).await);
    }
    assert!(delivered[..16].iter().all(|one| (one.queued, one.dropped) == (2, 0)));
    assert_eq!((delivered[16].found, delivered[16].queued, delivered[16].dropped), (2, 0, 2));
}
