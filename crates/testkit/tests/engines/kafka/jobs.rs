//! Two jobs in one group, of which one is killed and then stopped in the middle of traffic.

use super::until_metric;
use skein_testkit::cluster::Topology;
use skein_testkit::database;
use skein_testkit::scenario::{Stage, World};
use skein_testkit::server::ServerProcess;
use skein_testkit::wire::Transport::{Tcp, WebSocket};
use std::time::{Duration, Instant};

/// So many that each job has some.
const GROUPS: [&str; 6] = ["one", "two", "three", "four", "five", "six"];
/// Of the log and of pushes together.
const PARTITIONS: &str = "skein_kafka_partitions";

struct Talk {
    said: usize,
}

impl Talk {
    /// Something in each group, and waits for the acks.
    async fn round(&mut self, world: &World) {
        let mut keys = Vec::new();
        for group in GROUPS {
            keys.push(world.user("ann").says(group, &self.said.to_string()).await);
        }
        for key in keys {
            world.user("ann").acked(&key).await;
        }
        self.said += 1;
    }

    /// As long as `harm` takes and a little longer; answers how long after its end all have everything.
    async fn around<T>(&mut self, world: &World, harm: impl Future<Output = T>) -> (T, Duration) {
        let before = async {
            for _ in 0..10 {
                self.round(world).await;
            }
        };
        let (harmed, ()) = tokio::join!(harm, before);
        let began = Instant::now();
        for _ in 0..5 {
            self.round(world).await;
        }
        for name in ["ann", "bob"] {
            for group in GROUPS {
                world.user(name).expects(group, (0..self.said).map(|nth| nth.to_string())).await;
            }
        }
        (harmed, began.elapsed())
    }
}

async fn shared(world: &World, other: &ServerProcess) {
    for admin in [world.admin(), other.admin().unwrap()] {
        until_metric(admin, PARTITIONS, "is half of them", |count| count == 6.0).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_job_that_is_killed_or_stopped_hands_over_and_nothing_is_lost_or_reordered() {
    let stage = Stage { topology: Topology::Split, engine: database::Engine::Servers };
    let draft = World::new(stage).user("ann", Tcp).user("bob", WebSocket);
    let world = GROUPS.iter().fold(draft, |draft, group| draft.group(group, "ann", &["bob"])).start().await.unwrap();
    let mut talk = Talk { said: 0 };
    let mut other = world.another_core("core-2").await;
    shared(&world, &other).await;
    let (_, took) = talk.around(&world, other.kill()).await;
    eprintln!("one of two jobs killed: all there after {took:?}");
    until_metric(world.admin(), PARTITIONS, "is all of them", |count| count == 12.0).await;

    let mut other = world.another_core("core-2").await;
    shared(&world, &other).await;
    let (ended, took) = talk.around(&world, other.terminate()).await;
    assert!(ended.unwrap().success());
    eprintln!("one of two jobs stopped: all there after {took:?}");
}
