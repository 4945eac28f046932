//! Threads, heartbeats, kicks, and what is left when somebody leaves.

use crate::accounts::log_in;
use crate::line::{Line, refused};
use crate::town::{Draft, Town, metric, until};
use serde_json::json;
use skein_domain::account::DeviceClass;
use skein_protocol::close::CloseCode;
use skein_protocol::{Request, v1};
use skein_server::admin::Verb;
use skein_testkit::seed::Seed;
use skein_testkit::server::ServerProcess;
use skein_testkit::wire::Transport::{Tcp, WebSocket, WebSocketText};
use skein_testkit::wire::{self, Buffers, Heard};
use std::sync::Arc;
use std::time::Duration;
use tokio::task::JoinSet;

fn threads(server: &ServerProcess) -> usize {
    std::fs::read_dir(format!("/proc/{}/task", server.pid())).unwrap().count()
}

fn resident_bytes(server: &ServerProcess) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", server.pid())).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches("kB").trim().parse::<u64>().unwrap() * 1024
}

/// 250 people with a device of each class. They write to the folder before the server does.
async fn crowd(data: &std::path::Path) -> Vec<String> {
    const CLASSES: [DeviceClass; 4] = [DeviceClass::Desktop, DeviceClass::Web, DeviceClass::Mobile, DeviceClass::Cli];
    let seed = Arc::new(Seed::open(data).unwrap());
    let mut people = JoinSet::new();
    for n in 0..250 {
        let seed = seed.clone();
        people.spawn(async move {
            let uid = seed.user(&format!("person{n}")).await.unwrap();
            let mut tokens = Vec::new();
            for class in CLASSES {
                tokens.push(seed.session(uid, class).await.unwrap());
            }
            tokens
        });
    }
    let tokens = people.join_all().await.concat();
    Arc::into_inner(seed).expect("everybody is done").close();
    tokens
}

#[tokio::test]
async fn a_thousand_connections_cost_memory_and_no_threads() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let tokens = crowd(&data).await;
    let server = ServerProcess::start(skein_testkit::server::Options::on(&data)).await.unwrap();
    let at = server.endpoints().unwrap();
    let mut lines = Vec::new();
    let mut open = async |tokens: &[String]| {
        for (n, token) in tokens.iter().enumerate() {
            lines.push(Line::open(at, [Tcp, WebSocket, WebSocketText][n % 3], token).await);
        }
    };
    open(&tokens[..20]).await;
    let (few_threads, few_bytes) = (threads(&server), resident_bytes(&server));
    open(&tokens[20..]).await;
    let (many_threads, many_bytes) = (threads(&server), resident_bytes(&server));

    let connections = metric(&server, "skein_comet_connections").await;
    assert_eq!(connections, 1_000.0);
    // A worker a core, a bounded pool for blocking work that grows with the reads of log-ins, and the store's writer.
    let cores = std::thread::available_parallelism().unwrap().get();
    assert!(many_threads <= cores + 64 + 4, "{few_threads} threads for 20 connections, {many_threads} for 1000");
    let each = many_bytes.saturating_sub(few_bytes) / 980;
    assert!(each < 48 * 1024, "{each} bytes for each idle connection");
    for line in lines.iter_mut().step_by(100) {
        line.heartbeat().await;
    }
    drop(lines);
    until("nobody is connected", async || metric(&server, "skein_comet_connections").await == 0.0).await;
    assert_eq!(metric(&server, "skein_registry_sessions").await, 0.0);
}

#[tokio::test]
async fn one_worker_thread_serves_everything() {
    let town = Town::of(&["ann", "bob"]).environment("TOKIO_WORKER_THREADS", "1").start().await;
    let (mut ann, mut bob) = (town.line("ann").await, town.line_over(WebSocketText, "bob").await);
    let chat = ann.direct_with(town.uid("bob")).await;
    ann.send(chat, "from tcp").await;
    bob.send(chat, "from websocket").await;
    for line in [&mut ann, &mut bob] {
        let texts: Vec<String> = line.messages(chat, 2).await.into_iter().map(|(_, text)| text).collect();
        assert_eq!(texts, ["from tcp", "from websocket"]);
    }
    let password = town.password("ann").await;
    log_in(&town.api(), "ann@example.org", &password, "mobile").await.ok();
    assert_eq!(town.api_of("bob").get("/api/v1/friends").await.ok()["friends"][0]["nickname"], "ann");
}

/// Limits as people know them, a hundred times faster.
fn impatient(draft: Draft) -> Draft {
    draft.set("comet.heartbeat_interval_ms", 300).set("comet.ping_after_ms", 300).set("comet.heartbeat_timeout_ms", 900)
}

