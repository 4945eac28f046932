//! Log-in, the cookie, and pages of other sites.

use super::script::*;
use axum::body::Body;
use serde_json::{Value, json};
use skein_domain::account::{DeviceClass, Profile};
use skein_domain::command::{AccountCommand, AccountReply, Command, LoggedIn, Reply};
use skein_domain::id::Uid;
use skein_domain::port::CometAddress;
use skein_domain::testing::ScriptedLogic;
use skein_edge::gate::{self, Config, Gate};
use std::sync::Arc;

const JSON: &str = "content-type: application/json";

fn logging_in() -> Arc<ScriptedLogic> {
    on_account(|command| {
        let AccountCommand::LogIn { email, password, class, client } = command else { panic!("not a log-in") };
        assert_eq!((email.as_str(), password.as_str(), client.as_str()), ("ann@example.org", "correct horse", "test 1"));
        let session = skein_domain::account::Session { class, ..session() };
        let comet = CometAddress { node: "n1".into(), tcp: "127.0.0.1:3101".into(), websocket: "ws://127.0.0.1:8080/ws".into() };
        Ok(AccountReply::LoggedIn(Box::new(LoggedIn {
            uid: Uid(7),
            nickname: "Ann".into(),
            session,
            token: TOKEN.into(),
            comet: Some(comet),
        })))
    })
}

fn credentials(class: &str) -> Value {
    json!({"email": "ann@example.org", "password": "correct horse", "device_class": class, "client": "test 1"})
}

#[tokio::test]
async fn a_terminal_gets_only_the_token() {
    let app = app(&logging_in());
    for class in ["cli", "desktop", "mobile"] {
        let answer = post(&app, "/api/v1/login", credentials(class)).await;
        let comet = json!({"node": "n1", "tcp": "127.0.0.1:3101", "websocket": "ws://127.0.0.1:8080/ws"});
        let expected = json!({"uid": "7", "nickname": "Ann", "session": "70", "device_class": class, "expires_at_ms": "3000", "token": TOKEN, "comet": comet});
        assert_eq!(answer.json(), expected);
        assert!(!answer.headers.contains_key("set-cookie"));
        assert_eq!(answer.header("cache-control"), "no-store");
    }
}

#[tokio::test]
async fn a_browser_gets_only_the_cookie() {
    let app = app(&logging_in());
    let answer = post(&app, "/api/v1/login", credentials("web")).await;
    assert_eq!(answer.status, 200);
    assert!(!answer.text.contains(TOKEN), "{}", answer.text);
    assert_eq!(cookie_attributes(answer.header("set-cookie")), ["HttpOnly", "Max-Age=2592000", "Path=/", "SameSite=Lax"]);
}

/// Sorted; the value is checked here.
fn cookie_attributes(cookie: &str) -> Vec<&str> {
    let mut parts: Vec<&str> = cookie.split("; ").collect();
    assert_eq!(parts.remove(0), format!("skein_session={TOKEN}"));
    parts.sort_unstable();
    parts
}

#[tokio::test]
async fn under_tls_the_cookie_is_secure() {
    let secure = ["HttpOnly", "Max-Age=2592000", "Path=/", "SameSite=Lax", "Secure"];
    let own = gate::router(Gate { tls: true, ..gate(&logging_in()) });
    let answer = post(&own, "/api/v1/login", credentials("web")).await;
    assert_eq!(cookie_attributes(answer.header("set-cookie")), secure);

    let forwarded = request("POST /api/v1/login", &[JSON, "x-forwarded-proto: https"], credentials("web").to_string());
    let config = Config { trusted_proxies: vec!["127.0.0.0/8".to_owned().try_into().unwrap()], ..Config::default() };
    let proxied = gate::router(Gate { config, ..gate(&logging_in()) });
    assert_eq!(cookie_attributes(send(&proxied, forwarded).await.header("set-cookie")), secure);

    let forged = request("POST /api/v1/login", &[JSON, "x-forwarded-proto: https"], credentials("web").to_string());
    let direct = app(&logging_in());
    assert!(!send(&direct, forged).await.header("set-cookie").contains("Secure"), "nobody is trusted by default");
}

#[tokio::test]
async fn the_client_may_choose_the_other_way() {
    let app = app(&logging_in());
    for (class, cookie) in [("web", false), ("cli", true)] {
        let mut body = credentials(class);
        body["cookie"] = cookie.into();
        let answer = post(&app, "/api/v1/login", body).await;
        assert_eq!(answer.headers.contains_key("set-cookie"), cookie);
        assert_eq!(answer.json().get("token").is_none(), cookie);
    }
}

