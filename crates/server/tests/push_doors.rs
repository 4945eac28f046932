//! The push API has two doors, HTTP and gRPC: the same call does the same through both, or fails with the same code.

use axum::Router;
use axum::body::Body;
use axum::extract::ConnectInfo;
use axum::http::{HeaderMap, Request, Response};
use http_body_util::BodyExt;
use serde_json::{Value, json};
use skein_domain::id::{Millis, Uid};
use skein_domain::live::{PushCommand, PushOutcome, PushReply, PushState, Pusher, Receipt};
use skein_domain::testing::{ScriptedLogic, at_once};
use skein_domain::trace::Sampling;
use skein_domain::{Code, Error};
use skein_edge::gate::{Config, Gate, push_openapi, push_router};
use skein_rpc::push_service;
use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::Arc;
use tower::ServiceExt;

const KEY: &str = "an-api-key-of-32-characters-long";
const PROTO: &str = include_str!("../../rpc/proto/skein/push.proto");

/// Fails if it is told to.
fn door(fails: Option<Code>) -> Arc<ScriptedLogic> {
    let on_push = at_once(move |command| match fails {
        Some(code) => Err(Error::new(code, "why").retry_after(1_500)),
        None => Ok(reply(command)),
    });
    Arc::new(ScriptedLogic { pushers: vec![Pusher::ApiKey(KEY.into())], on_push, ..ScriptedLogic::default() })
}

fn reply(command: PushCommand) -> PushReply {
    let accepted = |_| PushOutcome::Accepted { push: "id".into(), stored: vec![], would_reach: None, repeated: false };
    match command {
        PushCommand::Push { requests } => PushReply::Pushed { outcomes: requests.iter().map(accepted).collect() },
        PushCommand::Receipt { push } => {
            let (app, state, at) = (Uid(1), PushState::Delivered, Millis(5));
            PushReply::Receipt { receipt: Receipt { push, app, state, at, found: 3, queued: 2, dropped: 1 } }
        }
        PushCommand::Total => PushReply::Total { connections: 5, addresses: 2 },
        PushCommand::Instances => PushReply::Nodes { nodes: vec![] },
        _ => PushReply::Counts { rooms: vec![] },
    }
}

/// What reached the door, or the code that came back.
type Outcome = Result<Vec<PushCommand>, String>;

/// One call as it is made at each door.
struct Case {
    /// As in the OpenAPI.
    path: &'static str,
    query: String,
    json: Value,
    rpc: &'static str,
    message: Vec<u8>,
}

impl Case {
    async fn through_http(&self, door: &Arc<ScriptedLogic>, key: Option<&str>) -> Outcome {
        let gate = Gate { logic: door.clone(), config: Config::default(), tls: false, mailbox: None, sampling: Sampling::of_share(0.0) };
        let app: Router = push_router(gate);
        let (method, body) = if self.json.is_null() { ("GET", String::new()) } else { ("POST", self.json.to_string()) };
        let path = match self.path.strip_suffix("{id}") {
            Some(start) => format!("{start}{}", self.query),
            None => format!("{}{}", self.path, self.query),
        };
        let mut request =
            Request::builder().method(method).uri(path).header("host", "localhost").header("content-type", "application/json");
        request = request.extension(ConnectInfo(SocketAddr::from(([127, 0, 0, 1], 40_000))));
        if let Some(key) = key {
            request = request.header("authorization", format!("Bearer {key}"));
        }
        let response = app.oneshot(request.body(Body::from(body)).unwrap()).await.unwrap();
        let is_failure = response.status().as_u16() >= 400;
        let text = response.into_body().collect().await.unwrap().to_bytes();
        let answer: Value = serde_json::from_slice(&text).unwrap();
        // A batch of one tells of its push as a lone push would.
        let refused = &answer["outcomes"][0]["refused"]["code"];
        if is_failure { Err(answer["code"].as_str().unwrap().into()) } else { outcome(door, refused.as_str().map(str::to_owned)) }
    }

