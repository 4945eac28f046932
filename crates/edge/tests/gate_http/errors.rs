//! One test per error code: the status it gets, its problem, and that nothing else decides.

use super::script::*;
use serde_json::Value;
use skein_domain::command::{AccountReply, Reply};
use skein_domain::testing::ScriptedLogic;
use skein_domain::{Code, Error};
use skein_edge::gate::{self, Config, Gate};
use skein_protocol::ErrorCode;

async fn status_of(code: Code) -> (u16, String) {
    let script = on_command(move |_| Err(Error::new(code, "for this test")));
    ask(&app(&script), "GET /api/v1/devices", Value::Null).await.problem()
}

macro_rules! one_test_per_code {
    ($($name:ident $status:literal),+ $(,)?) => {
        $(
            #[tokio::test]
            async fn $name() {
                let name = stringify!($name);
                assert_eq!(status_of(Code::parse(name)).await, ($status, name.to_owned()));
            }
        )+

        const TESTED: &[&str] = &[$(stringify!($name)),+];
    };
}

one_test_per_code! {
    bad_request 400, unsupported 415, too_large 413, unauthorized 401, bad_credentials 401, forbidden 403, disabled 403,
    code_wrong 422, code_expired 422, code_exhausted 429, user_exists 409, mail_not_configured 503, mail_failed 502,
    weak_password 422, bad_email 422, bad_nickname 422, bad_body 422, rate_limited 429, quota_exceeded 429, busy 503,
    storage_full 507, internal 500, unavailable 503, timeout 504, retry_same_key 504, idempotency_conflict 409,
    out_of_order 409, not_found 404, not_member 403, not_accepted 403, not_self 422, silenced 403, already_member 409,
    group_full 409, friends_full 409, rooms_full 409, recall_window 409, recalled 409, bad_cursor 400, no_server 503,
    draining 503,
}

/// Storage's advice to logic has no public code of its own.
#[tokio::test]
async fn policy_moved() {
    assert_eq!(status_of(Code::PolicyMoved).await, (503, "busy".to_owned()));
}

#[test]
fn no_code_is_without_a_test() {
    for code in Code::ALL.iter().filter(|code| **code != Code::PolicyMoved) {
        assert!(TESTED.contains(&code.as_str()), "{}", code.as_str());
    }
    // What can come over HTTP has its status in the table; these two come from HTTP itself, or only over a connection.
    for code in ErrorCode::ALL.iter().filter(|code| !matches!(code, ErrorCode::BadJson | ErrorCode::UnsupportedVersion)) {
        assert!(TESTED.contains(&code.as_str()), "{code}");
    }
}

#[tokio::test]
async fn what_to_do_and_when_is_told() {
    let script = on_command(|_| Err(Error::new(Code::Busy, "come back later").retry_after(1_500)));
    let answer = ask(&app(&script), "GET /api/v1/devices", Value::Null).await;
    assert_eq!(answer.header("retry-after"), "2");
    let body = answer.json();
    assert_eq!((&body["retry_after_ms"], &body["detail"]), (&"1500".into(), &"come back later".into()));
    assert_eq!(body["type"], "/api/docs#busy");
}

#[tokio::test]
async fn a_path_or_method_nobody_knows_is_a_problem() {
    let app = app(&done());
    for path in ["/nothing", "/api", "/api/v1", "/api/v1/nothing", "/api/v1/friends/1/2", "/api/v2/login", "/dev/mailbox"] {
        assert_eq!(ask(&app, &format!("GET {path}"), Value::Null).await.problem(), (404, "not_found".to_owned()), "{path}");
    }
    let answer = ask(&app, "DELETE /api/v1/login", Value::Null).await;
    assert_eq!(answer.problem(), (405, "unsupported".to_owned()));
    assert_eq!(answer.header("allow"), "POST");
}

#[tokio::test]
async fn a_panic_is_a_problem_and_the_next_request_is_served() {
    let script = on_command(|command| match command {
        skein_domain::command::Command::ListDevices => panic!("planted for this test"),
        _ => Ok(Reply::Done),
    });
    let app = app(&script);
    let answer = ask(&app, "GET /api/v1/devices", Value::Null).await;
    assert_eq!(answer.problem(), (500, "internal".to_owned()));
    assert!(!answer.text.contains("planted"), "{}", answer.text);
    assert_eq!(ask(&app, "POST /api/v1/logout", Value::Null).await.status, 204);
}

#[tokio::test]
async fn a_reply_that_does_not_belong_is_internal() {
    let app = app(&on_command(|_| Ok(Reply::Done)));
    assert_eq!(ask(&app, "GET /api/v1/friends", Value::Null).await.problem(), (500, "internal".to_owned()));
    let app = app_of_account_reply();
    let body = serde_json::json!({"email": "a@example.org", "password": "p", "device_class": "cli"});
    assert_eq!(post(&app, "/api/v1/login", body).await.problem(), (500, "internal".to_owned()));
}

fn app_of_account_reply() -> axum::Router {
    app(&on_account(|_| Ok(AccountReply::Done)))
}

fn hurried(script: &std::sync::Arc<ScriptedLogic>) -> axum::Router {
    let config = Config { request_timeout_ms: 100.try_into().unwrap(), ..Config::default() };
    gate::router(Gate { config, ..gate(script) })
}

#[tokio::test]
async fn a_late_answer_is_a_timeout_and_a_late_change_asks_for_the_same_key() {
    let app = hurried(&stalling());
    assert_eq!(ask(&app, "GET /api/v1/devices", Value::Null).await.problem(), (504, "timeout".to_owned()));
    let message = serde_json::json!({"key": "k1", "text": "hi"});
    let answer = ask(&app, "POST /api/v1/conversations/1/messages", message).await;
    assert_eq!(answer.problem(), (504, "retry_same_key".to_owned()));
}

#[tokio::test]
async fn a_body_that_never_ends_is_a_timeout() {
    let app = hurried(&done());
    let never = axum::body::Body::from_stream(futures_util::stream::pending::<Result<bytes::Bytes, std::io::Error>>());
    let answer = send(&app, request("POST /api/v1/login", &["content-type: application/json"], never)).await;
    assert_eq!(answer.problem(), (504, "timeout".to_owned()));
}

#[tokio::test]
async fn one_request_more_than_allowed_at_once_is_busy() {
    let script = stalling();
    let config = Config { in_flight_max: 1.try_into().unwrap(), ..Config::default() };
    let app = gate::router(Gate { config, ..gate(&script) });
    let first = tokio::spawn({
        let app = app.clone();
        async move { ask(&app, "GET /api/v1/devices", Value::Null).await }
    });
    while script.commands().is_empty() {
        tokio::task::yield_now().await;
    }
    let answer = ask(&app, "GET /api/v1/devices", Value::Null).await;
    assert_eq!(answer.problem(), (503, "busy".to_owned()));
    assert_eq!(answer.header("retry-after"), "1");
    first.abort();
    assert!(first.await.unwrap_err().is_cancelled());
    assert_eq!(send(&app, request("GET /health", &[], axum::body::Body::empty())).await.status, 200);
}
