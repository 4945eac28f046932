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
use skein_domain::id::{ConnectionRef, Millis, NodeId, SessionId, Uid};
use skein_domain::live::{GuestCommand, GuestReply, PushCommand, PushOutcome, PushReply, PushRequest, Pusher};
use skein_domain::trace::Sampling;
use skein_domain::{Code, Error, Result};
use skein_edge::gate::{self, Config, Gate};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use tower::ServiceExt;

pub const API_KEY: &str = "an-api-key-of-32-characters-long";
pub const TOKEN: &str = "the-token-of-session-70";

type Play<C, R> = Box<dyn Fn(C) -> Result<R> + Send + Sync>;

/// `account` is asked for everything but `Verify`, which knows [`TOKEN`] alone.
pub struct Script {
    pub asked: Mutex<Vec<(Caller, Command)>>,
    pub origins: Mutex<Vec<String>>,
    pub pushed: Mutex<Vec<(Pusher, String, PushCommand)>>,
    command: Play<Command, Reply>,
    account: Play<AccountCommand, AccountReply>,
    push: Play<PushCommand, PushReply>,
    stalls: bool,
}

impl Script {
    pub fn command(play: impl Fn(Command) -> Result<Reply> + Send + Sync + 'static) -> Arc<Self> {
        Arc::new(Self { command: Box::new(play), ..Self::blank() })
    }

    pub fn account(play: impl Fn(AccountCommand) -> Result<AccountReply> + Send + Sync + 'static) -> Arc<Self> {
        Arc::new(Self { account: Box::new(play), ..Self::blank() })
    }

    /// `push` is asked by whoever is let in, everybody without a key, and who has [`API_KEY`]; whether a key is one the
    /// script says itself.
    pub fn push(play: impl Fn(PushCommand) -> Result<PushReply> + Send + Sync + 'static) -> Arc<Self> {
        Arc::new(Self { push: Box::new(play), ..Self::blank() })
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
            pushed: Mutex::default(),
            command: Box::new(|_| Ok(Reply::Done)),
            account: Box::new(|_| Ok(AccountReply::Done)),
            push: Box::new(|_| Ok(PushReply::Authorized)),
            stalls: false,
        }
    }

    pub fn push_commands(&self) -> Vec<PushCommand> {
        self.pushed.lock().unwrap().iter().map(|(_, _, command)| command.clone()).collect()
    }

    /// The one request pushed so far.
    pub fn pushed_one(&self) -> PushRequest {
        let mut requests = self.push_commands().into_iter().flat_map(|command| match command {
            PushCommand::Push { requests } => requests,
            _ => Vec::new(),
        });
        let first = requests.next().expect("nothing was pushed");
        assert!(requests.next().is_none(), "more than one was pushed");
        first
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

    async fn push(&self, pusher: Pusher, from: Origin, command: PushCommand) -> Result<PushReply> {
        if pusher != Pusher::Open && pusher != Pusher::ApiKey(API_KEY.to_owned()) {
            return Err(Error::new(Code::Unauthorized, "no such API key"));
        }
        if command == PushCommand::Prove {
            return Ok(PushReply::Authorized);
        }
        self.pushed.lock().unwrap().push((pusher, from.address, command.clone()));
        if self.stalls {
            return std::future::pending().await;
        }
        (self.push)(command)
    }
}

/// A push API that accepts whatever it is asked to push.
pub fn accepting() -> Arc<Script> {
    Script::push(|command| match command {
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
