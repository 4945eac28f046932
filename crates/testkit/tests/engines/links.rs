//! Links that are slow, cut, silent or half open between parts that are all well.
//!
//! MariaDB and Redis are those all tests share: nothing happens to them, only to the way there. Kafka is the test's own, for
//! it tells its clients where it is, and must name the way.

use crate::lab::{Engine, Traffic, crew};
use skein_testkit::database::Database;
use skein_testkit::proxy::{Proxy, Trap, Weather};
use skein_testkit::scenario::World;
use std::net::SocketAddr;
use std::time::Duration;
use xtask::services::{Service, require};

/// Shorter than any time-out of a call.
const SHORT: Duration = Duration::from_millis(800);
/// Longer: see the door's deadline.
const LONG: Duration = Duration::from_secs(7);
const HITCHES: [(Weather, Duration); 4] =
    [(Weather::Fair(Duration::from_millis(30)), SHORT), (Weather::Cut, SHORT), (Weather::Silent, SHORT), (Weather::HalfOpen, SHORT)];
const SILENCE: (Weather, Duration) = (Weather::Silent, LONG);

/// A way to the engine that can be harmed, and its address with the way's in place of the engine's.
fn link_to(address: &str) -> (Proxy, String) {
    let server: SocketAddr = address.rsplit(['/', '@']).find_map(|part| part.parse().ok()).expect("an address");
    let link = Proxy::to(server).unwrap();
    let through = address.replace(&server.to_string(), &link.address().to_string());
    (link, through)
}

async fn shared(service: Service) -> String {
    tokio::task::spawn_blocking(move || require(service)).await.unwrap().unwrap()
}

/// One after the other, with traffic all the while.
async fn suffers(traffic: &mut Traffic, world: &World, name: &str, links: &[&Proxy], weathers: &[(Weather, Duration)]) {
    for (weather, duration) in weathers {
        let harm = async {
            links.iter().for_each(|link| link.turns(*weather));
            tokio::time::sleep(*duration).await;
            links.iter().for_each(|link| link.mends());
        };
        let talk = traffic.while_suffering(world, harm).await.1;
        talk.told(&format!("{name} {weather:?} for {duration:?}"));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_bad_link_to_mariadb_loses_doubles_and_reorders_nothing() {
    let database = tokio::task::spawn_blocking(Database::make).await.unwrap().unwrap();
    let (link, url) = link_to_database(&database);
    let world = crew().on_database(&url).start().await.unwrap();
    let mut traffic = Traffic::new();
    traffic.say(&world, 5).await;
    suffers(&mut traffic, &world, "link to MariaDB", &[&link], &HITCHES).await;
    suffers(&mut traffic, &world, "link to MariaDB", &[&link], &[SILENCE]).await;

    for _ in 0..5 {
        // On the writer's connection alone: readers, too, end with a COMMIT.
        link.sets(Trap { on: "START TRANSACTION", after: "COMMIT" });
        traffic.say(&world, 2).await;
        world.until("a commit goes without its answer", |_| link.has_sprung()).await;
    }
    assert!(world.user("ann").refusals().contains_key("retry_same_key"));
    traffic.arrives(&world).await;
    drop(world);
}

fn link_to_database(database: &Database) -> (Proxy, String) {
    let url = &database.config().mysql.url;
    let (server, name) = url.rsplit_once('/').expect("a database");
    let (link, through) = link_to(server);
    (link, format!("{through}/{name}"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_bad_link_to_redis_loses_doubles_and_reorders_nothing() {
    let (link, url) = link_to(shared(Service::Redis).await.trim_end_matches('/'));
    let draft = crew().set("redis.urls", &format!("[\"{url}\"]")).set("redis.timeout_ms", "500");
    let world = draft.set("redis.prefix", &format!("links-{}:", std::process::id())).start().await.unwrap();
    let mut traffic = Traffic::new();
    suffers(&mut traffic, &world, "link to Redis", &[&link], &HITCHES).await;
    suffers(&mut traffic, &world, "link to Redis", &[&link], &[SILENCE]).await;
    drop(world);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_bad_link_to_kafka_loses_doubles_and_reorders_nothing() {
    let mut kafka = Engine::start(Service::Kafka).await;
    let (link, through) = link_to(&kafka.own.address());
    kafka.advertises(&through);
    kafka.own.kill().unwrap();
    kafka = kafka.restart().await;
    let world = crew().set("kafka.brokers", &through).set("kafka.timeout_ms", "2000").start().await.unwrap();
    let mut traffic = Traffic::new();
    suffers(&mut traffic, &world, "link to Kafka", &[&link], &HITCHES).await;
    suffers(&mut traffic, &world, "link to Kafka", &[&link], &[SILENCE]).await;
    drop((world, kafka));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bad_links_between_comet_and_logic_lose_double_and_reorder_nothing() {
    let world = crew().with_links().start().await.unwrap();
    let links = world.links();
    let mut traffic = Traffic::new();
    suffers(&mut traffic, &world, "link from comet to logic", &[&links.logic], &HITCHES).await;
    suffers(&mut traffic, &world, "link from job to comet", &[&links.comet], &HITCHES).await;
    suffers(&mut traffic, &world, "links between comet and core", &[&links.logic, &links.comet], &[SILENCE]).await;
}
