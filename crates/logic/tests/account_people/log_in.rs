//! Log-in: what it costs, what it tells, how often.

use crate::world::{PASSWORD, World, config};
use skein_domain::Code;
use skein_domain::account::DeviceClass;
use skein_logic::account::{Config, rate::Rate};

#[tokio::test]
async fn unknown_and_wrong_are_the_same_answer_at_the_same_cost() {
    let world = World::new().await;
    world.user("ann").await;
    let mut met = Vec::new();
    for (address, password) in
        [("ann@example.org", "wrong password"), ("nobody@example.org", PASSWORD), ("ann@example.org", &"x".repeat(200))]
    {
        let before = world.accounts.passwords().computed();
        let error = world.log_in(address, password).await.err().unwrap();
        met.push((error, world.accounts.passwords().computed() - before));
    }
    assert_eq!(met[0], met[1]);
    assert_eq!((met[0].0.code, met[0].1), (Code::BadCredentials, 1));
    assert_eq!((&met[2].0, met[2].1), (&met[0].0, 0), "too long to be one: refused for everybody without a hash");
}

#[tokio::test]
async fn log_ins_of_an_account_are_limited_also_if_there_is_none() {
    let rate = Rate { burst: 3, every_ms: 30_000 };
    let world = World::with(Config { log_ins_per_account: rate, ..config() }).await;
    world.user("ann").await;
    for address in ["ann@example.org", "nobody@example.org"] {
        for _ in 0..3 {
            assert_eq!(world.log_in(address, "wrong password").await.err().unwrap().code, Code::BadCredentials);
        }
        let refused = world.log_in(address, PASSWORD).await.err().unwrap();
        assert_eq!((refused.code, refused.retry_after_ms), (Code::RateLimited, Some(30_000)), "{address}");
    }
    world.clock.advance(30_000);
    world.log_in("ann@example.org", PASSWORD).await.unwrap();
}

#[tokio::test]
async fn attempts_from_one_network_are_limited_across_accounts() {
    let world = World::with(Config { log_ins_per_address: Rate { burst: 3, every_ms: 1_000 }, ..config() }).await;
    world.user("ann").await;
    for n in 0..3 {
        assert_eq!(world.log_in(&format!("user{n}@example.org"), PASSWORD).await.err().unwrap().code, Code::BadCredentials);
    }
    assert_eq!(world.log_in("ann@example.org", PASSWORD).await.err().unwrap().code, Code::RateLimited);
    world.log_in_from("192.0.2.9:1", "ann@example.org", PASSWORD).await.unwrap();
}

#[tokio::test]
async fn code_requests_from_one_network_are_limited() {
    use skein_domain::account::CodePurpose::Register;
    let world = World::with(Config { code_requests_per_address: Rate { burst: 2, every_ms: 1_000 }, ..config() }).await;
    world.request_code("a@example.org", Register).await.unwrap();
    world.request_code("b@example.org", Register).await.unwrap();
    assert_eq!(world.request_code("c@example.org", Register).await.unwrap_err().code, Code::RateLimited);
    world.clock.advance(1_000);
    world.request_code("c@example.org", Register).await.unwrap();
}

#[tokio::test]
async fn a_hash_moves_to_the_configured_cost_at_log_in_and_ends_no_session() {
    let world = World::new().await;
    let uid = world.user("ann").await;
    let first = world.log_in_as("ann@example.org", DeviceClass::Mobile).await.unwrap();
    let before = world.hash_of(uid).await;

    let world = world.restarted(Config { password_passes: 2, ..config() });
    world.log_in("ann@example.org", PASSWORD).await.unwrap();
    let after = world.hash_of(uid).await;
    assert!(before.contains("t=1") && after.contains("t=2"), "{before} {after}");
    world.verify(&first.token).await.unwrap();
    world.log_in("ann@example.org", PASSWORD).await.unwrap();
    assert_eq!(world.hash_of(uid).await, after, "once is enough");
}

#[tokio::test]
async fn a_session_slides_with_use_and_ends_without() {
    const DAY_MS: i64 = 24 * 60 * 60 * 1_000;
    let world = World::new().await;
    world.user("ann").await;
    let token = world.log_in("ann@example.org", PASSWORD).await.unwrap().token;
    let opened = world.verify(&token).await.unwrap();
    world.clock.advance(DAY_MS / 2);
    world.verify(&token).await.unwrap();
    assert_eq!(world.verify(&token).await.unwrap().expires_at, opened.expires_at, "written down at most daily");
    for _ in 0..3 {
        world.clock.advance(20 * DAY_MS);
        world.verify(&token).await.unwrap();
    }
    world.clock.advance(30 * DAY_MS + 1);
    assert_eq!(world.verify(&token).await.unwrap_err().code, Code::Unauthorized);
}
