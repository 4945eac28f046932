//! `/api/v1/push…`: what becomes of a call, and what becomes of a reply.

use super::script::*;
use axum::Router;
use axum::body::Body;
use serde_json::{Value, json};
use skein_domain::id::{ConversationId, Millis, NodeId, Seq, Uid};
use skein_domain::live::{
    Audience, GuestKey, LiveNode, Mid, Priority, PushCommand, PushOutcome, PushReply, PushRequest, PushState, PushTarget, Receipt,
    RoomName, Stored,
};
use skein_domain::testing::ScriptedLogic;
use skein_domain::{Code, Error};
use skein_edge::gate;
use std::sync::Arc;

const JSON: &str = "content-type: application/json";
const ID: &str = "01J9Z3K5V8Q2W4E6R8T0Y2U4I6";

pub fn app(script: &Arc<ScriptedLogic>) -> Router {
    gate::push_router(gate(script))
}

pub async fn ask(app: &Router, line: &str, body: Value) -> Answer {
    let key = api_key();
    match body {
        Value::Null => send(app, request(line, &[&key], Body::empty())).await,
        body => send(app, request(line, &[&key, JSON], body.to_string())).await,
    }
}

async fn push(script: &Arc<ScriptedLogic>, body: Value) -> Answer {
    ask(&app(script), "POST /api/v1/push", body).await
}

async fn pushed(body: Value) -> PushRequest {
    let script = accepting();
    let answer = push(&script, body).await;
    assert_eq!(answer.status, 200, "{}", answer.text);
    pushed_one(&script)
}

#[tokio::test]
async fn each_kind_of_receiver_is_understood() {
    let room = RoomName::parse("live://1000").unwrap();
    let audience = Audience { platforms: vec!["web".into()], tags: vec!["vip".into()], speed: Some(100) };
    let kinds = [
        (json!({"users": ["7", 8]}), PushTarget::Uids(vec![Uid(7), Uid(8)])),
        (json!({"room": "live://1000"}), PushTarget::Room(room)),
        (json!({"all": {}}), PushTarget::All(Audience::default())),
        (json!({"all": {"platforms": ["web"], "tags": ["vip"], "speed": 100}}), PushTarget::All(audience)),
        (json!({"keys": ["k"]}), PushTarget::Keys(vec![GuestKey::parse("k").unwrap()])),
        (json!({"mids": ["7"]}), PushTarget::Mids(vec![Mid(7)])),
    ];
    for (to, target) in kinds {
        assert_eq!(pushed(json!({"to": to, "operation": 1000, "text": "hi"})).await.target, target, "{to}");
    }
}

