//! The public HTTP API over a logic that answers what a test tells it; and what a client sends and reads.

use axum::Router;
use axum::body::Body;
use axum::extract::ConnectInfo;
use axum::http::{HeaderMap, Request, StatusCode};
use http_body_util::BodyExt;
use serde_json::Value;
use skein_domain::account::{DeviceClass, Session};
use skein_domain::command::{AccountCommand, AccountReply, Command, Reply};
use skein_domain::id::{Millis, SessionId, Uid};
use skein_domain::live::{PushCommand, PushOutcome, PushReply, PushRequest, Pusher};
use skein_domain::testing::{Play, ScriptedLogic, at_once, never};
use skein_domain::trace::Sampling;
use skein_domain::{Code, Error, Result};
use skein_edge::gate::{self, Config, Gate};
use std::net::SocketAddr;
use std::sync::Arc;
use tower::ServiceExt;

pub const API_KEY: &str = "an-api-key-of-32-characters-long";
pub const TOKEN: &str = "the-token-of-session-70";

/// Says what becomes of commands.
pub fn on_command(play: impl Fn(Command) -> Result<Reply> + Send + Sync + 'static) -> Arc<ScriptedLogic> {
    Arc::new(ScriptedLogic { on_call: at_once(play), ..done_at_once() })
}

/// Says what becomes of account business but `Verify`, which knows [`TOKEN`] alone.
pub fn on_account(play: impl Fn(AccountCommand) -> Result<AccountReply> + Send + Sync + 'static) -> Arc<ScriptedLogic> {
    Arc::new(ScriptedLogic { on_account: verifying(play), ..done_at_once() })
}

/// Says what becomes of pushes, of everybody without a key and of who has [`API_KEY`].
pub fn on_push(play: impl Fn(PushCommand) -> Result<PushReply> + Send + Sync + 'static) -> Arc<ScriptedLogic> {
    Arc::new(ScriptedLogic { on_push: at_once(play), ..done_at_once() })
}

/// Knows who asks, but never answers.
pub fn stalling() -> Arc<ScriptedLogic> {
    Arc::new(ScriptedLogic { on_call: never(), on_push: never(), ..done_at_once() })
}

pub fn done() -> Arc<ScriptedLogic> {
    Arc::new(done_at_once())
}

fn done_at_once() -> ScriptedLogic {
    ScriptedLogic {
        pushers: vec![Pusher::Open, Pusher::ApiKey(API_KEY.to_owned())],
        on_call: at_once(|_| Ok(Reply::Done)),
        on_account: verifying(|_| Ok(AccountReply::Done)),
        on_push: at_once(|_| Ok(PushReply::Authorized)),
        ..ScriptedLogic::default()
    }
}

fn verifying(play: impl Fn(AccountCommand) -> Result<AccountReply> + Send + Sync + 'static) -> Play<AccountCommand, AccountReply> {
    at_once(move |command| match command {
        AccountCommand::Verify { secret } if secret == TOKEN => {
            Ok(AccountReply::Verified { session: session(), nickname: "Ann".into(), email: "ann@example.org".into() })
        }
        AccountCommand::Verify { .. } => Err(Error::new(Code::Unauthorized, "no such session")),
        command => play(command),
    })
}

/// The one request pushed so far.
pub fn pushed_one(logic: &ScriptedLogic) -> PushRequest {
    let mut requests = logic.push_commands().into_iter().flat_map(|command| match command {
        PushCommand::Push { requests } => requests,
        _ => Vec::new(),
    });
    let first = requests.next().expect("nothing was pushed");
    assert!(requests.next().is_none(), "more than one was pushed");
    first
}

/// A push API that accepts whatever it is asked to push.
pub fn accepting() -> Arc<ScriptedLogic> {
    on_push(|command| match command {
        PushCommand::Push { requests } => {
            let accepted = |at| PushOutcome::Accepted { push: format!("{at:026}"), stored: vec![], would_reach: None, repeated: false };
            Ok(PushReply::Pushed { outcomes: (0..requests.len()).map(accepted).collect() })
        }
        PushCommand::Authorize { .. } => Ok(PushReply::Authorized),
        _ => Err(Error::internal()),
    })
}

pub fn api_key() -> String {
    format!("authorization: Bearer {API_KEY}")
}

pub fn session() -> Session {
    Session {
        id: SessionId(70),
        uid: Uid(7),
        class: DeviceClass::Cli,
        client: "curl".into(),
        created_at: Millis(1_000),
        seen_at: Millis(2_000),
        expires_at: Millis(3_000),
    }
}

pub fn gate(script: &Arc<ScriptedLogic>) -> Gate {
    Gate { logic: script.clone(), config: Config::default(), tls: false, mailbox: None, sampling: Sampling::of_share(1.0) }
}

pub fn app(script: &Arc<ScriptedLogic>) -> Router {
    gate::router(gate(script))
}

#[derive(Debug)]
pub struct Answer {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub text: String,
}

impl Answer {
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|error| panic!("{error}: {}", self.text))
    }

    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).unwrap_or_else(|| panic!("no {name}: {:?}", self.headers)).to_str().unwrap()
    }

    /// Status and code of a problem, after a look at its shape.
    pub fn problem(&self) -> (u16, String) {
        assert_eq!(self.header("content-type"), "application/problem+json", "{}", self.text);
        let body = self.json();
        assert_eq!(body["status"], self.status.as_u16());
        assert_eq!(body["trace"], self.header("x-request-id"));
        for field in ["title", "detail", "type"] {
            assert!(body[field].as_str().is_some_and(|text| !text.is_empty()), "{field}: {body}");
        }
        (self.status.as_u16(), body["code"].as_str().unwrap().to_owned())
    }
}

pub async fn send(app: &Router, request: Request<Body>) -> Answer {
    let response = app.clone().oneshot(request).await.unwrap();
    let (parts, body) = response.into_parts();
    let bytes = body.collect().await.unwrap().to_bytes();
    Answer { status: parts.status, headers: parts.headers, text: String::from_utf8(bytes.to_vec()).unwrap() }
}

/// `line` is like `POST /api/v1/login`; headers are `name: value`.
pub fn request(line: &str, headers: &[&str], body: impl Into<Body>) -> Request<Body> {
    let (method, path) = line.split_once(' ').unwrap();
    let mut builder = Request::builder().method(method).uri(path).header("host", "localhost:8080");
    builder = builder.extension(ConnectInfo(SocketAddr::from(([127, 0, 0, 1], 40_000))));
    for header in headers {
        let (name, value) = header.split_once(": ").unwrap();
        builder = builder.header(name, value);
    }
    builder.body(body.into()).unwrap()
}

pub fn bearer() -> String {
    format!("authorization: Bearer {TOKEN}")
}

/// Sends as the user of [`TOKEN`].
pub async fn ask(app: &Router, line: &str, body: Value) -> Answer {
    let bearer = bearer();
    if body.is_null() {
        return send(app, request(line, &[&bearer], Body::empty())).await;
    }
    send(app, request(line, &[&bearer, "content-type: application/json"], body.to_string())).await
}

/// Sends as nobody.
pub async fn post(app: &Router, path: &str, body: Value) -> Answer {
    send(app, request(&format!("POST {path}"), &["content-type: application/json"], body.to_string())).await
}
