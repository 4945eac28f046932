//! What shows in the long run, or in a crowd. `cargo xtask test` runs the short forms; `cargo xtask soak` sets
//! [`SOAK`] and runs them in full.

use crate::line::Line;
use crate::process::resident_kib;
use crate::town::{metric, until};
use skein_domain::account::DeviceClass;
use skein_domain::id::Uid;
use skein_protocol::{Reply, Request, v1};
use skein_testkit::device::timeline::text_body;
use skein_testkit::live_crowd;
use skein_testkit::seed::Seed;
use skein_testkit::server::{Options, ServerProcess};
use skein_testkit::wire::Transport::{Tcp, WebSocket, WebSocketText};
use std::path::Path;
use std::time::Duration;
use tokio::task::JoinSet;

const SOAK: &str = "SKEIN_SOAK";

pub fn scaled<T>(short: T, full: T) -> T {
    if std::env::var_os(SOAK).is_some() { full } else { short }
}

/// People and their tokens. The first two are friends.
async fn crowd(data: &Path, count: usize) -> (Seed, Vec<Uid>, Vec<String>) {
    let seed = Seed::open(data).unwrap();
    let (mut uids, mut tokens) = (Vec::new(), Vec::new());
    for n in 0..count {
        let uid = seed.user(&format!("person{n}")).await.unwrap();
        tokens.push(seed.session(uid, DeviceClass::Desktop).await.unwrap());
        uids.push(uid);
    }
    seed.befriend(uids[0], uids[1]).await.unwrap();
    (seed, uids, tokens)
}

async fn enter(server: &ServerProcess, tokens: &[String]) -> Vec<Line> {
    let at = server.endpoints().unwrap();
    let mut lines = Vec::new();
    for (n, token) in tokens.iter().enumerate() {
        lines.push(Line::open(at, [Tcp, WebSocket, WebSocketText][n % 3], token).await);
    }
    lines
}

/// What a test says in a minute, a person says in a day.
fn talkative(options: Options) -> Options {
    options.set("logic.sends.burst", 1_000_000).set("comet.commands_per_second", 100_000).set("comet.commands_burst", 100_000)
}

#[tokio::test]
async fn everybody_in_a_large_group_hears_everything_in_order() {
    let (members, messages) = scaled((40, 10), (500, 200));
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let (seed, uids, tokens) = crowd(&data, members).await;
    let group = seed.group("everybody", uids[0], &uids[1..]).await.unwrap().0;
    seed.close();
    let server = ServerProcess::start(talkative(Options::on(&data))).await.unwrap();
    let mut lines = enter(&server, &tokens).await;

    // Each time somebody else speaks.
    let mut said = Vec::new();
    for n in 0..messages {
        let text = format!("message {n}");
        said.push((lines[n * 7 % members].send(group, &text).await, text));
    }
    assert!(said.windows(2).all(|pair| pair[0].0 + 1 == pair[1].0), "dense: {said:?}");
    for (n, line) in lines.iter_mut().enumerate() {
        assert_eq!(line.messages(group, messages).await, said, "person {n}");
        let (_, synced) = line.sync("", group).await;
        assert!(said.ends_with(&synced) && !synced.is_empty(), "person {n} reads the same again");
    }
}

#[tokio::test]
async fn connections_that_live_long_stay_whole_and_cost_no_more() {
    // Short: five times the silence that would end a connection. In full a quarter of an hour.
    let (count, every, beats) = scaled((20, Duration::from_millis(200), 50), (300, Duration::from_secs(1), 900));
    let timeout_ms = every.as_millis() * 10;
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let (seed, uids, tokens) = crowd(&data, count).await;
    let chat = seed.direct(uids[0], uids[1]).await.unwrap().0;
    seed.close();
    let options = talkative(Options::on(&data)).set("comet.heartbeat_timeout_ms", timeout_ms);
    let options = options.set("comet.heartbeat_interval_ms", timeout_ms / 3).set("comet.ping_after_ms", timeout_ms / 3);
    let server = ServerProcess::start(options).await.unwrap();
    let lines = enter(&server, &tokens).await;
    let before_kib = resident_kib(server.pid());

    let mut living = JoinSet::new();
    for (n, mut line) in lines.into_iter().enumerate() {
        living.spawn(async move {
            for beat in 0..beats {
                line.heartbeat().await;
                if n == 0 {
                    line.send(chat, &format!("{beat}")).await;
                }
                tokio::time::sleep(every).await;
            }
            (n, line)
        });
    }
    let mut lines = living.join_all().await;
    lines.sort_by_key(|(n, _)| *n);
    assert_eq!(metric(&server, "skein_comet_connections").await, count as f64, "nobody was lost");
    let heard: Vec<String> = lines[1].1.messages(chat, beats).await.into_iter().map(|(_, text)| text).collect();
    assert_eq!(heard, (0..beats).map(|beat| beat.to_string()).collect::<Vec<_>>());
    let grown_kib = resident_kib(server.pid()).saturating_sub(before_kib);
    assert!(grown_kib < 16 * 1024, "{grown_kib} KiB more than at the beginning");
    drop(lines);
    until("nobody is connected", async || metric(&server, "skein_comet_connections").await == 0.0).await;
}

