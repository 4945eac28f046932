//! goim's HTTP routes, byte for byte as goim's own code answers on gin 1.7.0, and what we add to them.

use super::script::*;
use axum::Router;
use axum::body::Body;
use serde_json::json;
use skein_domain::id::{ConversationId, Millis, NodeId, Seq, Uid};
use skein_domain::live::{
    Advice, Audience, Backoff, GuestKey, LiveNode, Mid, PushCommand, PushOutcome, PushReply, PushRoute, PushTarget, Pusher, RoomName,
    Stored,
};
use skein_domain::testing::ScriptedLogic;
use skein_domain::{Code, Error};
use skein_edge::gate;
use std::sync::Arc;

const OK: &str = r#"{"code":0,"message":""}"#;

fn open(script: &Arc<ScriptedLogic>) -> Router {
    gate::open_push_router(gate(script))
}

async fn post_to(app: &Router, path: &str, body: impl Into<Body>) -> Answer {
    send(app, request(&format!("POST /goim/push/{path}"), &["content-type: application/x-www-form-urlencoded"], body)).await
}

async fn get(app: &Router, path: &str) -> Answer {
    send(app, request(&format!("GET /goim/{path}"), &[], Body::empty())).await
}

fn keys(names: &[&str]) -> PushTarget {
    PushTarget::Keys(names.iter().map(|name| GuestKey::parse(name).unwrap()).collect())
}

fn room(name: &str) -> RoomName {
    RoomName::parse(name).unwrap()
}

