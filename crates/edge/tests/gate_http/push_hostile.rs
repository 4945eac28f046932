//! Push calls that are not what they should be.

use super::push_api::{app, ask};
use super::script::*;
use axum::body::Body;
use serde_json::{Value, json};
use skein_edge::gate::{self, Config, Gate};
use std::num::NonZeroU32;
use std::time::Duration;

const JSON: &str = "content-type: application/json";
const LINES: [&str; 7] = [
    "POST /api/v1/push",
    "POST /api/v1/push/batch",
    "GET /api/v1/push/01J9Z3K5V8Q2W4E6R8T0Y2U4I6",
    "GET /api/v1/push/rooms",
    "GET /api/v1/push/rooms?limit=x",
    "GET /api/v1/push/total",
    "GET /api/v1/push/nodes",
];

#[tokio::test]
async fn without_a_key_or_with_a_wrong_one_nothing_is_told() {
    let script = accepting();
    let app = app(&script);
    let long = format!("authorization: Bearer {}", "x".repeat(10_000));
    let in_url = format!("?api_key={API_KEY}&access_token={API_KEY}");
    for line in LINES {
        for header in [
            "x-none: 1",
            "authorization: Bearer wrong",
            "authorization: Bearer",
            "authorization: Basic YTpi",
            &long,
            "cookie: skein_session=x",
        ] {
            let sound = json!({"to": {"room": "a"}, "operation": 1000, "text": "x"});
            let body = if line.ends_with("batch") { json!({ "pushes": [sound] }) } else { sound };
            let answer = send(&app, request(line, &[header, JSON], body.to_string())).await;
            assert_eq!(answer.problem(), (401, "unauthorized".into()), "{line} {header:.40}");
        }
        let answer = send(&app, request(&format!("{}{in_url}", line.split('?').next().unwrap()), &[JSON], "{}")).await;
        assert_eq!(answer.problem(), (401, "unauthorized".into()), "{line}");
        assert_eq!(answer.header("www-authenticate"), "Bearer");
    }
    assert!(script.push_commands().is_empty());
}

#[tokio::test]
async fn a_call_of_another_shape_is_refused_before_the_door() {
    let sound = json!({"to": {"room": "a"}, "operation": 1000, "text": "x"});
    let changed = |changes: Value| {
        let mut body = sound.clone();
        for (name, value) in changes.as_object().unwrap() {
            body[name] = value.clone();
        }
        body
    };
    let to = |to: Value| changed(json!({ "to": to }));
    let many = |count: usize| (0..count).map(|n| (n + 1).to_string()).collect::<Vec<_>>();
    let bodies = [
        json!([]),
        json!([{"room": "a"}, 1]),
        json!("text"),
        json!(null),
        json!({}),
        changed(json!({"durabel": true})),
        changed(json!({"operation": "1"})),
        changed(json!({"operation": 1.5})),
        changed(json!({"operation": 2_147_483_648_i64})),
        changed(json!({"durable": 1})),
        changed(json!({"not_before": true})),
        changed(json!({"not_before": "tomorrow"})),
        changed(json!({"idempotency_key": ""})),
        changed(json!({"idempotency_key": "x".repeat(65)})),
        changed(json!({"text": 5})),
        changed(json!({"base64": "AA=="})),
        changed(json!({"body": {}})),
        json!({"to": {"room": "a"}, "operation": 1000}),
        json!({"to": {"room": "a"}, "operation": 1000, "base64": "A"}),
        json!({"to": {"room": "a"}, "operation": 1000, "base64": "_-8="}),
        to(json!([["7"]])),
        to(json!([null, "a"])),
        to(json!("room")),
        to(json!({})),
        to(json!({"room": "a", "users": ["7"]})),
        to(json!({"room": ""})),
        to(json!({"room": "a\nb"})),
        to(json!({"room": "r".repeat(257)})),
        to(json!({"room": ["a"]})),
        to(json!({"users": []})),
        to(json!({"users": "7"})),
        to(json!({"users": [7.5]})),
        to(json!({"users": ["x"]})),
        to(json!({"users": [[7]]})),
        to(json!({"keys": [""]})),
        to(json!({"keys": ["k".repeat(129)]})),
        to(json!({"keys": [1]})),
        to(json!({"mids": [null]})),
        to(json!({"all": []})),
        to(json!({"all": [["web"], [], 5]})),
        to(json!({"all": true})),
        to(json!({"all": {"speed": -1}})),
        to(json!({"all": {"platform": ["web"]}})),
        to(json!({"all": {"platforms": many(33)}})),
        to(json!({"all": {"tags": ["t".repeat(65)]}})),
        to(json!({"all": {"tags": [""]}})),
        to(json!({"everyone": {}})),
    ];
    let script = accepting();
    let app = app(&script);
    for body in bodies {
        let answer = ask(&app, "POST /api/v1/push", if body.is_null() { json!("null") } else { body.clone() }).await;
        assert_eq!(answer.problem(), (400, "bad_request".into()), "{body}");
        let batch = ask(&app, "POST /api/v1/push/batch", json!({ "pushes": [body] })).await;
        assert_eq!(batch.json()["outcomes"][0]["refused"]["code"], "bad_request", "{body}");
    }
    for kind in ["users", "keys", "mids"] {
        let body = to(json!({ kind: many(1_001) }));
        assert_eq!(ask(&app, "POST /api/v1/push", body).await.problem(), (413, "too_large".into()), "{kind}");
        assert_eq!(ask(&app, "POST /api/v1/push", to(json!({ kind: many(1_000) }))).await.status, 200, "{kind}");
    }
    let requests = script.push_commands().into_iter().map(|command| match command {
        skein_domain::live::PushCommand::Push { requests } => requests.len(),
        _ => 0,
    });
    assert_eq!(requests.sum::<usize>(), 3, "only the sound ones");
}

