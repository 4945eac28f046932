//! How often one can speak although the server is killed again and again: the SDK's clients send all the time, and the share
//! of messages that are on disk within [`IN_TIME`] is the figure. How many are said meanwhile depends on the machine: what the short
//! form demands is that after each restart everybody is heard in time again, [`HEARD`] times.

use crate::long::scaled;
use crate::roles::free_ports;
use crate::town::{Draft, Town};
use skein_sdk::Client;
use std::time::{Duration, Instant};
use tokio::sync::watch;
use tokio::task::JoinSet;

/// Who waits longer for "sent" could not send.
const IN_TIME: Duration = Duration::from_secs(1);
const HEARD: u64 = 20;
const EVERY: Duration = Duration::from_millis(50);
const PATIENCE: Duration = Duration::from_secs(60);

/// Of each message of one client: its number, and how long it took until it was acknowledged.
type Said = Vec<(i64, Duration)>;

/// The same ports after each restart, so that clients find it again by themselves.
fn on_its_ports(draft: Draft) -> Draft {
    let ports = free_ports(2);
    let draft = draft.set("listen.public", format!("127.0.0.1:{}", ports[0])).set("listen.tcp", format!("127.0.0.1:{}", ports[1]));
    draft.without_rates().set("logic.sends.burst", 1_000_000)
}

async fn enter(town: &Town, name: &str) -> Client {
    let server = format!("http://{}", town.server.endpoints().unwrap().public);
    let client = Client::builder().server(server).build().await.unwrap();
    client.log_in(&format!("{name}@example.org"), &town.password(name).await).await.unwrap();
    client.synced().await.unwrap();
    client
}

/// Sends until it is told to end, and waits for the last. Counts what was acknowledged in time.
async fn speak(client: Client, chat: i64, in_time: watch::Sender<u64>, mut ends: watch::Receiver<bool>) -> Said {
    let (mut under_way, mut tick) = (JoinSet::new(), tokio::time::interval(EVERY));
    while !*ends.borrow_and_update() {
        tick.tick().await;
        let (began, sent) = (Instant::now(), client.send_text(chat, "still there?").await.unwrap());
        let in_time = in_time.clone();
        under_way.spawn(async move {
            let (seq, wait) = (sent.acked().await.unwrap().seq, began.elapsed());
            in_time.send_modify(|count| *count += u64::from(wait <= IN_TIME));
            (seq, wait)
        });
    }
    tokio::time::timeout(PATIENCE, under_way.join_all()).await.expect("what was sent is acknowledged")
}

/// Each of them is heard in time, some more times.
async fn all_are_heard(in_time: &[watch::Sender<u64>]) {
    for count in in_time {
        let (mut seen, enough) = (count.subscribe(), *count.borrow() + HEARD);
        let heard = tokio::time::timeout(PATIENCE, seen.wait_for(|count| *count >= enough)).await;
        heard.expect("after a restart one is heard in time again").unwrap();
    }
}

/// Everything both said is in their chat, once.
fn assert_whole(one: &Said, other: &Said) {
    let mut seqs: Vec<i64> = one.iter().chain(other).map(|(seq, _)| *seq).collect();
    seqs.sort_unstable();
    assert_eq!(seqs, (1..=seqs.len() as i64).collect::<Vec<_>>());
}

/// Kills and orderly restarts by turns. Short: two, as soon as everybody was heard. In full one every 20 s for ten minutes, and nine
/// of ten messages in time.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn messages_can_be_sent_although_the_server_is_killed_again_and_again() {
    let (pairs, faults, pause, at_least) = scaled((1, 2, Duration::ZERO, None), (5, 30, Duration::from_secs(20), Some(0.9)));
    let names: Vec<String> = (0..pairs * 2).map(|n| format!("person{n}")).collect();
    let mut town = on_its_ports(Town::of(&names.iter().map(String::as_str).collect::<Vec<_>>())).start().await;
    let mut clients = Vec::new();
    for name in &names {
        clients.push(enter(&town, name).await);
    }
    let (end, ends) = watch::channel(false);
    let in_time: Vec<_> = names.iter().map(|_| watch::Sender::new(0)).collect();
    let mut speaking = Vec::new();
    for (n, client) in clients.into_iter().enumerate() {
        let chat = client.open_direct(town.uid(&names[n ^ 1])).await.unwrap().id;
        speaking.push(tokio::spawn(speak(client, chat, in_time[n].clone(), ends.clone())));
    }
    let began = Instant::now();
    for fault in 0..faults {
        all_are_heard(&in_time).await;
        tokio::time::sleep(pause).await;
        if fault % 2 == 1 {
            assert!(town.server.terminate().await.unwrap().success());
            town.start_again().await;
        } else {
            town.crash().await;
        }
    }
    all_are_heard(&in_time).await;
    tokio::time::sleep(pause).await;
    let (lasted, _) = (began.elapsed(), end.send_replace(true));
    let mut said = Vec::new();
    for speaking in speaking {
        said.push(speaking.await.unwrap());
    }

    said.chunks(2).for_each(|pair| assert_whole(&pair[0], &pair[1]));
    let waits: Vec<Duration> = said.into_iter().flatten().map(|(_, wait)| wait).collect();
    let share = waits.iter().filter(|wait| **wait <= IN_TIME).count() as f64 / waits.len() as f64;
    let (sent, percent, worst) = (waits.len(), share * 100.0, waits.iter().max().unwrap());
    eprintln!(
        "{faults} restarts in {lasted:.0?}: of {sent} messages {percent:.2} % stored within {IN_TIME:?}, the slowest after {worst:.1?}"
    );
    assert!(at_least.is_none_or(|at_least| share >= at_least), "{share}");
}