/// Some leave in the middle of a frame, nobody says goodbye. Short: some rounds. In full ten minutes of them.
#[tokio::test]
async fn abrupt_ends_again_and_again_leave_nothing() {
    let (people, rounds, time) = scaled((20, 5, Duration::ZERO), (100, 5, Duration::from_secs(600)));
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let (seed, _, tokens) = crowd(&data, people).await;
    seed.close();
    let server = ServerProcess::start(talkative(Options::on(&data))).await.unwrap();
    let (started, mut round, mut first_kib) = (std::time::Instant::now(), 0, 0);
    while round < rounds || started.elapsed() < time {
        let mut lines = enter(&server, &tokens).await;
        assert_eq!(metric(&server, "skein_comet_connections").await, people as f64);
        for line in lines.iter_mut().step_by(4) {
            line.mouth.write(&[0, 0, 0]).await.unwrap();
        }
        drop(lines);
        until("nobody is connected", async || metric(&server, "skein_comet_connections").await == 0.0).await;
        round += 1;
        if round == rounds {
            first_kib = resident_kib(server.pid());
        }
    }
    let grown_kib = resident_kib(server.pid()).saturating_sub(first_kib);
    assert!(grown_kib < 16 * 1024, "{grown_kib} KiB more after {} ends than after {}", round * people, rounds * people);
}

/// Bob comes and goes while Ann speaks; he keeps his cursor, and ends with everything once.
#[tokio::test]
async fn all_messages_wait_for_whoever_comes_and_goes() {
    const AT_ONCE: usize = 50;
    let (messages, visits) = scaled((300, 3), (100_000, 20));
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let (seed, uids, tokens) = crowd(&data, 2).await;
    let chat = seed.direct(uids[0], uids[1]).await.unwrap().0;
    seed.close();
    let server = ServerProcess::start(talkative(Options::on(&data))).await.unwrap();
    let mut ann = enter(&server, &tokens[..1]).await.remove(0);
    let (mut cursor, mut kept) = (String::new(), Vec::new());
    // The first alone: Bob knows where he was from then on.
    let ends = (0..=visits).map(|visit| 1 + (messages - 1) * visit / visits);
    let mut said = 0;
    for end in ends {
        for some in (said..end).collect::<Vec<_>>().chunks(AT_ONCE) {
            pipelined(&mut ann, chat, some).await;
        }
        said = end;
        let mut bob = enter(&server, &tokens[1..]).await.remove(0);
        let (next, mut missed) = bob.sync(&cursor, chat).await;
        // Of a long absence sync brings the end; what lies before it is history.
        let last_kept = kept.last().map_or(0, |(seq, _): &(i64, String)| *seq);
        if missed.first().is_some_and(|(first, _)| *first > last_kept + 1) {
            missed = bob.history_after(chat, last_kept).await;
        }
        kept.extend(missed);
        cursor = next;
    }
    assert_eq!(kept.len(), messages);
    assert!(kept.iter().enumerate().all(|(n, (seq, text))| *seq == n as i64 + 1 && *text == format!("{n}")), "in order, once each");
}

async fn pipelined(ann: &mut Line, chat: i64, numbers: &[usize]) {
    let mut asked = Vec::new();
    for n in numbers {
        let send = v1::Send { conversation: chat, key: format!("k{n}"), body: Some(text_body(&n.to_string())), ..v1::Send::default() };
        asked.push(ann.mouth.ask(&Request::Send(send)).await.unwrap());
    }
    let replies = ann.replies(&asked).await;
    assert!(replies.iter().all(|reply| matches!(reply, Reply::Ack(_))), "{replies:?}");
}

/// The full form, with 5,000 guests and an optimised server, is `cargo xtask bench push`.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_live_room_full_of_guests_hears_everything_once_in_order() {
    let (receivers, per_second, messages) = scaled((200, 100, 200), (1_000, 40, 2_400));
    let folder = tempfile::tempdir().unwrap();
    let server = ServerProcess::start(Options::on(&folder.path().join("data")).with_goim()).await.unwrap();
    let (clients, http) = (server.endpoints().unwrap().tcp, server.goim_http().unwrap());
    let heard = live_crowd::run(clients, http, live_crowd::Plan { receivers, per_second, messages }).await.unwrap();
    assert_eq!((heard.lost, heard.doubled_or_late), (0, 0));
    assert_eq!(heard.heard, receivers as u64 * u64::from(messages));
    let mut last = heard.last_receiver;
    last.sort_unstable();
    eprintln!(
        "{receivers} receivers, {per_second}/s: last receiver {:?} (median), {:?} (slowest)",
        last[last.len() / 2],
        last[last.len() - 1]
    );
}