    async fn through_grpc(&self, door: &Arc<ScriptedLogic>, key: Option<&str>) -> Outcome {
        let mut framed = vec![0];
        framed.extend(u32::try_from(self.message.len()).unwrap().to_be_bytes());
        framed.extend(&self.message);
        let path = format!("/skein.push.v1.Push/{}", self.rpc);
        let mut request = Request::builder().method("POST").uri(path).header("content-type", "application/grpc").header("te", "trailers");
        if let Some(key) = key {
            request = request.header("authorization", format!("Bearer {key}"));
        }
        let response: Response<_> = push_service(door.clone()).oneshot(request.body(Body::from(framed)).unwrap()).await.unwrap();
        let (parts, body) = response.into_parts();
        let body = body.collect().await.unwrap();
        let trailers: HeaderMap = body.trailers().cloned().unwrap_or_default();
        let told = |name| parts.headers.get(name).or_else(|| trailers.get(name)).map(|value| value.to_str().unwrap().to_owned());
        match told("skein-code") {
            Some(code) => Err(code),
            None => {
                assert_eq!(told("grpc-status").as_deref(), Some("0"), "{} {:?} {trailers:?}", self.rpc, parts.headers);
                outcome(door, refused_in(&body.to_bytes(), self.rpc))
            }
        }
    }
}

/// The code in `outcomes[0].refused.code` of a `PushBatchReply`.
fn refused_in(framed: &[u8], rpc: &str) -> Option<String> {
    const REFUSED: u8 = 2 << 3 | 2;
    let (_, first) = field(framed.get(5..).filter(|_| rpc == "PushBatch")?);
    let (kind, refused) = field(first);
    (kind == REFUSED).then(|| String::from_utf8(field(refused).1.to_vec()).unwrap())
}

/// Key and value of the first field, which has a length.
fn field(message: &[u8]) -> (u8, &[u8]) {
    let digits = message[1..].iter().take_while(|byte| **byte >= 0x80).count() + 1;
    let length = message[1..=digits].iter().rev().fold(0, |length, byte| length << 7 | usize::from(byte & 0x7f));
    (message[0], &message[1 + digits..][..length])
}

fn outcome(door: &ScriptedLogic, refused: Option<String>) -> Outcome {
    refused.map_or_else(|| Ok(door.push_commands()), Err)
}

// === protobuf ===

fn number(field: u8, value: i64) -> Vec<u8> {
    let mut bytes = vec![field << 3];
    bytes.extend(varint(value as u64));
    bytes
}

fn text(field: u8, value: impl AsRef<[u8]>) -> Vec<u8> {
    let value = value.as_ref();
    [vec![field << 3 | 2], varint(value.len() as u64), value.to_vec()].concat()
}

fn varint(mut value: u64) -> Vec<u8> {
    let mut bytes = Vec::new();
    while value >= 0x80 {
        bytes.push(value as u8 | 0x80);
        value >>= 7;
    }
    bytes.push(value as u8);
    bytes
}

fn list(numbers: &[i64]) -> Vec<u8> {
    text(1, numbers.iter().flat_map(|number| varint(*number as u64)).collect::<Vec<_>>())
}

// === calls ===

fn push(to: Value, target: &[u8], more: Value, fields: &[u8]) -> Case {
    let mut json = json!({"to": to, "operation": 1000, "text": "hi"});
    json.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    let message = [target, &number(6, 1000), &text(7, "hi"), fields].concat();
    Case { path: "/api/v1/push", query: String::new(), json, rpc: "Push", message }
}

fn to_room(more: Value, fields: &[u8]) -> Case {
    push(json!({"room": "live://1"}), &text(2, "live://1"), more, fields)
}

/// The same push in a batch of one.
fn batched(case: &Case) -> Case {
    let json = json!({"pushes": [case.json]});
    Case { path: "/api/v1/push/batch", query: String::new(), json, rpc: "PushBatch", message: text(1, &case.message) }
}