#[tokio::test]
async fn goims_own_operations_are_refused_and_said_why() {
    let script = accepting();
    let app = app(&script);
    let with = |operation: i32| json!({"to": {"room": "a"}, "operation": operation, "text": "x"});
    for operation in (0..=17).chain([-1, i32::MIN]) {
        let answer = ask(&app, "POST /api/v1/push", with(operation)).await;
        assert_eq!(answer.problem(), (400, "bad_request".into()), "{operation}");
        let batch = ask(&app, "POST /api/v1/push/batch", json!({ "pushes": [with(operation)] })).await;
        let refused = batch.json()["outcomes"][0]["refused"].clone();
        assert_eq!(refused["code"], "bad_request", "{operation}");
        for detail in [&answer.json()["detail"], &refused["detail"]] {
            assert!(detail.as_str().unwrap().contains("goim's protocol"), "{operation} {detail}");
        }
    }
    for operation in [18, 1000, i32::MAX] {
        assert_eq!(ask(&app, "POST /api/v1/push", with(operation)).await.status, 200, "{operation}");
    }
}

const WITH_BODY: [&str; 4] =
    ["POST /api/v1/push", "POST /api/v1/push/batch", "POST /logic/verify", "POST /goim/push/room?operation=1000&type=a&room=b"];

#[tokio::test]
async fn a_wrong_key_is_refused_before_the_body_comes() {
    let script = accepting();
    let app = app(&script);
    for line in WITH_BODY {
        let never = || Body::from_stream(futures_util::stream::pending::<Result<Vec<u8>, std::io::Error>>());
        for key in ["x-none: 1", "authorization: Bearer wrong"] {
            let answered = send(&app, request(line, &[key, JSON, "content-length: 1000000"], never()));
            let answer = tokio::time::timeout(Duration::from_secs(5), answered).await.expect("answered without the body");
            assert!([401, 403].contains(&answer.status.as_u16()), "{line} {}", answer.text);
        }
        let kept = send(&app, request(line, &[&api_key(), JSON], never()));
        assert!(tokio::time::timeout(Duration::from_millis(50), kept).await.is_err(), "{line}: with a right one it is waited for");
    }
}

#[tokio::test]
async fn who_has_no_valid_key_is_told_nothing_of_a_body_that_is_not_sound() {
    let app = app(&accepting());
    let (one, many) = ("POST /api/v1/push", "POST /api/v1/push/batch");
    let unsound = [(one, "{\"to\":1}"), (one, "{"), (many, "{\"pushes\":[1]}")];
    for (line, body) in unsound {
        let wrong = send(&app, request(line, &["authorization: Bearer wrong", JSON], body)).await;
        assert_eq!(wrong.problem(), (401, "unauthorized".into()), "{line} {body}");
    }
    let answer = send(&app, request(one, &[&api_key(), JSON], "{")).await;
    assert_eq!(answer.problem(), (400, "bad_json".into()));
    let batch = send(&app, request(many, &[&api_key(), JSON], "{\"pushes\":[1]}")).await;
    assert_eq!((batch.status.as_u16(), &batch.json()["outcomes"][0]["refused"]["code"]), (200, &json!("bad_request")));
}