#[tokio::test]
async fn whoever_is_silent_is_closed_and_whoever_beats_stays() {
    let town = impatient(Town::of(&["ann", "bob", "cat"])).start().await;
    let mut ann = town.line("ann").await;
    assert_eq!(ann.hello.limits.as_ref().unwrap().heartbeat_interval_ms, 300);
    // Bob says nothing over TCP; Cat does not even answer pings.
    let mut bob = town.line("bob").await;
    let (_cat, mut ears, _) = wire::log_in(town.server.endpoints().unwrap(), WebSocket, Buffers::Usual, town.token("cat")).await.unwrap();
    let both = async {
        let mut pings = 0;
        loop {
            match ears.hear().await.unwrap() {
                Heard::Ping(_) => pings += 1,
                Heard::Closed(code) => break (bob.closed().await, code, pings),
                _ => {}
            }
        }
    };
    let beating = async {
        loop {
            ann.heartbeat().await;
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    };
    let (bob, cat, pings) = tokio::select! { ended = both => ended, () = beating => unreachable!() };
    assert_eq!((bob, cat), (Some(CloseCode::HeartbeatTimeout), Some(CloseCode::HeartbeatTimeout)));
    assert!(pings > 0, "a silent websocket is pinged first");
    ann.heartbeat().await;
    until("only one is online", async || town.metric("skein_registry_sessions").await == 1.0).await;
}

/// Nothing is closed and nothing is reset: the packets of these two are dropped from one moment to the next.
#[tokio::test]
async fn whoever_is_behind_a_firewall_that_drops_packets_is_cleared() {
    let town = impatient(Town::of(&["ann", "bob", "cat"])).start().await;
    let mut ann = town.line("ann").await;
    let chat = ann.direct_with(town.uid("bob")).await;
    let mut lost = [town.line("bob").await, town.line_over(WebSocket, "cat").await];
    for gone in &lost {
        gone.mouth.drop_packets().unwrap();
    }
    ann.send(chat, "are you there?").await;
    assert_eq!(town.metric("skein_comet_connections").await, 3.0, "it is not noticed by a write");
    let beating = async {
        loop {
            ann.heartbeat().await;
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    };
    let cleared = async {
        until("both are closed", async || town.metric("skein_comet_connections").await == 1.0).await;
        until("both are off line", async || town.metric("skein_registry_sessions").await == 1.0).await;
        for gone in ["bob", "cat"] {
            let left = town.admin(Verb::Connections { user: town.uid(gone).to_string() }).await;
            assert_eq!(left, json!([]), "{gone}");
        }
    };
    tokio::select! { () = cleared => {}, () = beating => unreachable!() }
    for gone in &mut lost {
        let heard = tokio::time::timeout(Duration::from_millis(100), gone.closed()).await;
        assert!(heard.is_err(), "not even the end got through: {heard:?}");
    }
    let (_, missed) = town.line("bob").await.sync("", chat).await;
    assert_eq!(missed.last().map(|(_, text)| text.as_str()), Some("are you there?"));
}

#[tokio::test]
async fn a_second_log_in_of_the_class_ends_the_first_with_its_reason() {
    let town = Town::of(&["ann"]).without_rates().start().await;
    let password = town.password("ann").await;
    let at = town.server.endpoints().unwrap();
    let token = async |class: &str| {
        let logged_in = log_in(&town.api(), "ann@example.org", &password, class).await.ok();
        logged_in["token"].as_str().unwrap().to_owned()
    };
    let mut mobile = Line::open(at, Tcp, &token("mobile").await).await;
    for transport in [Tcp, WebSocket, WebSocketText] {
        let mut older = Line::open(at, transport, &token("desktop").await).await;
        let newer = token("desktop").await;
        assert_eq!(older.closed().await, Some(CloseCode::LoggedInElsewhere), "{transport:?}");
        let devices = town.api().bearer(&newer).get("/api/v1/devices").await.ok();
        let classes: Vec<&str> = devices["devices"].as_array().unwrap().iter().filter_map(|d| d["device_class"].as_str()).collect();
        assert_eq!(classes.iter().filter(|class| **class == "desktop").count(), 1, "{classes:?}");
    }
    mobile.heartbeat().await;
}

#[tokio::test]
async fn a_token_opens_its_own_session_while_it_is_valid() {
    let town = Town::of(&["ann", "bob"]).start().await;
    let at = town.server.endpoints().unwrap();
    let wrong = format!("{}A", &town.token("ann")[..42]);
    for token in ["", "x", wrong.as_str()] {
        assert!(Line::try_open(at, Tcp, token).await.is_err(), "{token}");
    }
    let mut ann = town.line("ann").await;
    assert_eq!(ann.hello.uid, town.uid("ann"));
    let twice = ann.ask(Request::Auth(v1::Auth { token: town.token("bob").into(), major: 1, ..v1::Auth::default() })).await;
    assert_eq!(refused(&twice), "bad_request", "a line stays with whom it belongs to");
    town.api_of("ann").post("/api/v1/logout/everywhere", json!({})).await.ok();
    assert_eq!(ann.closed().await, Some(CloseCode::LoggedOut));
    assert!(Line::try_open(at, Tcp, town.token("ann")).await.is_err(), "the token went with the session");
}

/// Whoever has not logged in can do nothing, and not for long.
#[tokio::test]
async fn before_log_in_nothing_is_done() {
    let town = Town::of(&["ann"]).set("comet.auth_timeout_ms", 500).start().await;
    for transport in [Tcp, WebSocket, WebSocketText] {
        let (mut mouth, mut ears) = wire::open(town.server.endpoints().unwrap(), transport, Buffers::Usual).await.unwrap();
        mouth.ask(&Request::OpenDirect(v1::OpenDirect { uid: town.uid("ann") })).await.unwrap();
        let mut said = Vec::new();
        let code = loop {
            match ears.hear().await.unwrap() {
                Heard::Closed(code) => break code,
                other => said.push(format!("{other:?}")),
            }
        };
        assert!(matches!(code, Some(CloseCode::AuthFailed | CloseCode::AuthTimeout)), "{transport:?} {code:?} {said:?}");
        assert!(!said.iter().any(|said| said.contains("ConversationReply")), "{said:?}");
    }
    until("nobody is left", async || town.metric("skein_comet_connections").await == 0.0).await;
}

/// Hub, registry and the node's count, before a log-in and after each way to leave.
#[tokio::test]
async fn every_way_to_leave_leaves_what_was_before() {
    let town = impatient(Town::of(&["ann", "bob"])).without_rates().start().await;
    let mut password = town.password("ann").await;
    let at = town.server.endpoints().unwrap();
    let snapshot = async || {
        let stats = town.admin(skein_server::admin::Verb::Stats).await;
        let hub = town.metric("skein_comet_connections").await;
        (hub, town.metric("skein_registry_sessions").await, stats["connections"].as_i64().unwrap())
    };
    let sign_in = async |password: &str| {
        let logged_in = log_in(&town.api(), "ann@example.org", password, "desktop").await.ok();
        logged_in["token"].as_str().unwrap().to_owned()
    };
    let before = snapshot().await;
    for way in ["log-out", "lost link", "silence", "kick", "operator's reset"] {
        let token = sign_in(&password).await;
        let mut line = Line::open(at, Tcp, &token).await;
        until("it counts while it is here", async || snapshot().await.0 == 1.0 && snapshot().await.1 == 1.0).await;
        match way {
            "log-out" => drop(town.api().bearer(&token).ask("POST", "/api/v1/logout", None).await.ok()),
            "kick" => drop(sign_in(&password).await),
            "operator's reset" => password = town.password("ann").await,
            _ => {}
        }
        match way {
            "lost link" => drop(line),
            "silence" => assert_eq!(line.closed().await, Some(CloseCode::HeartbeatTimeout)),
            _ => assert!(line.closed().await.is_some(), "{way}"),
        }
        until(&format!("nothing is left after a {way}"), async || snapshot().await == before).await;
    }
}

/// The numbers follow the crowd up and down.
#[tokio::test]
async fn the_count_of_connections_is_the_real_one() {
    let names: Vec<String> = (0..25).flat_map(|n| ["desktop", "web", "mobile", "cli"].map(|class| format!("p{n}/{class}"))).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let town = Town::strangers(&names).set("comet.renew_interval_ms", 200).start().await;
    let count = async || town.admin(skein_server::admin::Verb::Stats).await["connections"].as_i64().unwrap();
    let mut lines = Vec::new();
    for name in &names {
        lines.push(town.line(name).await);
    }
    until("all hundred are counted", async || count().await == 100).await;
    assert_eq!(town.metric("skein_comet_connections").await, 100.0);
    lines.truncate(30);
    until("thirty are left", async || count().await == 30 && town.metric("skein_comet_connections").await == 30.0).await;
    drop(lines);
    until("none is left", async || count().await == 0 && town.metric("skein_comet_connections").await == 0.0).await;
}

/// Hashing a password is the slowest thing there is. Whoever waits for one delays nobody else.
#[tokio::test]
async fn slow_business_delays_no_heartbeat() {
    const LOG_INS: usize = 6;
    let costly = Town::of(&["ann", "bob"]).set("logic.account.password_memory_kib", 32_768).set("logic.account.password_passes", 3);
    let town = costly.set("gate.request_timeout_ms", 60_000).without_rates().start().await;
    let mut bob = town.line("bob").await;
    let api = town.api();
    let mut log_ins = JoinSet::new();
    for _ in 0..LOG_INS {
        let api = api.clone();
        log_ins.spawn(async move { log_in(&api, "nobody@example.org", "some password", "cli").await.code() });
    }
    // As many beats while each log-in is under way as a line can carry.
    let mut beats = 0;
    let mut codes = Vec::new();
    while codes.len() < LOG_INS {
        bob.heartbeat().await;
        beats += 1;
        codes.extend(log_ins.try_join_next().map(Result::unwrap));
    }
    assert_eq!(codes, vec!["bad_credentials"; LOG_INS]);
    assert!(beats > 2 * LOG_INS, "{beats} heartbeats were answered while {LOG_INS} passwords were hashed");
    assert!(town.metric("skein_password_hashes_total").await >= LOG_INS as f64, "an unknown address costs a hash, too");
}