fn asking(path: &'static str, query: &str, rpc: &'static str, message: Vec<u8>) -> Case {
    Case { path, query: query.into(), json: Value::Null, rpc, message }
}

fn pushes() -> Vec<Case> {
    let (many, words) = ((1..=1_001).collect::<Vec<i64>>(), |count: usize| vec!["w"; count]);
    let audience = |platforms: &[&str], tags: &[&str], speed: i64| {
        let words = |field, words: &[&str]| words.iter().flat_map(|word| text(field, word)).collect::<Vec<_>>();
        let all = [words(1, platforms), words(2, tags), number(3, speed)].concat();
        push(json!({"all": {"platforms": platforms, "tags": tags, "speed": speed}}), &text(3, all), json!({}), &[])
    };
    let all_of_it = json!({"durable": true, "idempotency_key": "k-1", "not_before": "1700000000000", "ttl_ms": 60_000, "priority": "urgent", "dry_run": true});
    let fields = [number(8, 1), text(9, "k-1"), number(10, 1_700_000_000_000), number(11, 60_000), number(12, 1), number(13, 1)].concat();
    let long = "x".repeat(64 * 1024 + 1);
    let mut cases = vec![
        push(json!({"users": ["7", "8"]}), &text(1, list(&[7, 8])), json!({}), &[]),
        push(json!({"keys": ["k"]}), &text(4, text(1, "k")), json!({}), &[]),
        push(json!({"mids": ["7"]}), &text(5, list(&[7])), json!({}), &[]),
        audience(&["web"], &["vip"], 5),
        audience(&[], &[], 0),
        audience(&words(32), &words(32), 1),
        audience(&words(33), &[], 1),
        audience(&[], &[""], 1),
        audience(&[&"w".repeat(65)], &[], 1),
        to_room(json!({}), &[]),
        to_room(all_of_it, &fields),
        to_room(json!({"ttl_ms": -1}), &number(11, -1)),
        to_room(json!({"priority": "normal"}), &number(13, 0)),
        to_room(json!({"priority": "high"}), &number(13, 2)),
        to_room(json!({"priority": 1.5}), &number(13, -1)),
        to_room(json!({"idempotency_key": "two words"}), &text(9, "two words")),
        to_room(json!({"idempotency_key": "k".repeat(65)}), &text(9, "k".repeat(65))),
        to_room(json!({"text": long}), &text(7, &long)),
        push(json!({}), &[], json!({}), &[]),
        push(json!({"room": ""}), &text(2, ""), json!({}), &[]),
        push(json!({"room": "r".repeat(300)}), &text(2, "r".repeat(300)), json!({}), &[]),
        push(json!({"users": []}), &text(1, ""), json!({}), &[]),
        push(json!({"keys": [""]}), &text(4, text(1, "")), json!({}), &[]),
        push(json!({"keys": ["k".repeat(129)]}), &text(4, text(1, "k".repeat(129))), json!({}), &[]),
        push(json!({"mids": many}), &text(5, list(&many)), json!({}), &[]),
    ];
    cases.extend([0, 1, 17, 18, -1, i64::from(i32::MAX)].map(|operation| to_room(json!({"operation": operation}), &number(6, operation))));
    let batches: Vec<Case> = cases.iter().map(batched).collect();
    cases.extend(batches);
    cases
}

fn questions() -> Vec<Case> {
    let rooms = |query, message| asking("/api/v1/push/rooms", query, "CountRooms", message);
    vec![
        asking("/api/v1/push/{id}", "01J9Z3K5V8Q2W4E6R8T0Y2U4I6", "GetReceipt", text(1, "01J9Z3K5V8Q2W4E6R8T0Y2U4I6")),
        asking("/api/v1/push/{id}", "x", "GetReceipt", text(1, "x")),
        rooms("", vec![]),
        rooms("?prefix=live&limit=3", [text(2, "live"), number(3, 3)].concat()),
        rooms("?rooms=a,b", [text(1, "a"), text(1, "b")].concat()),
        rooms("?limit=1001", number(3, 1_001)),
        rooms("?rooms=a&prefix=b", [text(1, "a"), text(2, "b")].concat()),
        rooms(&format!("?rooms={}", "r".repeat(300)), text(1, "r".repeat(300))),
        asking("/api/v1/push/total", "", "CountTotal", vec![]),
        asking("/api/v1/push/nodes", "", "ListNodes", vec![]),
    ]
}