#[tokio::test]
async fn the_message_is_json_as_it_stands_or_text_or_bytes() {
    let script = accepting();
    let text = r#"{"to":{"room":"a"},"operation":1005,"body": {"z": 1.50,  "a":[1e40]} }"#;
    let answer = send(&app(&script), request("POST /api/v1/push", &[&api_key(), JSON], text)).await;
    assert_eq!(answer.status, 200, "{}", answer.text);
    let message = pushed_one(&script).message;
    assert_eq!((message.operation, message.body.as_slice()), (1005, br#"{"z": 1.50,  "a":[1e40]}"#.as_slice()));
    let to = json!({"room": "a"});
    assert_eq!(pushed(json!({"to": to, "operation": 1000, "text": "你好"})).await.message.body, "你好".as_bytes());
    assert_eq!(pushed(json!({"to": to, "operation": 1000, "text": ""})).await.message.body, b"");
    assert_eq!(pushed(json!({"to": to, "operation": 1000, "base64": "AP8="})).await.message.body, [0, 255]);
}

#[tokio::test]
async fn everything_else_reaches_the_door() {
    let all = pushed(json!({
        "to": {"users": ["7"]}, "operation": 1000, "text": "x", "durable": true, "idempotency_key": "k-1",
        "not_before": "1700000000000", "ttl_ms": 60000, "dry_run": true, "priority": "urgent",
    }));
    let all = all.await;
    assert_eq!((all.durable, all.dry_run, all.not_before, all.ttl_ms), (true, true, Some(Millis(1_700_000_000_000)), Some(60_000)));
    assert_eq!(all.key.unwrap().as_str(), "k-1");
    assert_eq!(all.priority, Priority::Urgent);
    let plain = pushed(json!({"to": {"users": ["7"]}, "operation": 1000, "text": "x"})).await;
    assert_eq!((plain.durable, plain.dry_run, plain.not_before, plain.ttl_ms, plain.key), (false, false, None, None, None));
    assert_eq!(plain.priority, Priority::Normal);
    let durable = pushed(json!({"to": {"users": ["7"]}, "operation": 1000, "text": "x", "durable": true})).await;
    assert!(durable.key.is_some());
}

#[tokio::test]
async fn the_idempotency_key_may_come_as_a_header() {
    let script = accepting();
    let body = json!({"to": {"room": "a"}, "operation": 1000, "text": "x"});
    let send_with = async |body: &Value, header: &str| {
        let key = api_key();
        send(&app(&script), request("POST /api/v1/push", &[&key, JSON, header], body.to_string())).await
    };
    assert_eq!(send_with(&body, "idempotency-key: order-7").await.status, 200);
    assert_eq!(pushed_one(&script).key.unwrap().as_str(), "order-7");
    let mut both = body.clone();
    both["idempotency_key"] = json!("order-8");
    assert_eq!(send_with(&both, "idempotency-key: order-7").await.problem(), (400, "bad_request".into()));
    assert_eq!(send_with(&body, "idempotency-key: two words").await.problem(), (400, "bad_request".into()));
}

#[tokio::test]
async fn the_answer_tells_the_id_and_where_it_was_stored() {
    let script = on_push(|_| {
        let stored = vec![Stored { uid: Some(Uid(7)), conversation: ConversationId(1 << 52), seq: Seq(9) }];
        Ok(PushReply::Pushed { outcomes: vec![PushOutcome::Accepted { push: ID.into(), stored, would_reach: None, repeated: true }] })
    });
    let answer = push(&script, json!({"to": {"users": ["7"]}, "operation": 1000, "text": "x", "durable": true})).await;
    let stored = json!([{"user": "7", "conversation": "4503599627370496", "seq": "9"}]);
    assert_eq!(answer.json(), json!({"push_id": ID, "stored": stored, "repeated": true}));
}

#[tokio::test]
async fn a_refused_push_is_a_problem_with_its_code_and_time_to_wait() {
    let outcomes = |error: Error| on_push(move |_| Ok(PushReply::Pushed { outcomes: vec![PushOutcome::Refused { error: error.clone() }] }));
    let body = json!({"to": {"room": "a"}, "operation": 1000, "text": "x"});
    let conflict = outcomes(Error::new(Code::IdempotencyConflict, "the key was used for something else"));
    assert_eq!(push(&conflict, body.clone()).await.problem(), (409, "idempotency_conflict".into()));
    let limited = on_push(|_| Err(Error::new(Code::RateLimited, "slower").retry_after(2_500)));
    let answer = push(&limited, body.clone()).await;
    assert_eq!((answer.problem(), answer.header("retry-after")), ((429, "rate_limited".into()), "3"));
    assert_eq!(answer.json()["retry_after_ms"], "2500");
    let forbidden = on_push(|_| Err(Error::new(Code::Forbidden, "not with this key")));
    assert_eq!(push(&forbidden, body).await.problem(), (403, "forbidden".into()));
}

#[tokio::test]
async fn in_a_batch_each_push_stands_alone_and_the_order_is_kept() {
    let script = on_push(|command| {
        let PushCommand::Push { requests } = command else { return Err(Error::internal()) };
        let outcome = |request: &PushRequest| match request.message.operation {
            1002 => PushOutcome::Refused { error: Error::new(Code::NotFound, "no such user") },
            operation => PushOutcome::Accepted { push: format!("{operation:026}"), stored: vec![], would_reach: Some(1), repeated: false },
        };
        Ok(PushReply::Pushed { outcomes: requests.iter().map(outcome).collect() })
    });
    let good = |operation: i32| json!({"to": {"room": "a"}, "operation": operation, "text": "x"});
    let pushes = json!([good(1001), {"to": {"room": "a"}}, good(1002), [1], good(1003)]);
    let answer = ask(&app(&script), "POST /api/v1/push/batch", json!({ "pushes": pushes })).await;
    let outcomes = answer.json()["outcomes"].as_array().unwrap().clone();
    let brief = outcomes.iter().map(|outcome| match outcome["accepted"]["push_id"].as_str() {
        Some(id) => id.trim_start_matches('0').to_owned(),
        None => outcome["refused"]["code"].as_str().unwrap().to_owned(),
    });
    assert_eq!(brief.collect::<Vec<_>>(), ["1001", "bad_request", "not_found", "bad_request", "1003"]);
    assert_eq!(outcomes[0], json!({"accepted": {"push_id": "00000000000000000000001001", "would_reach": 1, "repeated": false}}));
    assert_eq!(script.push_commands().len(), 1, "one call of the door");
}

#[tokio::test]
async fn a_batch_has_1_to_100_pushes() {
    let script = accepting();
    let push = json!({"to": {"room": "a"}, "operation": 1000, "text": "x"});
    for (count, status) in [(0, 400), (1, 200), (100, 200), (101, 400)] {
        let pushes = vec![push.clone(); count];
        assert_eq!(ask(&app(&script), "POST /api/v1/push/batch", json!({ "pushes": pushes })).await.status, status, "{count}");
    }
}

#[tokio::test]
async fn a_receipt_tells_what_became_of_a_push() {
    let script = on_push(|command| match command {
        PushCommand::Receipt { push } if push == ID => Ok(PushReply::Receipt {
            receipt: Receipt { push, app: Uid(9), state: PushState::Delivered, at: Millis(5), found: 3, queued: 2, dropped: 1 },
        }),
        _ => Err(Error::new(Code::NotFound, "no such push")),
    });
    let answer = ask(&app(&script), &format!("GET /api/v1/push/{ID}"), Value::Null).await;
    assert_eq!(answer.json(), json!({"push_id": ID, "state": "delivered", "at": "5", "found": 3, "queued": 2, "dropped": 1}));
    for id in ["0".repeat(26), "x".repeat(25), "x".repeat(5_000), "%00".repeat(26)] {
        let answer = ask(&app(&script), &format!("GET /api/v1/push/{id}"), Value::Null).await;
        assert_eq!(answer.problem(), (404, "not_found".into()), "{id:.30}");
    }
}

#[tokio::test]
async fn counts_of_rooms_and_of_everything_are_told() {
    let script = on_push(|command| match command {
        PushCommand::Total => Ok(PushReply::Total { connections: 5, addresses: 2 }),
        _ => Ok(PushReply::Counts { rooms: vec![(RoomName::parse("live://1").unwrap(), 4)] }),
    });
    let app = app(&script);
    let counts = json!({"rooms": [{"room": "live://1", "online": 4}]});
    for path in ["rooms", "rooms?prefix=live&limit=3", "rooms?rooms=live%3A%2F%2F1,live%3A%2F%2F2"] {
        assert_eq!(ask(&app, &format!("GET /api/v1/push/{path}"), Value::Null).await.json(), counts, "{path}");
    }
    assert_eq!(ask(&app, "GET /api/v1/push/total", Value::Null).await.json(), json!({"connections": 5, "addresses": 2}));
    let name = |text: &str| RoomName::parse(text).unwrap();
    let expected = [
        PushCommand::Top { prefix: String::new(), limit: 20 },
        PushCommand::Top { prefix: "live".into(), limit: 3 },
        PushCommand::Rooms { rooms: vec![name("live://1"), name("live://2")] },
        PushCommand::Total,
    ];
    assert!(script.push_commands() == expected);
    for path in ["rooms?rooms=a&prefix=b", "rooms?rooms=", "rooms?limit=0", "rooms?limit=1001", "rooms?limit=x"] {
        let answer = ask(&app, &format!("GET /api/v1/push/{path}"), Value::Null).await;
        assert_eq!(answer.problem(), (400, "bad_request".into()), "{path}");
    }
}

#[tokio::test]
async fn nodes_are_told() {
    let node = LiveNode {
        node: NodeId("comet-1".into()),
        tcp: "h:1".into(),
        websocket: "ws://h:2/ws".into(),
        weight: 1,
        connections: 2,
        addresses: 1,
        draining: true,
        renewed_at: Millis(7),
    };
    let script = on_push(move |_| Ok(PushReply::Nodes { nodes: vec![node.clone()] }));
    let expected = json!({
        "node": "comet-1", "tcp": "h:1", "websocket": "ws://h:2/ws", "weight": 1, "connections": 2, "addresses": 1, "draining": true,
        "renewed_at": "7",
    });
    assert_eq!(ask(&app(&script), "GET /api/v1/push/nodes", Value::Null).await.json(), json!({ "nodes": [expected] }));
}

#[tokio::test]
async fn the_description_is_served_and_names_every_route() {
    let answer = send(&app(&accepting()), request("GET /api/v1/push/openapi.json", &[], Body::empty())).await;
    let openapi = answer.json();
    assert_eq!(openapi, serde_json::to_value(gate::push_openapi()).unwrap());
    let paths: Vec<&String> = openapi["paths"].as_object().unwrap().keys().collect();
    let expected = [
        "/api/v1/push",
        "/api/v1/push/batch",
        "/api/v1/push/nodes",
        "/api/v1/push/rooms",
        "/api/v1/push/total",
        "/api/v1/push/{id}",
        "/logic/verify",
    ];
    assert_eq!(paths, expected);
    assert_eq!(openapi["security"], json!([{"api_key": []}]));
}
