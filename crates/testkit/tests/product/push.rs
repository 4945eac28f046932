//! The push platform from outside: goim's clients and Skein's sessions, goim's calls and ours, the command line.

use crate::http::Api;
use crate::line::Line;
use crate::peers::Listener;
use crate::town::{Draft, Town, program, until};
use serde_json::{Value, json};
use skein_protocol::{Push, Reply, Request, v1};
use skein_server::admin::Verb;
use skein_server::admin::push::{KeyAct, RoomAct, Route};
use skein_testkit::goim::Goim;
use std::net::SocketAddr;
use std::process::Output;
use tokio::process::Command;
use xtask::services::{self, Service};

/// goim's doors open, each on a port of its own.
fn with_goim(draft: Draft) -> Draft {
    let listeners = ["websocket", "websocket_tls", "http", "comet_rpc", "logic_rpc"];
    let draft = listeners.iter().fold(draft, |draft, name| draft.set(&format!("compat.goim.{name}"), "127.0.0.1:0"));
    let draft = ["on", "trust", "open_push"].iter().fold(draft, |draft, name| draft.set(&format!("compat.goim.{name}"), true));
    draft.set("comet.online_interval_ms", 50)
}

/// The addresses and keys of a town.
struct Doors {
    tcp: SocketAddr,
    websocket: SocketAddr,
    open: Api,
    push: Api,
}

impl Doors {
    fn of(town: &Town) -> Self {
        let listening = town.listening();
        let key = std::fs::read_to_string(town.data().join("push-api.key")).unwrap();
        Self {
            tcp: listening.tcp.unwrap(),
            websocket: listening.goim_websocket.unwrap(),
            open: Api::new(listening.goim_http.unwrap()),
            push: Api::new(listening.push.unwrap()).bearer(key.trim()),
        }
    }