fn all() -> Vec<Case> {
    let several = |count: usize| {
        let one = to_room(json!({}), &[]);
        let message = text(1, &one.message).repeat(count);
        Case { json: json!({"pushes": vec![one.json.clone(); count]}), message, ..batched(&one) }
    };
    pushes().into_iter().chain(questions()).chain([0, 2, 100, 101].map(several)).collect()
}

#[tokio::test]
async fn every_call_reaches_logic_alike_or_fails_with_one_code() {
    let mut refused = BTreeSet::new();
    for case in all() {
        let (http, grpc) = (door(None), door(None));
        let (by_http, by_grpc) = (case.through_http(&http, Some(KEY)).await, case.through_grpc(&grpc, Some(KEY)).await);
        assert!(by_http == by_grpc, "{} {} {:.200}: {:?} {:?}", case.path, case.query, case.json, brief(&by_http), brief(&by_grpc));
        match by_http {
            Ok(commands) => assert_eq!(commands.len(), 1, "{} {:.200}", case.path, case.json),
            Err(code) => drop(refused.insert(code)),
        }
    }
    assert_eq!(refused.into_iter().collect::<Vec<_>>(), ["bad_request", "too_large"]);
}

fn brief(outcome: &Outcome) -> Result<Vec<String>, String> {
    outcome.as_ref().map(|commands| commands.iter().map(|command| serde_json::to_string(command).unwrap()).collect()).map_err(String::clone)
}

#[tokio::test]
async fn without_a_key_that_is_one_every_call_is_unauthorized_whatever_it_says() {
    for case in all() {
        for key in [None, Some("wrong")] {
            let door = door(None);
            let unauthorized: Outcome = Err("unauthorized".into());
            assert!(case.through_http(&door, key).await == unauthorized, "{} {} {:.200}", case.path, case.query, case.json);
            assert!(case.through_grpc(&door, key).await == unauthorized, "{} {:.200}", case.rpc, case.json);
            assert!(door.pushed.lock().unwrap().is_empty());
        }
    }
}

#[tokio::test]
async fn what_logic_refuses_has_one_code_at_both() {
    use Code::*;
    for code in [Unauthorized, Forbidden, NotFound, RateLimited, QuotaExceeded, Busy, Unavailable, Timeout, IdempotencyConflict, Internal] {
        for case in questions().into_iter().filter(|case| !case.query.contains("1001") && !case.query.contains('&')) {
            let door = door(Some(code));
            let (by_http, by_grpc) = (case.through_http(&door, Some(KEY)).await, case.through_grpc(&door, Some(KEY)).await);
            if by_http != Err("bad_request".to_owned()) {
                assert_eq!((brief(&by_http), brief(&by_grpc)), (Err(code.as_str().into()), Err(code.as_str().into())), "{}", case.path);
            }
        }
    }
}

#[test]
fn no_call_is_without_its_twin() {
    let cases = all();
    let rpcs: BTreeSet<&str> = PROTO.lines().filter_map(|line| line.trim().strip_prefix("rpc ")?.split('(').next()).collect();
    assert_eq!(rpcs, cases.iter().map(|case| case.rpc).collect());
    let openapi = push_openapi();
    // Of other gateways; it has a service of its own in no language but HTTP.
    let paths: BTreeSet<&str> = openapi.paths.paths.keys().map(String::as_str).filter(|path| *path != "/logic/verify").collect();
    assert_eq!(paths, cases.iter().map(|case| case.path).collect());
}
