//! Deployments on real engines, which stand still, are killed and are started again in the middle of traffic: what was
//! acknowledged arrives, once and in order.

mod kafka;
mod lab;
mod links;
mod mariadb;
mod owner;
mod redis;

use lab::{Engine, Traffic, crew};
use xtask::services::Service;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn everything_arrives_through_kafka_and_redis() {
    let (kafka_engine, redis_engine) = tokio::join!(Engine::start(Service::Kafka), Engine::start(Service::Redis));
    let world = redis::with_redis(kafka::with_kafka(crew(), &kafka_engine), &redis_engine).start().await.unwrap();
    let mut traffic = Traffic::new();
    traffic.say(&world, 50).await;
    traffic.arrives(&world).await;
    world.user("bob").goes_offline().await;
    traffic.say(&world, 20).await;
    world.user("bob").comes_back().await;
    traffic.arrives(&world).await;
}