/// What gin writes when it could not bind: the status first, and no type.
#[track_caller]
fn is_unbound(answer: &Answer, message: &str) {
    let body = json!({"code": -400, "message": message});
    assert_eq!((answer.status.as_u16(), answer.header("content-type")), (400, "text/plain; charset=utf-8"), "{}", answer.text);
    assert_eq!(answer.json(), body);
    assert!(answer.text.starts_with(r#"{"code":-400,"message":""#), "{}", answer.text);
}

#[track_caller]
fn is_ok(answer: &Answer, text: &str) {
    assert_eq!((answer.status.as_u16(), answer.header("content-type")), (200, "application/json; charset=utf-8"));
    assert_eq!(answer.text, text);
}

#[tokio::test]
async fn a_push_to_keys_takes_repeated_keys_and_the_body_verbatim() {
    let script = accepting();
    let body: &[u8] = b"a=1&b=%zz\0\xff\xfe";
    is_ok(&post_to(&open(&script), "keys?operation=1000&keys=k1&keys=k2&keys=", body.to_vec()).await, OK);
    let pushed = pushed_one(&script);
    assert_eq!(pushed.target, keys(&["k1", "k2"]));
    assert_eq!((pushed.message.operation, pushed.message.body.as_slice()), (1000, body));
    assert_eq!((pushed.durable, pushed.key, pushed.dry_run), (false, None, false));
    let asked = script.pushed.lock().unwrap();
    assert_eq!((asked[0].0.clone(), asked[0].1.address.as_str()), (Pusher::Open, "127.0.0.1"));
}

#[tokio::test]
async fn commas_do_not_separate_keys() {
    let script = accepting();
    is_ok(&post_to(&open(&script), "keys?operation=1000&keys=k1,k2", "x").await, OK);
    assert_eq!(pushed_one(&script).target, keys(&["k1,k2"]));
}

#[tokio::test]
async fn no_keys_at_all_are_refused_without_a_message_and_unknown_ones_are_skipped() {
    let script = accepting();
    let app = open(&script);
    is_ok(&post_to(&app, "keys?operation=1000", "x").await, r#"{"code":-400,"message":""}"#);
    assert!(script.push_commands().is_empty());
    is_ok(&post_to(&app, "keys?operation=1000&keys=", "x").await, OK);
    is_ok(&post_to(&app, &format!("keys?keys={}", "k".repeat(129)), "x").await, OK);
    let route = PushRoute::Unicast;
    assert!(script.push_commands().into_iter().all(|command| command == PushCommand::Authorize { route }));
}

#[tokio::test]
async fn operation_is_not_required_for_keys_and_mids() {
    let script = accepting();
    is_ok(&post_to(&open(&script), "keys?keys=k", "").await, OK);
    assert_eq!((pushed_one(&script).message.operation, pushed_one(&script).message.body), (0, vec![]));
    let script = accepting();
    is_ok(&post_to(&open(&script), "mids?operation=&mids=7", "").await, OK);
    assert_eq!(pushed_one(&script).message.operation, 0);
}

#[tokio::test]
async fn a_push_to_mids_takes_repeated_mids_and_nobody_is_no_failure() {
    let script = accepting();
    is_ok(&post_to(&open(&script), "mids?operation=1000&mids=1&mids=&mids=3&mids=-2", "m").await, OK);
    assert_eq!(pushed_one(&script).target, PushTarget::Mids(vec![Mid(1), Mid(3)]));
    is_ok(&post_to(&open(&accepting()), "mids?operation=1000", "m").await, OK);
}

#[tokio::test]
async fn numbers_are_read_as_go_reads_them() {
    let app = open(&accepting());
    let lines = [
        ("mids?mids=1,2", "strconv.ParseInt: parsing \"1,2\": invalid syntax"),
        ("mids?mids=1.5&operation=1", "strconv.ParseInt: parsing \"1.5\": invalid syntax"),
        ("mids?operation=%201&mids=5", "strconv.ParseInt: parsing \" 1\": invalid syntax"),
        ("mids?operation=1&mids=+5", "strconv.ParseInt: parsing \" 5\": invalid syntax"),
        ("mids?mids=9223372036854775808", "strconv.ParseInt: parsing \"9223372036854775808\": value out of range"),
        ("room?operation=x&type=a&room=b", "strconv.ParseInt: parsing \"x\": invalid syntax"),
        ("room?operation=99999999999&type=a&room=b", "strconv.ParseInt: parsing \"99999999999\": value out of range"),
        ("all?operation=1&speed=x", "strconv.ParseInt: parsing \"x\": invalid syntax"),
    ];
    for (path, message) in lines {
        is_unbound(&post_to(&app, path, "m").await, message);
    }
    is_ok(&post_to(&app, "mids?operation=1&operation=x&mids=%2B5", "m").await, OK);
}

#[tokio::test]
async fn a_push_to_a_room_names_it_by_type_and_room() {
    let script = accepting();
    is_ok(&post_to(&open(&script), "room?operation=1000&type=live&room=1000", r#"{"test":1}"#).await, OK);
    let pushed = pushed_one(&script);
    assert_eq!((pushed.target, pushed.message.body), (PushTarget::Room(room("live://1000")), br#"{"test":1}"#.to_vec()));
}

#[tokio::test]
async fn what_a_room_or_everyone_needs_is_named_when_it_is_missing_and_operation_0_counts_as_missing() {
    let script = accepting();
    let app = open(&script);
    let missing = |names: &[&str]| {
        let line = |name: &&str| format!("Key: '{name}' Error:Field validation for '{name}' failed on the 'required' tag");
        names.iter().map(line).collect::<Vec<_>>().join("\n")
    };
    let op = missing(&["Op"]);
    is_unbound(&post_to(&app, "room?operation=0&type=a&room=b", "m").await, &op);
    assert_eq!(
        post_to(&app, "room?operation=0&type=a&room=b", "m").await.text,
        r#"{"code":-400,"message":"Key: 'Op' Error:Field validation for 'Op' failed on the 'required' tag"}"#
    );
    is_unbound(&post_to(&app, "room", "m").await, &missing(&["Op", "Type", "Room"]));
    is_unbound(&post_to(&app, "room?operation=1&type=a&room=", "m").await, &missing(&["Room"]));
    is_unbound(&post_to(&app, "all", "m").await, &op);
    is_unbound(&post_to(&app, "all?operation=0&speed=3", "m").await, &op);
    is_unbound(&get(&app, "online/top?type=a").await, &missing(&["Limit"]));
    is_unbound(&get(&app, "online/top?limit=0").await, &missing(&["Type", "Limit"]));
    is_unbound(&get(&app, "online/room?type=a").await, &missing(&["Rooms"]));
    assert!(script.push_commands().is_empty());
}

#[tokio::test]
async fn a_push_to_all_takes_a_speed_and_ours_an_audience() {
    let script = accepting();
    is_ok(&post_to(&open(&script), "all?operation=1000&speed=50&platform=web&platform=ios&tag=vip", "m").await, OK);
    let audience = Audience { platforms: vec!["web".into(), "ios".into()], tags: vec!["vip".into()], speed: Some(50) };
    assert_eq!(pushed_one(&script).target, PushTarget::All(audience));
    for path in ["all?operation=1000", "all?operation=1000&speed=0", "all?operation=1000&speed=-5"] {
        let script = accepting();
        is_ok(&post_to(&open(&script), path, "m").await, OK);
        assert_eq!(pushed_one(&script).target, PushTarget::All(Audience::default()), "{path}");
    }
}

#[tokio::test]
async fn a_failed_push_answers_200_with_goims_code() {
    for (code, expected) in [(Code::Unavailable, -500), (Code::Internal, -500), (Code::StorageFull, -500), (Code::BadRequest, -400)] {
        let app = open(&on_push(move |_| Err(Error::new(code, "why <not>"))));
        for path in ["keys?keys=k", "mids?mids=1", "room?operation=1&type=a&room=b", "all?operation=1"] {
            is_ok(&post_to(&app, path, "m").await, &format!(r#"{{"code":{expected},"message":"why \u003cnot\u003e"}}"#));
        }
    }
}

#[tokio::test]
async fn one_refused_push_is_a_failed_call() {
    let refused = PushOutcome::Refused { error: Error::new(Code::BadRequest, "room is not bound") };
    let app = open(&on_push(move |_| Ok(PushReply::Pushed { outcomes: vec![refused.clone()] })));
    is_ok(&post_to(&app, "room?operation=1&type=a&room=b&durable=1", "m").await, r#"{"code":-400,"message":"room is not bound"}"#);
}

#[tokio::test]
async fn our_parameters_are_understood_and_then_the_answer_tells_of_the_push() {
    let script = on_push(|_| {
        let stored = vec![Stored { uid: None, conversation: ConversationId(5), seq: Seq(6) }];
        Ok(PushReply::Pushed {
            outcomes: vec![PushOutcome::Accepted { push: "0".repeat(26), stored, would_reach: Some(3), repeated: true }],
        })
    });
    let app = open(&script);
    let path = "room?operation=1&type=a&room=b&durable=1&key=order-7&not_before=1700000000000&ttl_ms=60000&dry_run=true";
    let answer = post_to(&app, path, "m").await;
    let data = json!({"push_id": "0".repeat(26), "stored": [{"conversation": "5", "seq": "6"}], "would_reach": 3, "repeated": true});
    assert_eq!(answer.json(), json!({"code": 0, "message": "", "data": data}));
    let pushed = pushed_one(&script);
    assert_eq!(
        (pushed.durable, pushed.dry_run, pushed.not_before, pushed.ttl_ms),
        (true, true, Some(Millis(1_700_000_000_000)), Some(60_000))
    );
    assert_eq!(pushed.key.unwrap().as_str(), "order-7");

    is_ok(&post_to(&app, "room?operation=1&type=a&room=b", "m").await, OK);
    is_ok(&post_to(&app, "room?operation=1&type=a&room=b&key=a%20b", "m").await.clone_with_code(), r#"{"code":-400}"#);
    is_unbound(
        &post_to(&app, "room?operation=1&type=a&room=b&durable=yes", "m").await,
        "strconv.ParseBool: parsing \"yes\": invalid syntax",
    );
}

impl Answer {
    fn clone_with_code(&self) -> Answer {
        Answer { status: self.status, headers: self.headers.clone(), text: format!(r#"{{"code":{}}}"#, self.json()["code"]) }
    }
}

/// Durable and scheduled pushes must be repeatable by logic, so each has a key.
#[tokio::test]
async fn a_durable_push_without_a_key_gets_one_of_its_own() {
    let script = accepting();
    let app = open(&script);
    for path in ["keys?keys=k&durable=1", "keys?keys=k&durable=1", "keys?keys=k&not_before=5"] {
        post_to(&app, path, "m").await;
    }
    let keys = script.push_commands().into_iter().map(|command| match command {
        PushCommand::Push { requests } => requests[0].key.clone().unwrap().as_str().to_owned(),
        _ => panic!("not a push"),
    });
    assert_eq!(keys.collect::<std::collections::BTreeSet<_>>().len(), 3);
}

#[tokio::test]
async fn the_fullest_rooms_are_told_by_the_host_part_of_their_names() {
    let script =
        on_push(|_| Ok(PushReply::Counts { rooms: vec![(room("live://1000"), 100), (room("live://a?b&c"), 7), (room("lobby"), 3)] }));
    let answer = get(&open(&script), "online/top?type=live&limit=2").await;
    is_ok(
        &answer,
        r#"{"code":0,"message":"","data":[{"room_id":"1000","count":100},{"room_id":"a","count":7},{"room_id":"lobby","count":3}]}"#,
    );
    assert!(script.push_commands() == [PushCommand::Top { prefix: "live".into(), limit: 2 }]);
    let nobody = on_push(|_| Ok(PushReply::Counts { rooms: vec![] }));
    is_ok(&get(&open(&nobody), "online/top?type=live&limit=99999999999").await, r#"{"code":0,"message":"","data":[]}"#);
    assert!(nobody.push_commands() == [PushCommand::Top { prefix: "live".into(), limit: 1_000 }]);
}

#[tokio::test]
async fn asked_rooms_are_told_in_the_order_of_their_names_and_unknown_ones_are_0() {
    let script = on_push(|_| Ok(PushReply::Counts { rooms: vec![(room("live://b"), 100)] }));
    let answer = get(&open(&script), "online/room?type=live&rooms=b&rooms=a&rooms=a%3C").await;
    is_ok(&answer, r#"{"code":0,"message":"","data":{"a":0,"a\u003c":0,"b":100}}"#);
    assert!(script.push_commands() == [PushCommand::Rooms { rooms: vec![room("live://b"), room("live://a"), room("live://a<")] }]);
}

#[tokio::test]
async fn the_total_is_told_as_go_writes_a_map() {
    let script = on_push(|_| Ok(PushReply::Total { connections: 12, addresses: 3 }));
    is_ok(&get(&open(&script), "online/total").await, r#"{"code":0,"message":"","data":{"conn_count":12,"ip_count":3}}"#);
}

#[tokio::test]
async fn weighted_nodes_look_as_goims() {
    let script = on_push(|command| {
        let PushCommand::Nodes { platform, address } = command else { return Err(Error::internal()) };
        assert_eq!((platform.as_str(), address.as_str()), ("web", "127.0.0.1"));
        let backoff = Backoff { max_delay: 300, base_delay: 3, factor_hundredths: 180, jitter_hundredths: 30 };
        let (tcp_port, ws_port, wss_port) = (3101, 3102, 0);
        let nodes = vec!["203.0.113.5".to_owned()];
        let advice =
            Advice { domain: "conn.goim.io".into(), tcp_port, ws_port, wss_port, heartbeat: 240, heartbeat_max: 2, nodes, backoff };
        Ok(PushReply::Advice { advice })
    });
    let expected = concat!(
        r#"{"code":0,"message":"","data":{"domain":"conn.goim.io","tcp_port":3101,"ws_port":3102,"heartbeat":240,"#,
        r#""nodes":["203.0.113.5"],"backoff":{"max_delay":300,"base_delay":3,"factor":1.8,"jitter":0.3},"heartbeat_max":2}}"#
    );
    is_ok(&get(&open(&script), "nodes/weighted?platform=web").await, expected);
}

#[tokio::test]
async fn instances_look_as_goims_discovery_tells_them() {
    let node = LiveNode {
        node: NodeId("comet-1".into()),
        tcp: "203.0.113.5:3101".into(),
        websocket: "ws://203.0.113.5:8080/ws".into(),
        weight: 10,
        connections: 7,
        addresses: 2,
        draining: false,
        renewed_at: Millis(1_700_000_000_000),
    };
    let script = on_push(move |_| Ok(PushReply::Nodes { nodes: vec![node.clone()] }));
    let answer = get(&open(&script), "nodes/instances").await.json();
    let expected = json!([{
        "region": "", "zone": "", "env": "", "appid": "goim.comet", "hostname": "comet-1", "addrs": ["tcp://203.0.113.5:3101"],
        "version": env!("CARGO_PKG_VERSION"), "latest_timestamp": 1_700_000_000_000_000_000_i64,
        "metadata": {"addrs": "203.0.113.5", "conn_count": "7", "ip_count": "2", "offline": "false", "weight": "10"},
    }]);
    assert_eq!(answer, json!({"code": 0, "message": "", "data": expected}));
}

#[tokio::test]
async fn unknown_paths_and_methods_are_404_as_text() {
    let app = open(&accepting());
    for line in
        ["GET /goim/push/mids", "GET /goim/nothing", "POST /goim/push/mids=7", "PUT /goim/push/all?operation=1", "GET /", "POST /goim"]
    {
        let answer = send(&app, request(line, &[], Body::empty())).await;
        assert_eq!((answer.status.as_u16(), answer.header("content-type")), (404, "text/plain"), "{line}");
        assert_eq!(answer.text, "404 page not found", "{line}");
    }
}

#[tokio::test]
async fn beside_the_api_the_same_routes_want_the_key() {
    let script = accepting();
    let app = gate::push_router(gate(&script));
    let line = "POST /goim/push/room?operation=1&type=a&room=b";
    for headers in [vec![], vec!["authorization: Bearer wrong"], vec!["authorization: Basic YTpi"]] {
        let answer = send(&app, request(line, &headers, "m")).await;
        assert_eq!((answer.status.as_u16(), answer.json()["code"].as_i64()), (401, Some(-401)), "{}", answer.text);
        assert_eq!(answer.header("www-authenticate"), "Bearer");
    }
    // Never from a URL.
    let answer = send(&app, request(&format!("{line}&key={API_KEY}&access_token={API_KEY}"), &[], "m")).await;
    assert_eq!(answer.status, 401);
    assert!(script.push_commands().is_empty());
    is_ok(&send(&app, request(line, &[&api_key()], "m")).await, OK);
    assert_eq!(script.pushed.lock().unwrap()[0].0, Pusher::ApiKey(API_KEY.into()));
}

#[tokio::test]
async fn what_goim_does_not_know_has_statuses_of_its_own() {
    let limited = on_push(|_| Err(Error::new(Code::RateLimited, "slower").retry_after(1_500)));
    let answer = post_to(&open(&limited), "all?operation=1", "m").await;
    assert_eq!((answer.status.as_u16(), answer.header("retry-after")), (429, "2"));
    assert_eq!(answer.text, r#"{"code":-429,"message":"slower"}"#);
    let forbidden = on_push(|_| Err(Error::new(Code::Forbidden, "not with this key")));
    assert_eq!(post_to(&open(&forbidden), "all?operation=1", "m").await.status, 403);
}

#[tokio::test]
async fn bounds_hold_for_goims_callers_too() {
    let script = accepting();
    let app = open(&script);
    let many = |name: &str| (0..1_001).map(|n| format!("{name}={}", n + 1)).collect::<Vec<_>>().join("&");
    for path in [format!("keys?operation=1&{}", many("keys")), format!("mids?operation=1&{}", many("mids"))] {
        assert_eq!(post_to(&app, &path, "m").await.json()["code"], -413);
    }
    for (size, status) in [(gate::MESSAGE_BYTES_MAX + 1, 413), (gate::REQUEST_BYTES_MAX as usize + 1, 413)] {
        let answer = post_to(&app, "all?operation=1", vec![b'x'; size]).await;
        assert_eq!((answer.status.as_u16(), answer.json()["code"].as_i64()), (status, Some(-413)), "{size}");
    }
    assert!(script.push_commands().is_empty());
    is_ok(&post_to(&app, "all?operation=1", vec![b'x'; gate::MESSAGE_BYTES_MAX]).await, OK);
    let long = "r".repeat(300);
    assert_eq!(post_to(&app, &format!("room?operation=1&type=a&room={long}"), "m").await.json()["code"], -400);
}

#[tokio::test]
async fn uids_and_mids_are_different_people() {
    let script = accepting();
    post_to(&open(&script), "mids?operation=1&mids=5", "m").await;
    assert_ne!(pushed_one(&script).target, PushTarget::Uids(vec![Uid(5)]));
    assert_eq!(pushed_one(&script).target, PushTarget::Mids(vec![Mid(5)]));
}
