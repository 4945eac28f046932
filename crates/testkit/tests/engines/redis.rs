//! Redis away: the database is asked instead.

use crate::lab::{Engine, Traffic, crew};
use skein_testkit::scenario::Draft;
use xtask::services::Service;

pub fn with_redis(draft: Draft, redis: &Engine) -> Draft {
    draft.set("redis.urls", &format!("[\"{}\"]", redis.own.address())).set("redis.timeout_ms", "500")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_redis_that_stands_still_or_is_killed_or_flushed_costs_no_message() {
    let mut redis = Engine::start(Service::Redis).await;
    let world = with_redis(crew(), &redis).start().await.unwrap();
    let mut traffic = Traffic::new();
    traffic.say(&world, 10).await;
    traffic.arrives(&world).await;

    redis.own.pause().unwrap();
    traffic.say(&world, 50).await;
    redis.own.resume().unwrap();
    traffic.say(&world, 1).await;
    eprintln!("redis stood still: all there {:?} after it went on", traffic.arrives(&world).await);

    redis.own.kill().unwrap();
    traffic.say(&world, 50).await;
    redis = redis.restart().await;
    traffic.say(&world, 1).await;
    eprintln!("redis killed: all there {:?} after it answered again", traffic.arrives(&world).await);
    drop(redis);
}