#[tokio::test]
async fn another_site_cannot_log_a_browser_in() {
    let app = app(&logging_in());
    for foreign in ["origin: https://evil.example", "origin: null", "sec-fetch-site: cross-site"] {
        let answer = send(&app, request("POST /api/v1/login", &[JSON, foreign], credentials("web").to_string())).await;
        assert_eq!(answer.problem(), (403, "forbidden".to_owned()), "{foreign}");
    }
}

fn with_cookie(line: &str, headers: &[&str]) -> axum::http::Request<Body> {
    let cookie = format!("cookie: theme=dark; skein_session={TOKEN}");
    request(line, &[&[cookie.as_str()], headers].concat(), Body::empty())
}

#[tokio::test]
async fn a_change_by_cookie_needs_an_allowed_origin() {
    let config = Config { allowed_origins: vec!["https://chat.example.org".to_owned().try_into().unwrap()], ..Config::default() };
    let script = done();
    let app = gate::router(Gate { config, ..gate(&script) });
    let foreign: [&[&str]; 7] = [
        &[],
        &["origin: https://evil.example"],
        &["origin: null"],
        &["origin: http://localhost:8081"],
        &["origin: https://chat.example.org.evil.example"],
        &["sec-fetch-site: same-site"],
        &["sec-fetch-site: cross-site", "origin: https://evil.example"],
    ];
    for headers in foreign {
        let answer = send(&app, with_cookie("POST /api/v1/logout", headers)).await;
        assert_eq!(answer.problem(), (403, "forbidden".to_owned()), "{headers:?}");
    }
    assert!(script.commands().is_empty());
    let own = [
        "origin: http://localhost:8080",
        "origin: https://localhost:8080",
        "origin: https://chat.example.org",
        "sec-fetch-site: same-origin",
    ];
    for header in own {
        assert_eq!(send(&app, with_cookie("POST /api/v1/logout", &[header])).await.status, 204, "{header}");
    }
}

#[tokio::test]
async fn reading_by_cookie_and_changing_by_token_need_no_origin() {
    let app = app(&on_command(|command| match command {
        Command::ListDevices => Ok(Reply::Devices { sessions: vec![], current: session().id }),
        _ => Ok(Reply::Done),
    }));
    assert_eq!(send(&app, with_cookie("GET /api/v1/devices", &[])).await.status, 200);
    let bearer = bearer();
    let by_token = request("POST /api/v1/logout", &[&bearer, "origin: https://evil.example"], Body::empty());
    assert_eq!(send(&app, by_token).await.status, 204);
}

#[tokio::test]
async fn logging_out_takes_the_cookie_away() {
    let script = done();
    let app = app(&script);
    for path in ["/api/v1/logout", "/api/v1/logout/everywhere"] {
        let answer = send(&app, with_cookie(&format!("POST {path}"), &["sec-fetch-site: same-origin"])).await;
        assert_eq!(answer.header("set-cookie"), "skein_session=; Path=/; Max-Age=0; HttpOnly; SameSite=Lax");
        assert!(!ask(&app, &format!("POST {path}"), Value::Null).await.headers.contains_key("set-cookie"));
    }
    let expected =
        [Command::LogOut { session: None }, Command::LogOut { session: None }, Command::LogOutEverywhere, Command::LogOutEverywhere];
    assert_eq!(script.commands(), expected);
}

#[tokio::test]
async fn the_cookie_is_renewed_with_the_profile() {
    let app = app(&on_command(|_| {
        let profile = Profile { uid: Uid(7), nickname: "Ann".into(), signature: String::new(), email: None, findable_by_email: false };
        Ok(Reply::Profiles { profiles: vec![profile], cursor: String::new() })
    }));
    let answer = send(&app, with_cookie("GET /api/v1/profile", &[])).await;
    assert_eq!(cookie_attributes(answer.header("set-cookie")), ["HttpOnly", "Max-Age=2592000", "Path=/", "SameSite=Lax"]);
    assert!(!ask(&app, "GET /api/v1/profile", Value::Null).await.headers.contains_key("set-cookie"));
}

#[tokio::test]
async fn the_caller_is_whom_the_token_belongs_to() {
    let script = done();
    ask(&app(&script), "POST /api/v1/logout", Value::Null).await;
    let (caller, _) = script.called.lock().unwrap().pop().unwrap();
    assert_eq!((caller.uid, caller.session, caller.class), (Uid(7), session().id, DeviceClass::Cli));
    assert_eq!((caller.connection, caller.address.as_str()), (None, "127.0.0.1"));
}