    /// goim's call, which answers goim's bytes.
    async fn goim(&self, path: &str, body: &str) {
        let answer = self.open.ask("POST", &format!("/goim/push/{path}"), Some(json!(body))).await;
        assert_eq!(answer.text, r#"{"code":0,"message":""}"#, "{path}");
    }

    async fn push(&self, body: Value) -> Value {
        self.push.post("/api/v1/push", body).await.ok()
    }

    async fn until_delivered(&self, id: &str) -> Value {
        let path = format!("/api/v1/push/{id}");
        until("delivered", async || self.push.get(&path).await.json()["state"] == "delivered").await;
        self.push.get(&path).await.ok()
    }
}

fn auth(mid: i64, key: &str, room: &str, accepts: &[i32]) -> String {
    json!({"mid": mid, "key": key, "room_id": room, "platform": "ios", "accepts": accepts}).to_string()
}

/// As JSON text: what `Doors::goim` sends.
fn said(op: i32, text: &str) -> (i32, String) {
    (op, json!(text).to_string())
}

async fn live(line: &mut Line) -> (String, i32, String) {
    let wanted = |push| match push {
        Push::LivePush(live) => live.messages.into_iter().next().map(|message| {
            let text = match message.content {
                Some(v1::live_message::Content::Text(text)) => text,
                other => format!("{other:?}"),
            };
            (live.room.clone(), message.operation, text)
        }),
        _ => None,
    };
    line.push(wanted).await
}

#[tokio::test]
async fn keys_mids_rooms_and_everyone_are_reached_on_both_transports_and_only_rooms_ignore_accepts() {
    let town = with_goim(Town::of(&["ann"])).start().await;
    let doors = Doors::of(&town);
    let mut tcp = Goim::tcp(doors.tcp, &auth(123, "k-tcp", "live://1000", &[1000])).await;
    let mut web = Goim::websocket(doors.websocket, &auth(124, "k-web", "live://1000", &[1001])).await;
    let mut ann = town.line("ann").await;
    ann.ask(Request::AcceptOperations(v1::AcceptOperations { operations: vec![1001] })).await;

    doors.goim("keys?operation=1000&keys=k-tcp&keys=k-web&keys=nobody", "by key").await;
    doors.goim("mids?operation=1001&mids=123&mids=124", "by mid").await;
    doors.goim("all?operation=1000", "to all 1000").await;
    doors.goim("all?operation=1001", "to all 1001").await;
    doors.goim("room?operation=7777&type=live&room=1000", "in the room").await;

    // Whoever does not accept 1000, or 1001, hears nothing of it; the room is heard by both.
    let mut wanted = vec![said(1000, "by key"), said(1000, "to all 1000"), said(7777, "in the room")];
    wanted.sort();
    assert_eq!(tcp.pushes(3).await, wanted);
    let mut wanted = vec![said(1001, "by mid"), said(1001, "to all 1001"), said(7777, "in the room")];
    wanted.sort();
    assert_eq!(web.pushes(3).await, wanted);
    assert_eq!(live(&mut ann).await, (String::new(), 1001, json!("to all 1001").to_string()));
}

#[tokio::test]
async fn pushes_to_one_room_arrive_in_order_and_a_lone_one_at_once() {
    let town = with_goim(Town::of(&["ann"])).start().await;
    let doors = Doors::of(&town);
    let mut tcp = Goim::tcp(doors.tcp, &auth(1, "a", "live://1", &[])).await;
    let mut web = Goim::websocket(doors.websocket, &auth(2, "b", "live://1", &[])).await;
    for n in 0..200 {
        doors.goim("room?operation=1000&type=live&room=1", &format!("message {n}")).await;
    }
    for n in 0..200 {
        let expected = said(1000, &format!("message {n}"));
        assert_eq!((tcp.push().await, web.push().await), (expected.clone(), expected));
    }
    // goim holds a lone message of a room back for a second.
    let begun = std::time::Instant::now();
    doors.goim("room?operation=1000&type=live&room=1", "alone").await;
    tcp.push().await;
    assert!(begun.elapsed() < std::time::Duration::from_millis(900), "{:?}", begun.elapsed());
}

/// Slow broadcasts have all places, a thousand wait behind them, and an urgent one goes first.
async fn an_urgent_broadcast_overtakes_those_that_wait(draft: Draft) {
    const SLOW: usize = 8;
    let town = with_goim(draft).start().await;
    let doors = Doors::of(&town);
    let mut crowd = Vec::new();
    for mid in 0..60 {
        crowd.push(Goim::tcp(doors.tcp, &auth(mid, &format!("slow-{mid}"), "", &[2000])).await);
    }
    let mut listener = Goim::tcp(doors.tcp, &auth(100, "listener", "", &[1000])).await;
    let broadcast = |operation: i32, text: &str, priority: &str| json!({"to": {"all": {"speed": 1}}, "operation": operation, "text": text, "priority": priority});
    for _ in 0..SLOW {
        let pushed = doors.push(broadcast(2000, "slow", "normal")).await;
        doors.until_delivered(pushed["push_id"].as_str().unwrap()).await;
    }
    let mut waiting = String::new();
    for batch in 0..10 {
        let pushes: Vec<Value> = (0..100).map(|number| broadcast(1000, &format!("{batch}-{number}"), "normal")).collect();
        let outcomes = doors.push.post("/api/v1/push/batch", json!({ "pushes": pushes })).await.ok();
        for outcome in outcomes["outcomes"].as_array().unwrap() {
            waiting = outcome["accepted"]["push_id"].as_str().unwrap_or_else(|| panic!("accepted: {outcome}")).to_owned();
        }
    }
    doors.push(broadcast(1000, "fire", "urgent")).await;
    assert_eq!(listener.push().await, (1000, "fire".into()));
    assert_eq!(doors.push.get(&format!("/api/v1/push/{waiting}")).await.ok()["state"], "waiting");
}

#[tokio::test]
async fn an_urgent_broadcast_overtakes_a_thousand_that_wait() {
    an_urgent_broadcast_overtakes_those_that_wait(Town::of(&["ann"])).await;
}

#[tokio::test]
async fn an_urgent_broadcast_overtakes_a_thousand_that_wait_on_redis() {
    let url = services::require(Service::Redis).expect("redis");
    let prefix = format!("test:urgent:{}:", std::process::id());
    let draft = Town::of(&["ann"]).set("redis.urls", format!("[\"{url}\"]")).set("redis.prefix", prefix);
    an_urgent_broadcast_overtakes_those_that_wait(draft).await;
}

#[tokio::test]
async fn a_skein_session_is_reached_as_a_user_and_in_a_live_room_and_a_uid_is_no_mid() {
    let town = with_goim(Town::of(&["ann"])).start().await;
    let doors = Doors::of(&town);
    let uid = town.uid("ann");
    let mut ann = town.line("ann").await;
    let mut guest = Goim::tcp(doors.tcp, &auth(uid, "k", "", &[1000])).await;
    let joined = ann.ask(Request::JoinLive(v1::JoinLive { room: "live://1".into(), presence: false })).await;
    assert!(matches!(&joined, Reply::LiveRoomReply(reply) if reply.count == 1), "{joined:?}");

    let pushed = doors.push(json!({"to": {"users": [uid.to_string()]}, "operation": 1000, "text": "to ann"})).await;
    assert_eq!(live(&mut ann).await, (String::new(), 1000, "to ann".into()));
    let receipt = doors.until_delivered(pushed["push_id"].as_str().unwrap()).await;
    assert_eq!((&receipt["found"], &receipt["queued"], &receipt["dropped"]), (&json!(1), &json!(1), &json!(0)));
    doors.push(json!({"to": {"mids": [uid]}, "operation": 1000, "text": "to the guest"})).await;
    assert_eq!(guest.push().await, (1000, "to the guest".into()));
    doors.push(json!({"to": {"room": "live://1"}, "operation": 1007, "body": {"a": [1, 2]}})).await;
    assert_eq!(live(&mut ann).await, ("live://1".into(), 1007, r#"{"a":[1,2]}"#.into()), "and nothing of the guest's");
}

#[tokio::test]
async fn who_is_online_is_counted_told_and_forgotten() {
    let town = with_goim(Town::of(&["ann"])).start().await;
    let doors = Doors::of(&town);
    let mut one = Goim::tcp(doors.tcp, &auth(1, "a", "live://1", &[])).await;
    let _two = Goim::websocket(doors.websocket, &auth(2, "b", "live://1", &[])).await;
    let three = Goim::tcp(doors.tcp, &auth(3, "c", "live://2", &[])).await;
    assert_eq!(one.online().await, 2);
    let top = async || doors.open.get("/goim/online/top?type=live&limit=10").await.text;
    let both = r#"{"code":0,"message":"","data":[{"room_id":"1","count":2},{"room_id":"2","count":1}]}"#;
    until("both rooms are told of", async || top().await == both).await;
    let room = doors.open.get("/goim/online/room?type=live&rooms=1&rooms=9").await.text;
    assert_eq!(room, r#"{"code":0,"message":"","data":{"1":2,"9":0}}"#);
    let total = doors.open.get("/goim/online/total").await.text;
    assert_eq!(total, r#"{"code":0,"message":"","data":{"conn_count":3,"ip_count":1}}"#);
    assert_eq!(doors.push.get("/api/v1/push/rooms?prefix=live").await.ok()["rooms"][0], json!({"room": "live://1", "online": 2}));
    drop(three);
    let one_room = r#"{"code":0,"message":"","data":[{"room_id":"1","count":2}]}"#;
    until("the empty room is gone", async || top().await == one_room).await;
    let nodes = doors.open.get("/goim/nodes/weighted").await.json();
    assert_eq!((&nodes["data"]["nodes"], &nodes["data"]["heartbeat"]), (&json!(["127.0.0.1"]), &json!(240)));
    assert_eq!(doors.open.get("/goim/nodes/instances").await.json()["data"][0]["metadata"]["conn_count"], "2");
}

#[tokio::test]
async fn a_durable_push_is_stored_once_and_found_by_whoever_was_away_also_after_a_crash() {
    let mut town = with_goim(Town::of(&["ann"])).start().await;
    let doors = Doors::of(&town);
    let uid = town.uid("ann").to_string();
    let body = json!({"to": {"users": [uid]}, "operation": 1000, "text": "while you were away", "durable": true, "idempotency_key": "k"});
    let first = doors.push(body.clone()).await;
    let stored = first["stored"][0].clone();
    assert_eq!((&stored["user"], &stored["seq"], &first["repeated"]), (&json!(uid), &json!("1"), &json!(false)), "{first}");
    let again = doors.push(body.clone()).await;
    assert_eq!((&again["push_id"], &again["repeated"]), (&first["push_id"], &json!(true)));
    let mut other = body;
    other["text"] = json!("something else");
    assert_eq!(doors.push.post("/api/v1/push", other).await.code(), "idempotency_conflict");

    town.crash().await;
    let conversation: i64 = stored["conversation"].as_str().unwrap().parse().unwrap();
    let mut ann = town.line("ann").await;
    assert_eq!(ann.history_after(conversation, 0).await, [(1, "while you were away".into())]);
    assert_eq!(ann.sync("", conversation).await.1, [(1, "while you were away".into())], "also to a client that knows nothing yet");
}

#[tokio::test]
async fn a_scheduled_push_survives_a_crash_and_comes_when_it_is_time() {
    let mut town = with_goim(Town::of(&["ann"])).start().await;
    let uid = town.uid("ann").to_string();
    let at = unix_ms() + 3_000;
    let body = json!({"to": {"users": [uid]}, "operation": 1000, "text": "later", "not_before": at.to_string()});
    let pushed = Doors::of(&town).push(body).await;
    let id = pushed["push_id"].as_str().unwrap().to_owned();
    assert_eq!(Doors::of(&town).push.get(&format!("/api/v1/push/{id}")).await.ok()["state"], "scheduled");
    town.crash().await;
    let mut ann = town.line("ann").await;
    assert_eq!(live(&mut ann).await, (String::new(), 1000, "later".into()));
    assert!(unix_ms() >= at, "not before its time");
}

fn unix_ms() -> i64 {
    std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_millis() as i64
}

#[tokio::test]
async fn a_durable_push_to_a_bound_room_is_heard_now_and_read_later() {
    let town = with_goim(Town::of(&["ann"])).start().await;
    let doors = Doors::of(&town);
    let push = "room?operation=1000&type=live&room=1&durable=1&key=k";
    let unbound = doors.push.post(&format!("/goim/push/{push}"), json!("kept")).await;
    assert_eq!((unbound.status, &unbound.json()["code"]), (200, &json!(-400)), "{}", unbound.text);

    let made = town.api_of("ann").post("/api/v1/rooms", json!({"key": "r", "title": "Room one"})).await.ok();
    let room: i64 = made["id"].as_str().unwrap().parse().unwrap();
    let bind = RoomAct::Bind { room: "live://1".into(), conversation: room };
    town.admin(Verb::Room { act: bind }).await;
    let mut guest = Goim::tcp(doors.tcp, &auth(1, "a", "live://1", &[])).await;
    let seqs = async || {
        let answer = doors.push.post(&format!("/goim/push/{push}"), json!("kept")).await.ok();
        answer["data"]["stored"][0]["seq"].as_str().unwrap().to_owned()
    };
    let first = seqs().await;
    assert_eq!(seqs().await, first, "the key makes it one");
    assert_eq!(guest.push().await, said(1000, "kept"));
    let mut ann = town.line("ann").await;
    let history = ann.history_after(room, 0).await;
    let kept = json!("kept").to_string();
    assert_eq!(history.iter().filter(|(_, text)| *text == kept).count(), 1, "{history:?}");
}

#[tokio::test]
async fn keys_are_made_scoped_and_revoked_by_the_operator() {
    let town = with_goim(Town::of(&["ann"])).start().await;
    let listening = town.listening();
    let act = KeyAct::Create { app: "orders".into(), routes: vec![Route::Room], rooms: vec!["live://1".into()], per_second: 1_000 };
    let made = town.admin(Verb::Key { act }).await;
    let api = Api::new(listening.push.unwrap()).bearer(made["secret"].as_str().unwrap());
    let to = |to: Value| json!({"to": to, "operation": 1000, "text": "x"});
    api.post("/api/v1/push", to(json!({"room": "live://1000"}))).await.ok();
    for refused in [json!({"room": "live://2"}), json!({"all": {}}), json!({"users": ["1"]})] {
        assert_eq!(api.post("/api/v1/push", to(refused.clone())).await.code(), "forbidden", "{refused}");
    }
    assert_eq!(api.get("/api/v1/push/total").await.code(), "forbidden");
    assert_eq!(api.post("/logic/verify", json!({"token": town.token("ann")})).await.status, 403);
    let listed = town.admin(Verb::Key { act: KeyAct::List }).await;
    assert!(!listed.to_string().contains(made["secret"].as_str().unwrap()), "a secret is told once");
    town.admin(Verb::Key { act: KeyAct::Revoke { id: made["id"].as_i64().unwrap() } }).await;
    let answer = api.post("/api/v1/push", to(json!({"room": "live://1000"}))).await;
    assert_eq!((answer.status, answer.code()), (401, "unauthorized".into()));
    assert!(town.admin(Verb::Room { act: RoomAct::Bindings }).await.as_array().unwrap().is_empty());
}

#[tokio::test]
async fn without_the_settings_nothing_of_goim_is_open() {
    let town = Town::of(&["ann"]).start().await;
    let told = town.listening();
    let open = [told.goim_websocket, told.goim_websocket_tls, told.goim_http, told.goim_comet_rpc, told.goim_logic_rpc];
    assert_eq!(open, [None; 5]);
    let open = with_goim(Town::of(&["ann"])).start().await;
    for setting in ["compat.goim.trust", "compat.goim.open_push"] {
        let is_said = |line: &str| line.contains("answers without any secret") && line.contains(setting);
        assert!(open.log().lines().any(is_said), "{setting}");
    }
}

async fn skein(town: &Town, line: &str) -> Output {
    let mut command = Command::new(program());
    let (verb, rest) = line.split_once(' ').unwrap();
    command.arg(verb).arg("--data").arg(town.data()).args(rest.split(' '));
    command.output().await.unwrap()
}

async fn says(town: &Town, line: &str) -> String {
    let output = skein(town, line).await;
    assert!(output.status.success(), "{line}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

#[tokio::test]
async fn the_command_line_pushes_and_tells_what_became_of_it() {
    let town = with_goim(Town::of(&["ann"])).start().await;
    let mut ann = town.line("ann").await;
    let uid = town.uid("ann");
    let said = says(&town, &format!("push user {uid} --op 1005 --text hello")).await;
    let id = said.trim().rsplit(' ').next().unwrap().to_owned();
    assert!(said.starts_with("accepted 已接受"), "{said}");
    assert_eq!(live(&mut ann).await, (String::new(), 1005, "hello".into()));
    Doors::of(&town).until_delivered(&id).await;
    let status = says(&town, &format!("push status {id}")).await;
    assert!(status.contains("delivered") && status.contains("queued 入队 1"), "{status}");
    let dry = says(&town, "push all --op 1005 --body {\"a\":1} --dry-run --json").await;
    assert!(serde_json::from_str::<Value>(&dry).unwrap()["would_reach"].is_number(), "{dry}");

    let refused = skein(&town, "push user 999999 --text x --durable").await;
    assert!(!refused.status.success() && String::from_utf8_lossy(&refused.stderr).contains("not_found"), "{refused:?}");
    let made: Value = serde_json::from_str(&says(&town, "admin --json key create shop --route unicast").await).unwrap();
    assert_eq!((&made["app"], &made["routes"]), (&json!("shop"), &json!("unicast")));
    assert!(says(&town, "admin key list").await.contains("shop"));
}

/// The programs of docs/push-guide.md; the page is tested in a browser (web/e2e/push.e2e.ts).
#[tokio::test]
async fn the_guides_clients_hear_what_is_pushed() {
    let town = with_goim(Town::of(&["ann"])).start().await;
    let doors = Doors::of(&town);
    let password = town.password("ann").await;
    let server = format!("http://{}", town.server.endpoints().unwrap().public);
    let mut python = Listener::python(&[&server, "ann@example.org"], &password);
    let mut node = Listener::node(&[&format!("ws://{}/sub", doors.websocket), "live://1000", "1000,1001"]);
    assert_eq!((python.says().await, node.says().await), ("joined live://1000".into(), "joined live://1000".into()));
    doors.push(json!({"to": {"room": "live://1000"}, "operation": 1000, "text": "hello 房间"})).await;
    assert_eq!((python.says().await, node.says().await), ("1000 hello 房间".into(), "1000 hello 房间".into()));
    doors.push(json!({"to": {"all": {}}, "operation": 1001, "body": {"price": 42}})).await;
    assert_eq!((python.says().await, node.says().await), (r#"1001 {"price":42}"#.into(), r#"1001 {"price":42}"#.into()));
    doors.push(json!({"to": {"all": {"platforms": ["node"]}}, "operation": 1000, "base64": "AP8="})).await;
    doors.push(json!({"to": {"users": [town.uid("ann").to_string()]}, "operation": 1005, "base64": "AP8="})).await;
    assert_eq!(python.says().await, "1005 AP8=");
    assert!(node.says().await.starts_with("1000 "));
}
