//! Bodies, parameters and headers that are not what they should be.

use super::script::*;
use axum::body::Body;
use serde_json::{Value, json};
use skein_domain::command::{Command, Reply};
use skein_domain::testing::ScriptedLogic;
use skein_domain::trace::Trace;
use skein_domain::{Code, Error};
use skein_edge::gate::{self, Config, Gate, Rate};

const JSON: &str = "content-type: application/json";

#[tokio::test]
async fn text_that_is_no_json_is_bad_json_and_json_of_another_shape_a_bad_request() {
    let app = app(&done());
    let deep = "[".repeat(100_000);
    let bodies: [(&[u8], &str); 11] = [
        (b"", "bad_json"),
        (b"{", "bad_json"),
        (b"\xff\xfe{}", "bad_json"),
        (deep.as_bytes(), "bad_json"),
        (b"null", "bad_request"),
        (b"[]", "bad_request"),
        (b"\"text\"", "bad_request"),
        (b"[\"a@example.org\",\"register\"]", "bad_request"),
        (b"{\"email\":1,\"purpose\":\"register\"}", "bad_request"),
        (b"{\"email\":\"a\"}", "bad_request"),
        (b"{\"email\":\"a\",\"purpose\":\"other\"}", "bad_request"),
    ];
    for (body, code) in bodies {
        let answer = send(&app, request("POST /api/v1/code", &[JSON], body.to_vec())).await;
        assert_eq!(answer.problem(), (400, code.to_owned()), "{:.60}", String::from_utf8_lossy(body));
    }
}

#[tokio::test]
async fn what_is_wrong_is_told_by_field_in_plain_words() {
    let app = app(&done());
    let table = [
        ("POST /api/v1/code", json!({"purpose": "reset"}), "email is missing"),
        ("POST /api/v1/code", json!({"email": {}, "purpose": "reset"}), "email must be text"),
        ("POST /api/v1/code", json!({"email": "a", "purpose": "other"}), "purpose must be one of register, reset"),
        ("POST /api/v1/requests", json!({"uid": true}), "uid must be a 64-bit whole number, or the same as a decimal string"),
        ("POST /api/v1/conversations/1/messages", json!({"key": "k", "body": ["text", []]}), "body must be an object"),
        (
            "POST /api/v1/conversations/1/messages",
            json!({"key": "k", "body": {"kind": "text", "segments": [{"text": "a"}, {"mention": ["8"]}]}}),
            "body.segments[1].mention must be an object",
        ),
        ("GET /api/v1/friends?count=x", Value::Null, "count must be a whole number"),
        (
            "GET /api/v1/conversations/1/history?before=x",
            Value::Null,
            "before must be a 64-bit whole number, or the same as a decimal string",
        ),
    ];
    for (line, body, detail) in table {
        let answer = ask(&app, line, body).await;
        assert_eq!(answer.problem(), (400, "bad_request".to_owned()), "{line}");
        assert_eq!(answer.json()["detail"], detail, "{line}");
    }
}

#[tokio::test]
async fn ending_what_is_not_there_is_answered_alike() {
    let nobody = on_command(|command| match command {
        Command::Block { on: false, .. } => Err(Error::new(Code::NotFound, "no such user")),
        _ => Ok(Reply::Done),
    });
    let app = app(&nobody);
    for line in ["DELETE /api/v1/friends/99", "DELETE /api/v1/blocks/99"] {
        assert_eq!(ask(&app, line, Value::Null).await.status, 204, "{line}");
    }
}

#[tokio::test]
async fn another_media_type_is_unsupported() {
    let app = app(&done());
    for content_type in
        ["content-type: text/plain", "content-type: application/x-www-form-urlencoded", "content-type: application/jsonx", "x-none: 1"]
    {
        let answer = send(&app, request("POST /api/v1/code", &[content_type], "{}")).await;
        assert_eq!(answer.problem(), (415, "unsupported".to_owned()), "{content_type}");
    }
    let answer = send(&app, request("POST /api/v1/code", &["content-type: Application/JSON; charset=utf-8"], "{}")).await;
    assert_eq!(answer.problem(), (400, "bad_request".to_owned()));
}

#[tokio::test]
async fn a_body_over_the_limit_is_too_large_whether_announced_or_not() {
    let app = app(&done());
    let large = "x".repeat(256 * 1024 + 1);
    let announced = request("POST /api/v1/code", &[JSON, "content-length: 99999999999"], "{}");
    assert_eq!(send(&app, announced).await.problem(), (413, "too_large".to_owned()));
    let chunks = futures_util::stream::iter(
        large.into_bytes().chunks(1_000).map(|chunk| Ok::<_, std::io::Error>(chunk.to_vec())).collect::<Vec<_>>(),
    );
    let streamed = request("POST /api/v1/code", &[JSON], Body::from_stream(chunks));
    assert_eq!(send(&app, streamed).await.problem(), (413, "too_large".to_owned()));
}

