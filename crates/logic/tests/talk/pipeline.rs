//! The log between relay and job, as in `pipeline` mode: lanes, tries, what is set aside, what is reported.

use crate::comets::seqs;
use crate::world::{Setting, World};
use async_trait::async_trait;
use skein_domain::Result;
use skein_domain::id::Seq;
use skein_domain::port::{Consumed, LogBus, LogRecord, LogSource};
use skein_logic::Pipeline;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::sync::watch;

/// One partition, in memory.
#[derive(Default)]
pub struct MemoryLog {
    state: Mutex<State>,
    published: watch::Sender<usize>,
    finished: watch::Sender<i64>,
    aside: watch::Sender<Vec<(i64, String)>>,
}

#[derive(Default)]
struct State {
    records: Vec<Vec<u8>>,
    taken: usize,
}

impl MemoryLog {
    pub fn pipeline(self: &Arc<Self>) -> Pipeline {
        Pipeline { bus: self.clone(), source: self.clone() }
    }

    fn append(&self, bytes: Vec<u8>) {
        self.state.lock().unwrap().records.push(bytes);
        self.published.send_modify(|count| *count += 1);
    }

    async fn finished_at(&self, next: i64) {
        let mut finished = self.finished.subscribe();
        let waiting = finished.wait_for(|at| *at >= next);
        tokio::time::timeout(Duration::from_secs(60), waiting).await.expect("in time").expect("log");
    }
}

#[async_trait]
impl LogBus for MemoryLog {
    async fn publish(&self, records: Vec<LogRecord>) -> Result<()> {
        records.iter().for_each(|record| self.append(serde_json::to_vec(record).unwrap()));
        Ok(())
    }
}

#[async_trait]
impl LogSource for MemoryLog {
    async fn next(&self, limit: usize) -> Result<Vec<Consumed>> {
        let mut published = self.published.subscribe();
        let taken = self.state.lock().unwrap().taken;
        drop(published.wait_for(|count| *count > taken).await);
        let mut state = self.state.lock().unwrap();
        let end = state.records.len().min(taken + limit);
        state.taken = end;
        let consumed = |offset: usize| {
            let bytes = state.records[offset].clone();
            let record = serde_json::from_slice(&bytes).ok();
            Consumed { partition: 0, offset: offset as i64, bytes, record }
        };
        Ok((taken..end).map(consumed).collect())
    }

    async fn hold(&self) -> Result<()> {
        std::future::pending().await
    }

    async fn finished(&self, _: i32, next: i64) -> Result<()> {
        self.finished.send_modify(|at| *at = (*at).max(next));
        Ok(())
    }

    async fn set_aside(&self, record: &Consumed, reason: &str) -> Result<()> {
        self.aside.send_modify(|aside| aside.push((record.offset, reason.to_owned())));
        Ok(())
    }
}

#[tokio::test]
async fn through_the_log_everybody_gets_everything_in_order_and_it_is_reported() {
    let log = Arc::new(MemoryLog::default());
    let mut world = World::with(Setting { pipeline: Some(log.pipeline()), ..Setting::default() }).await;
    let [ann, bob] = world.friends().await;
    let comet = world.comet("one");
    let bob_1 = world.device(bob, "one", 2).await;
    world.run();
    let (one, two) = (world.group(ann, &[bob]).await, world.group(ann, &[bob]).await);
    for n in 0..40 {
        world.send(ann, if n % 2 == 0 { one } else { two }, &n.to_string()).await.unwrap();
    }
    let all: Vec<_> = (1..=21).map(Seq).collect();
    comet.until(|told| seqs(told, bob_1, one) == all && seqs(told, bob_1, two) == all).await;
    let count = log.state.lock().unwrap().records.len() as i64;
    log.finished_at(count).await;
}

#[tokio::test]
async fn what_cannot_be_read_is_set_aside_and_holds_up_nobody() {
    let log = Arc::new(MemoryLog::default());
    log.append(b"{}".to_vec());
    let mut world = World::with(Setting { pipeline: Some(log.pipeline()), ..Setting::default() }).await;
    let [ann, bob] = world.friends().await;
    let comet = world.comet("one");
    let bob_1 = world.device(bob, "one", 2).await;
    world.run();
    let group = world.group(ann, &[bob]).await;
    comet.until(|told| seqs(told, bob_1, group) == [Seq(1)]).await;
    log.finished_at(1).await;
    let aside = log.aside.borrow().clone();
    assert_eq!(aside.len(), 1);
    assert!(aside[0].0 == 0 && aside[0].1.contains("not a record"), "{aside:?}");
}
