//! `POST /logic/verify` for other gateways.

use super::script::*;
use axum::Router;
use serde_json::{Value, json};
use skein_domain::live::{PushCommand, PushRoute};
use skein_domain::{Code, Error};
use skein_edge::gate;

const KEY: &str = API_KEY;

fn verifier() -> Router {
    gate::push_router(gate(&accepting()))
}

async fn verify(key: &str, body: Value) -> Answer {
    let key = format!("authorization: Bearer {key}");
    send(&verifier(), request("POST /logic/verify", &[&key, "content-type: application/json"], body.to_string())).await
}

#[tokio::test]
async fn a_valid_cookie_or_token_names_its_user() {
    for field in ["cookie", "token", "secret"] {
        let answer = verify(KEY, json!({ field: TOKEN })).await;
        let expected = json!({"uid": "7", "nickname": "Ann", "session": "70", "device_class": "cli", "expires_at_ms": "3000"});
        assert_eq!(answer.json(), expected, "{field}");
    }
}

#[tokio::test]
async fn an_expired_or_empty_one_is_unauthorized() {
    for secret in ["expired", "", "two words"] {
        assert_eq!(verify(KEY, json!({ "cookie": secret })).await.problem(), (401, "unauthorized".to_owned()), "{secret}");
    }
}

#[tokio::test]
async fn a_missing_secret_is_named() {
    for body in [json!({}), json!({"other": 1})] {
        let answer = verify(KEY, body).await;
        assert_eq!(answer.problem(), (400, "bad_request".to_owned()));
        assert_eq!(answer.json()["detail"], "secret is missing");
    }
}

#[tokio::test]
async fn without_the_api_key_nothing_is_told() {
    for key in ["", "wrong", &KEY[1..], &format!("{KEY}x")] {
        assert_eq!(verify(key, json!({ "cookie": TOKEN })).await.problem(), (403, "forbidden".to_owned()), "{key}");
        assert_eq!(verify(key, json!(1)).await.problem(), (403, "forbidden".to_owned()), "{key}");
    }
    let bare = post(&verifier(), "/logic/verify", json!({ "cookie": TOKEN })).await;
    assert_eq!(bare.problem(), (403, "forbidden".to_owned()));
}

#[tokio::test]
async fn nothing_else_answers_there() {
    assert_eq!(ask(&verifier(), "GET /api/v1/profile", Value::Null).await.problem(), (404, "not_found".to_owned()));
    assert_eq!(ask(&verifier(), "GET /", Value::Null).await.problem(), (404, "not_found".to_owned()));
}

#[tokio::test]
async fn a_key_for_something_else_or_used_too_often_is_refused_in_time() {
    for (code, status) in [(Code::Forbidden, 403), (Code::RateLimited, 429)] {
        let script = on_push(move |_| Err(Error::new(code, "why").retry_after(1_000)));
        let app = gate::push_router(gate(&script));
        let body = json!({ "token": TOKEN }).to_string();
        let answer = send(&app, request("POST /logic/verify", &[&api_key(), "content-type: application/json"], body)).await;
        assert_eq!(answer.problem(), (status, code.as_str().to_owned()));
        assert!(script.push_commands() == [PushCommand::Authorize { route: PushRoute::Verify }]);
    }
}
