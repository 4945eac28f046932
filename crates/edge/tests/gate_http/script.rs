//! A logic that answers what a test tells it, and remembers what it was asked.

use axum::Router;
use axum::body::Body;
use axum::extract::ConnectInfo;
use axum::http::{HeaderMap, Request, StatusCode};
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use http_body_util::BodyExt;
use serde_json::Value;
use skein_domain::account::{DeviceClass, Session};
use skein_domain::command::{AccountCommand, AccountReply, Command, Reply};
use skein_domain::door::{Caller, Connect, Connected, Logic, NodeLoad, Origin};
use skein_domain::id::{Millis, NodeId, SessionId, Uid};
use skein_domain::live::{GuestCommand, GuestReply, PushCommand, PushReply, Pusher};
use skein_domain::push::ConnectionRef;
use skein_domain::trace::Sampling;
use skein_domain::{Code, Error, Result};
use skein_edge::gate::{self, Config, Gate};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use tower::ServiceExt;

pub const TOKEN: &str = "the-token-of-session-70";

type Play<C, R> = Box<dyn Fn(C) -> Result<R> + Send + Sync>;

/// `account` is asked for everything but `Verify`, which knows [`TOKEN`] alone.
pub struct Script {
    pub asked: Mutex<Vec<(Caller, Command)>>,
    pub origins: Mutex<Vec<String>>,
    command: Play<Command, Reply>,
    account: Play<AccountCommand, AccountReply>,
    stalls: bool,
}

impl Script {
    pub fn command(play: impl Fn(Command) -> Result<Reply> + Send + Sync + 'static) -> Arc<Self> {
        Arc::new(Self { command: Box::new(play), ..Self::blank() })
    }

    pub fn account(play: impl Fn(AccountCommand) -> Result<AccountReply> + Send + Sync + 'static) -> Arc<Self> {
        Arc::new(Self { account: Box::new(play), ..Self::blank() })
    }

    /// Verifies, but never answers a command.
    pub fn stalling() -> Arc<Self> {
        Arc::new(Self { stalls: true, ..Self::blank() })
    }

    pub fn done() -> Arc<Self> {
        Self::command(|_| Ok(Reply::Done))
    }

    fn blank() -> Self {
        Self {
            asked: Mutex::default(),
            origins: Mutex::default(),
            command: Box::new(|_| Ok(Reply::Done)),
            account: Box::new(|_| Ok(AccountReply::Done)),
            stalls: false,
        }
    }

    pub fn commands(&self) -> Vec<Command> {
        self.asked.lock().unwrap().iter().map(|(_, command)| command.clone()).collect()
    }
}

#[async_trait::async_trait]
impl Logic for Script {
    async fn connect(&self, _: Connect) -> Result<Connected> {
        Err(Error::internal())
    }

    async fn disconnect(&self, _: NodeId, _: ConnectionRef) -> Result<()> {
        Err(Error::internal())
    }

    async fn renew(&self, _: NodeLoad, _: Vec<ConnectionRef>) -> Result<Vec<ConnectionRef>> {
        Err(Error::internal())
    }

    fn call(&self, caller: Caller, command: Command) -> BoxFuture<'static, Result<Reply>> {
        self.asked.lock().unwrap().push((caller, command.clone()));
        if self.stalls {
            return std::future::pending().boxed();
        }
        let reply = (self.command)(command);
        async { reply }.boxed()
    }

    async fn account(&self, from: Origin, command: AccountCommand) -> Result<AccountReply> {
        self.origins.lock().unwrap().push(from.address);
        match command {
            AccountCommand::Verify { secret } if secret == TOKEN => {
                Ok(AccountReply::Verified { session: session(), nickname: "Ann".into(), email: "ann@example.org".into() })
            }
            AccountCommand::Verify { .. } => Err(Error::new(Code::Unauthorized, "no such session")),
            command => (self.account)(command),
        }
    }

    async fn guest(&self, _: GuestCommand) -> Result<GuestReply> {
        Err(Error::internal())
    }

    async fn push(&self, _: Pusher, _: Origin, _: PushCommand) -> Result<PushReply> {
        Err(Error::internal())
    }
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

pub fn gate(script: &Arc<Script>) -> Gate {
    Gate { logic: script.clone(), config: Config::default(), tls: false, mailbox: None, sampling: Sampling::of_share(1.0) }
}

pub fn app(script: &Arc<Script>) -> Router {
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
