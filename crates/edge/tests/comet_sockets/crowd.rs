//! Many at once.

use super::client::*;
use super::script::Script;
use super::world::*;
use skein_domain::delivery::{Batch, Envelope, Origin, Target};
use skein_domain::door::Delivery;
use skein_domain::id::{Revision, Shard};
use skein_edge::comet::Config;
use std::collections::HashMap;

/// Threads of this name; others in the process belong to other tests.
fn threads_named(name: &str) -> usize {
    let tasks = std::fs::read_dir("/proc/self/task").unwrap();
    let names = tasks.filter_map(|task| std::fs::read_to_string(task.ok()?.path().join("comm")).ok());
    names.filter(|comm| comm.trim() == name).count()
}

const WORKERS: usize = 2;

#[test]
fn a_thousand_connections_need_no_further_thread() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(WORKERS).thread_name("thousand").enable_all().build().unwrap();
    runtime.block_on(async {
        let world = World::plain().await;
        let mut first = world.user("1").await;
        let mut clients = Vec::new();
        for nth in 2..=1_000 {
            clients.push(world.user(&nth.to_string()).await);
        }
        assert_eq!(world.hub.counts().sessions, 1_000);
        assert_eq!(world.notify("all of you").await.queued, 1_000);
        for client in &mut clients {
            assert_eq!(client.notice().await, "all of you");
        }
        assert_eq!(first.notice().await, "all of you");
        assert!(threads_named("thousand") <= WORKERS, "the runtime's own, and no other");
        drop((first, clients));
        world.is_empty_again().await;
    });
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn numbered_pushes_of_eight_producers_arrive_without_gaps_in_their_order() {
    let config = Config { queue_bytes_max: 64 * 1024 * 1024, ..patient() };
    let world = World::new(config, Script::plain()).await;
    let mut client = world.user("1").await;
    let producers: Vec<_> = (0..8)
        .map(|producer| {
            let hub = world.hub.clone();
            tokio::spawn(async move {
                for nth in 1..=1_250 {
                    let origin = Origin { producer: format!("p{producer}"), shard: Shard(0), revision: Revision(nth) };
                    let envelope = Envelope { target: Target::Everyone, push: notice(&format!("{producer} {nth}")) };
                    let batch = Batch { origin: Some(origin), envelopes: vec![envelope], controls: Vec::new(), trace: None };
                    assert_eq!(hub.deliver(batch.clone()).await.unwrap().queued, 1);
                    assert!(hub.deliver(batch).await.unwrap().repeated);
                }
            })
        })
        .collect();
    let mut last: HashMap<String, i64> = HashMap::new();
    for _ in 0..10_000 {
        let text = client.notice().await;
        let (producer, nth) = text.split_once(' ').unwrap();
        let before = last.insert(producer.to_owned(), nth.parse().unwrap()).unwrap_or_default();
        assert_eq!(nth.parse::<i64>().unwrap(), before + 1);
    }
    for producer in producers {
        producer.await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_abrupt_ends_leave_nothing() {
    let world = World::plain().await;
    for round in 0..10 {
        let mut clients = Vec::new();
        for nth in 1..=100 {
            let mut client = world.user(&(round * 100 + nth).to_string()).await;
            // Some end in the middle of a frame, some with a command or a push on its way.
            match nth % 4 {
                0 => client.send(&[0, 0, 0]).await,
                1 => drop(client.ask(sync()).await),
                _ => {}
            }
            clients.push(client);
        }
        world.notify("on its way").await;
        for client in &clients {
            // No goodbye: a reset.
            client.stream.set_zero_linger().unwrap();
        }
    }
    world.is_empty_again().await;
}