#[tokio::test]
async fn ids_and_parameters_that_are_no_numbers_are_bad_requests() {
    let app = app(&done());
    let lines = [
        "GET /api/v1/conversations/x",
        "GET /api/v1/conversations/9223372036854775808",
        "DELETE /api/v1/friends/1.5",
        "GET /api/v1/conversations/1/history?before=x",
        "GET /api/v1/conversations/1/history?before=9&after=1",
        "GET /api/v1/conversations/1/history?count=101",
        "GET /api/v1/friends?count=0",
        "GET /api/v1/friends?count=-1",
        "GET /api/v1/profiles",
        "GET /api/v1/profiles?uids=",
        "GET /api/v1/profiles?uids=1,x",
        "GET /api/v1/search",
        "GET /api/v1/search?uid=1&nickname=an",
        "GET /api/v1/search?uid=1&uid=2",
        "GET /api/v1/conversations/%ff",
    ];
    for line in lines {
        assert_eq!(ask(&app, line, Value::Null).await.problem(), (400, "bad_request".to_owned()), "{line}");
    }
    let many = (0..101).map(|n| n.to_string()).collect::<Vec<_>>().join(",");
    assert_eq!(ask(&app, &format!("GET /api/v1/profiles?uids={many}"), Value::Null).await.problem(), (400, "bad_request".to_owned()));
}

#[tokio::test]
async fn a_message_without_sound_key_or_with_two_bodies_is_refused_here() {
    let script = done();
    let app = app(&script);
    let body = json!({"kind": "text", "segments": [{"text": "hi"}]});
    let messages = [
        json!({"key": "", "text": "hi"}),
        json!({"key": "k k", "text": "hi"}),
        json!({"key": "x".repeat(65), "text": "hi"}),
        json!({"key": "k"}),
        json!({"key": "k", "text": "hi", "body": body}),
        json!({"key": "k", "text": "hi", "after": "\n"}),
    ];
    for message in messages {
        let answer = ask(&app, "POST /api/v1/conversations/1/messages", message.clone()).await;
        assert_eq!(answer.problem(), (400, "bad_request".to_owned()), "{message}");
    }
    assert!(script.commands().is_empty());
}

#[tokio::test]
async fn a_sent_trace_is_followed_if_it_is_sound() {
    let script = done();
    let app = app(&script);
    let parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    for (sent, is_followed) in [(parent, true), ("00-rubbish", false)] {
        let headers = [bearer(), format!("traceparent: {sent}")];
        let answer = send(&app, request("POST /api/v1/logout", &[&headers[0], &headers[1]], Body::empty())).await;
        let (caller, _) = script.called.lock().unwrap().pop().unwrap();
        let (hop, is_traced) = Trace::parse(&caller.trace.unwrap()).unwrap();
        assert_eq!(answer.header("x-request-id"), hop.id().to_string());
        assert_eq!((sent.contains(&hop.id().to_string()), is_traced), (is_followed, true));
        assert!(!sent.contains(&hop.span().to_string()), "a hop of its own");
    }
}

fn rated(script: &std::sync::Arc<ScriptedLogic>) -> axum::Router {
    let mut config = Config { trusted_proxies: vec!["127.0.0.1".to_owned().try_into().unwrap()], ..Config::default() };
    let rates = &mut config.rates;
    for rate in [&mut rates.login, &mut rates.code, &mut rates.register, &mut rates.search] {
        *rate = Rate::per_minute(1, 2);
    }
    gate::router(Gate { config, ..gate(script) })
}

#[tokio::test]
async fn each_limited_request_has_its_rate_per_address() {
    let app = rated(&done());
    let account = json!({"email": "a@example.org", "code": "1", "password": "p", "nickname": "n"});
    let limited = [
        ("POST /api/v1/code", json!({"email": "a@example.org", "purpose": "reset"})),
        ("POST /api/v1/login", json!({"email": "a@example.org", "password": "p", "device_class": "cli"})),
        ("POST /api/v1/register", account),
        ("GET /api/v1/search?uid=1", Value::Null),
    ];
    for (line, body) in limited {
        for allowed in [true, true, false] {
            let answer = ask(&app, line, body.clone()).await;
            assert_eq!(answer.status != 429, allowed, "{line}: {}", answer.text);
            if !allowed {
                assert_eq!(answer.problem(), (429, "rate_limited".to_owned()));
                let seconds: u64 = answer.header("retry-after").parse().unwrap();
                assert!((1..=60).contains(&seconds), "{seconds}");
            }
        }
    }
}

#[tokio::test]
async fn behind_a_trusted_proxy_the_rate_is_the_clients() {
    let script = done();
    let app = rated(&script);
    let body = json!({"email": "a@example.org", "purpose": "reset"}).to_string();
    let from = async |client: &str| {
        let forwarded = format!("x-forwarded-for: {client}");
        send(&app, request("POST /api/v1/code", &[JSON, &forwarded], body.clone())).await.status.as_u16()
    };
    for _ in 0..2 {
        assert_eq!(from("203.0.113.5").await, 204);
    }
    assert_eq!(from("203.0.113.5").await, 429);
    assert_eq!(from("198.51.100.1, 203.0.113.5").await, 429, "what the client wrote itself does not help");
    assert_eq!(from("203.0.113.6").await, 204);
    let origins: Vec<String> = script.accounts.lock().unwrap().drain(..).map(|(origin, _)| origin.address).collect();
    assert_eq!(origins, ["203.0.113.5", "203.0.113.5", "203.0.113.6"]);
}