#[tokio::test]
async fn a_failure_of_a_key_has_a_title_about_keys() {
    let title = async |app: &axum::Router, line: &str, key: &str, body: Value| {
        let answer = send(app, request(line, &[key, JSON], body.to_string())).await;
        (answer.status.as_u16(), answer.json()["title"].as_str().unwrap().to_owned())
    };
    let sound = json!({"to": {"room": "a"}, "operation": 1000, "text": "x"});
    let scoped = on_push(|_| Err(skein_domain::Error::new(skein_domain::Code::Forbidden, "not with this key")));
    let app = app(&scoped);
    let (none, may_not) = ("There is no valid API key.".to_owned(), "This API key may not do that.".to_owned());
    for line in LINES.iter().filter(|line| !line.contains("limit=x")) {
        let body = if line.ends_with("batch") { json!({ "pushes": [sound] }) } else { sound.clone() };
        assert_eq!(title(&app, line, "x-none: 1", body.clone()).await, (401, none.clone()), "{line}");
        assert_eq!(title(&app, line, "authorization: Bearer wrong", body.clone()).await, (401, none.clone()), "{line}");
        assert_eq!(title(&app, line, &api_key(), body).await, (403, may_not.clone()), "{line}");
    }
    let secret = json!({"token": "x"});
    assert_eq!(title(&app, "POST /logic/verify", "x-none: 1", secret.clone()).await, (403, none.clone()));
    assert_eq!(title(&app, "POST /logic/verify", "authorization: Bearer wrong", secret.clone()).await, (403, none));
    assert_eq!(title(&app, "POST /logic/verify", &api_key(), secret).await, (403, may_not));
}

#[tokio::test]
async fn text_that_is_no_json_is_bad_json_and_another_media_type_unsupported() {
    let app = app(&accepting());
    let key = api_key();
    let deep = format!("{{\"to\":{}", "[".repeat(100_000));
    for body in ["", "{", "{\"to\":{\"room\":\"a\"},}", &deep, "{\"a\":NaN}"] {
        for path in ["push", "push/batch"] {
            let answer = send(&app, request(&format!("POST /api/v1/{path}"), &[&key, JSON], body.to_owned())).await;
            let problem = answer.problem();
            // What stands before the broken place may be of the wrong shape already.
            assert!(
                problem == (400, "bad_json".into()) || (problem == (400, "bad_request".into()) && body.len() > 10),
                "{body:.40} {problem:?}"
            );
        }
    }
    let answer = send(&app, request("POST /api/v1/push", &[&key, "content-type: text/plain"], "{}")).await;
    assert_eq!(answer.problem(), (415, "unsupported".into()));
}

#[tokio::test]
async fn a_message_or_a_request_over_its_limit_is_too_large() {
    let app = app(&accepting());
    let body = |bytes: usize| json!({"to": {"room": "a"}, "operation": 1000, "text": "x".repeat(bytes)});
    assert_eq!(ask(&app, "POST /api/v1/push", body(gate::MESSAGE_BYTES_MAX)).await.status, 200);
    for bytes in [gate::MESSAGE_BYTES_MAX + 1, gate::REQUEST_BYTES_MAX as usize] {
        assert_eq!(ask(&app, "POST /api/v1/push", body(bytes)).await.problem(), (413, "too_large".into()), "{bytes}");
    }
    let announced = request("POST /api/v1/push", &[&api_key(), JSON, "content-length: 99999999999"], "{}");
    assert_eq!(send(&app, announced).await.problem(), (413, "too_large".into()));
}

#[tokio::test]
async fn a_body_that_does_not_come_and_a_door_that_does_not_answer_end_in_time() {
    let config = Config { request_timeout_ms: const { NonZeroU32::new(400).unwrap() }, ..Config::default() };
    let app = gate::push_router(Gate { config, ..gate(&stalling()) });
    let never = Body::from_stream(futures_util::stream::pending::<Result<Vec<u8>, std::io::Error>>());
    let answer = send(&app, request("POST /api/v1/push", &[&api_key(), JSON], never)).await;
    assert_eq!(answer.problem(), (504, "timeout".into()));
    let sound = json!({"to": {"room": "a"}, "operation": 1000, "text": "x"});
    assert_eq!(ask(&app, "POST /api/v1/push", sound).await.problem(), (504, "retry_same_key".into()));
    assert_eq!(ask(&app, "GET /api/v1/push/total", Value::Null).await.problem(), (504, "timeout".into()));
}

#[tokio::test]
async fn a_logic_that_answers_something_else_is_an_internal_error() {
    let script = on_push(|_| Ok(skein_domain::live::PushReply::Authorized));
    let app = app(&script);
    for line in &LINES[2..4] {
        assert_eq!(ask(&app, line, Value::Null).await.problem(), (500, "internal".into()), "{line}");
    }
    let none = on_push(|_| Ok(skein_domain::live::PushReply::Pushed { outcomes: vec![] }));
    let sound = json!({"to": {"room": "a"}, "operation": 1000, "text": "x"});
    assert_eq!(ask(&super::push_api::app(&none), "POST /api/v1/push", sound).await.problem(), (500, "internal".into()));
}
