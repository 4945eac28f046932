//! Where the log between the stages is full or takes nothing: who waits, and who is told.

use crate::comets::Mood;
use crate::push_world::{guest, key, keyed, live, push, settled, to_room};
use crate::world::{Setting, World, seq};
use async_trait::async_trait;
use futures_util::FutureExt;
use skein_domain::delivery::Target;
use skein_domain::id::Revision;
use skein_domain::live::LiveRecord;
use skein_domain::port::{Consumed, LiveLog, LiveSource, LogBus, LogRecord, LogSource, MessageStore};
use skein_domain::{Code, Error, Result};
use skein_logic::push::Goim;
use skein_logic::{LivePipeline, Pipeline};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{Mutex, mpsc, watch};

const PATIENCE: Duration = Duration::from_secs(20);

/// Takes nothing until told to.
#[derive(Default)]
struct Shut {
    is_open: watch::Sender<bool>,
}

#[async_trait]
impl LogBus for Shut {
    async fn publish(&self, _: Vec<LogRecord>) -> Result<()> {
        if *self.is_open.borrow() { Ok(()) } else { Err(Error::new(Code::Unavailable, "away")) }
    }
}

#[async_trait]
impl LogSource for Shut {
    async fn next(&self, _: usize) -> Result<Vec<Consumed>> {
        std::future::pending().await
    }

    async fn hold(&self) -> Result<()> {
        std::future::pending().await
    }

    async fn finished(&self, _: i32, _: i64) -> Result<()> {
        Ok(())
    }

    async fn set_aside(&self, _: &Consumed, _: &str) -> Result<()> {
        Ok(())
    }
}

#[tokio::test]
async fn beyond_the_bound_sends_are_busy_until_the_log_takes_them_and_what_was_stored_is_acked_again() {
    const BOUND: u32 = 20;
    let log = Arc::new(Shut::default());
    let pipeline = Pipeline { bus: log.clone(), source: log.clone() };
    let mut world = World::with(Setting { pipeline: Some(pipeline), unpublished_max: Some(BOUND), ..Setting::default() }).await;
    let [ann, bob] = world.friends().await;
    let group = world.group(ann, &[bob]).await;
    world.run();
    let first = world.key();
    let stored = seq(world.call(ann, world.send_with(group, first.clone(), "first")).await).unwrap();
    let sending = async {
        loop {
            if let Err(error) = world.send(ann, group, "more").await {
                return error;
            }
        }
    };
    let refused = tokio::time::timeout(PATIENCE, sending).await.expect("refused at some time");
    assert_eq!(refused.code, Code::Busy);
    assert!(refused.retry_after_ms.is_some_and(|ms| ms > 0), "{refused:?}");
    let stored_so_far = world.store.revisions().await.unwrap()[0];
    assert!(stored_so_far > Revision(BOUND.into()), "refused at {stored_so_far:?}");
    assert_eq!(seq(world.call(ann, world.send_with(group, first, "first")).await), Ok(stored), "it is stored: acked again");

    log.is_open.send_replace(true);
    let flows = async {
        while world.send(ann, group, "again").await.is_err() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(PATIENCE, flows).await.expect("it goes on");
}

/// A log of pushes in memory.
struct Pushed {
    sender: mpsc::Sender<LiveRecord>,
    receiver: Mutex<mpsc::Receiver<LiveRecord>>,
}

impl Pushed {
    fn pipeline() -> LivePipeline {
        let (sender, receiver) = mpsc::channel(1_000);
        let log = Arc::new(Self { sender, receiver: Mutex::new(receiver) });
        LivePipeline { log: log.clone(), source: log }
    }
}

#[async_trait]
impl LiveLog for Pushed {
    async fn publish(&self, records: Vec<LiveRecord>) -> Result<()> {
        for record in records {
            self.sender.send(record).await.unwrap();
        }
        Ok(())
    }
}

#[async_trait]
impl LiveSource for Pushed {
    async fn next(&self, limit: usize) -> Result<Vec<LiveRecord>> {
        let mut records = Vec::new();
        self.receiver.lock().await.recv_many(&mut records, limit).await;
        Ok(records)
    }
}

#[tokio::test]
async fn pushes_go_through_the_log_in_order_and_are_receipted() {
    let goim = Goim { trust: true, ..Goim::default() };
    let mut world = World::with(Setting { live_log: Some(Pushed::pipeline()), goim, ..Setting::default() }).await;
    let comet = world.comet("one");
    comet.set_receivers(2);
    world.run();
    guest(&world, "one", 1, r#"{"mid":1,"key":"ann","room_id":"live://1"}"#).await;
    let (app, _) = key(&world, "app").await;
    let mut last = String::new();
    for nth in 0..200 {
        last = push(&world, &app, to_room("live://1", &nth.to_string())).await.unwrap().0;
    }
    let receipt = settled(&world, &app, &last).await;
    assert_eq!((receipt.found, receipt.dropped), (2, 0));
    let heard: Vec<String> = live(comet.pushes()).into_iter().flat_map(|(_, texts)| texts).collect();
    assert_eq!(heard, (0..200).map(|nth| nth.to_string()).collect::<Vec<_>>());
}

#[tokio::test]
async fn what_finds_no_room_is_dropped_after_a_while_and_others_go_on() {
    /// Of one lane.
    const LANE: usize = 2_000;
    let mut world = World::with(Setting { live_log: Some(Pushed::pipeline()), ..Setting::default() }).await;
    let comet = world.comet("one");
    comet.set_receivers(1);
    comet.set(Mood::Held);
    world.run();
    let (app, _) = key(&world, "app").await;
    push(&world, &app, to_room("live://held", "first")).await.unwrap();
    comet.until_called(1).await;
    let mut last = String::new();
    for nth in 0..LANE + 20 {
        last = push(&world, &app, to_room("live://held", &nth.to_string())).await.unwrap().0;
    }
    let (elsewhere, _, _) = push(&world, &app, to_room("live://other", "other")).await.unwrap();
    let receipt = settled(&world, &app, &last).await;
    assert_eq!((receipt.found, receipt.dropped), (1, 1), "told in its receipt");
    comet.set(Mood::Up);
    assert_eq!(settled(&world, &app, &elsewhere).await.dropped, 0);
    let is_other = |target: &Target| matches!(target, Target::LiveRoom(room) if room.as_str() == "live://other");
    assert!(live(comet.pushes()).iter().any(|(target, _)| is_other(target)));
}

/// Takes nothing and answers nothing until told whether it did.
#[derive(Default)]
struct Slow {
    asked: watch::Sender<usize>,
    outcomes: watch::Sender<Option<bool>>,
}

#[async_trait]
impl LiveLog for Slow {
    async fn publish(&self, _: Vec<LiveRecord>) -> Result<()> {
        self.asked.send_modify(|asked| *asked += 1);
        let took = self.outcomes.subscribe().wait_for(Option::is_some).await.unwrap().unwrap_or_default();
        if took { Ok(()) } else { Err(Error::new(Code::Unavailable, "away")) }
    }
}

#[async_trait]
impl LiveSource for Slow {
    async fn next(&self, _: usize) -> Result<Vec<LiveRecord>> {
        std::future::pending().await
    }
}

#[tokio::test]
async fn a_push_whose_caller_has_gone_is_accepted_again_only_if_it_was_handed_on() {
    let log = Arc::new(Slow::default());
    let live_log = LivePipeline { log: log.clone(), source: log.clone() };
    let world = World::with(Setting { live_log: Some(live_log), ..Setting::default() }).await;
    let (app, _) = key(&world, "app").await;
    let hello = || keyed("k", to_room("live://1", "hello"));
    let until_asked = async |times: usize| {
        let mut asked = log.asked.subscribe();
        tokio::time::timeout(PATIENCE, asked.wait_for(|asked| *asked >= times)).await.expect("it is handed on").unwrap();
    };
    tokio::select! {
        outcome = push(&world, &app, hello()) => panic!("nobody took it: {outcome:?}"),
        () = until_asked(1) => {} // and its caller goes
    }
    let mut again = Box::pin(push(&world, &app, hello()));
    assert!((&mut again).now_or_never().is_none(), "the first has no outcome yet");
    log.outcomes.send_replace(Some(false));
    tokio::select! {
        biased;
        () = until_asked(2) => {}
        outcome = &mut again => panic!("answered without being handed on: {outcome:?}"),
    }
    assert_eq!(again.await.unwrap_err().code, Code::Unavailable, "nor this time");
    log.outcomes.send_replace(Some(true));
    assert!(!push(&world, &app, hello()).await.unwrap().2, "its key is free");
    assert!(push(&world, &app, hello()).await.unwrap().2);
    assert_eq!(*log.asked.borrow(), 3);
}
