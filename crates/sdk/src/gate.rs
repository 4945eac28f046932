//! The HTTP side: codes, registration, log-in, log-out, devices.
//!
//! **Invariant:** a secret travels in the body or the `Authorization` header, never in a URL, and redirects are not
//! followed with it.
//!
//! Several addresses are tried in turn when one cannot be reached; the one that answered last is asked first.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use reqwest::{Method, RequestBuilder, Response, Url};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::{Value, json};

use crate::error::Error;

const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
const TIMEOUT: Duration = Duration::from_secs(15);
/// Longest answer that is read.
const BODY_BYTES_MAX: usize = 1024 * 1024;

/// What an e-mail code is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    Register,
    Reset,
}

/// One live session of each, but ten of `Cli`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DeviceClass {
    Desktop,
    Web,
    Mobile,
    #[default]
    Cli,
}

/// Who is logged in here. Prints no secret.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
pub struct Account {
    pub uid: i64,
    pub nickname: String,
    pub session: i64,
    /// `None` once the session has ended: history stays readable, sending waits for the next log-in.
    pub(crate) token: Option<String>,
    pub comet: Option<Comet>,
}

impl Account {
    pub fn is_logged_in(&self) -> bool {
        self.token.is_some()
    }
}

impl fmt::Debug for Account {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Account").field("uid", &self.uid).field("session", &self.session).field("logged_in", &self.is_logged_in()).finish()
    }
}

/// Where to connect for live chat.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Comet {
    pub node: String,
    /// `host:port`; empty when not served.
    #[serde(default)]
    pub tcp: String,
    #[serde(default)]
    pub websocket: String,
}

/// One of my sessions.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct Device {
    #[serde(deserialize_with = "int64")]
    pub session: i64,
    pub device_class: DeviceClass,
    #[serde(default)]
    pub client: String,
    #[serde(rename = "created_at_ms", deserialize_with = "int64")]
    pub created_at: i64,
    #[serde(rename = "seen_at_ms", deserialize_with = "int64")]
    pub seen_at: i64,
    #[serde(rename = "expires_at_ms", deserialize_with = "int64")]
    pub expires_at: i64,
    /// The one that asks.
    #[serde(default)]
    pub current: bool,
}

/// Clone freely.
#[derive(Clone)]
pub struct Gate {
    http: reqwest::Client,
    servers: Arc<[Url]>,
    preferred: Arc<AtomicUsize>,
}

impl Gate {
    /// Addresses like `http://127.0.0.1:8080`.
    pub fn new<S: AsRef<str>>(servers: impl IntoIterator<Item = S>) -> Result<Self, Error> {
        let servers: Arc<[Url]> = servers.into_iter().map(|server| base_url(server.as_ref())).collect::<Result<_, _>>()?;
        if servers.is_empty() {
            return Err(Error::BadAddress(String::new()));
        }
        let http = reqwest::Client::builder()
            .connect_timeout(CONNECT_TIMEOUT)
            .timeout(TIMEOUT)
            .redirect(reqwest::redirect::Policy::none())
            .build()
            .map_err(|error| Error::Network(error.to_string()))?;
        Ok(Self { http, servers, preferred: Arc::new(AtomicUsize::new(0)) })
    }

    pub async fn request_code(&self, email: &str, purpose: Purpose) -> Result<(), Error> {
        let purpose = match purpose {
            Purpose::Register => "register",
            Purpose::Reset => "reset",
        };
        self.done(Method::POST, "code", None, Some(json!({ "email": email, "purpose": purpose }))).await
    }

    /// The uid of the new account.
    pub async fn register(&self, email: &str, code: &str, password: &str, nickname: &str) -> Result<i64, Error> {
        #[derive(Deserialize)]
        struct Registered {
            #[serde(deserialize_with = "int64")]
            uid: i64,
        }
        let body = json!({ "email": email, "code": code, "password": password, "nickname": nickname });
        let registered: Registered = self.call(Method::POST, "register", None, Some(body)).await?;
        Ok(registered.uid)
    }

    pub async fn reset_password(&self, email: &str, code: &str, password: &str) -> Result<(), Error> {
        let body = json!({ "email": email, "code": code, "password": password });
        self.done(Method::POST, "password/reset", None, Some(body)).await
    }

    pub async fn log_in(&self, email: &str, password: &str, class: DeviceClass, client: &str) -> Result<LoggedIn, Error> {
        let body = json!({ "email": email, "password": password, "device_class": class, "client": client, "cookie": false });
        self.call(Method::POST, "login", None, Some(body)).await
    }

    pub async fn log_out(&self, token: &str) -> Result<(), Error> {
        self.done(Method::POST, "logout", Some(token), None).await
    }

    /// Ends every session of the account.
    pub async fn log_out_everywhere(&self, token: &str) -> Result<(), Error> {
        self.done(Method::POST, "logout/everywhere", Some(token), None).await
    }

    pub async fn devices(&self, token: &str) -> Result<Vec<Device>, Error> {
        #[derive(Deserialize)]
        struct Devices {
            devices: Vec<Device>,
        }
        let devices: Devices = self.call(Method::GET, "devices", Some(token), None).await?;
        Ok(devices.devices)
    }

    pub async fn end_device(&self, token: &str, session: i64) -> Result<(), Error> {
        self.done(Method::DELETE, &format!("devices/{session}"), Some(token), None).await
    }

    /// A ticket, and the Comet it is for.
    pub async fn ticket(&self, token: &str) -> Result<Ticket, Error> {
        self.call(Method::POST, "ticket", Some(token), Some(json!({}))).await
    }

    async fn call<T: DeserializeOwned>(&self, method: Method, path: &str, token: Option<&str>, body: Option<Value>) -> Result<T, Error> {
        let body = self.send(method, path, token, body).await?;
        serde_json::from_slice(&body).map_err(|error| Error::Protocol(format!("answer of {path}: {error}")))
    }

    async fn done(&self, method: Method, path: &str, token: Option<&str>, body: Option<Value>) -> Result<(), Error> {
        self.send(method, path, token, body).await.map(drop)
    }

    /// Only a server that could not even be connected to is passed over: what another may have begun is not repeated.
    async fn send(&self, method: Method, path: &str, token: Option<&str>, body: Option<Value>) -> Result<Vec<u8>, Error> {
        let first = self.preferred.load(Ordering::Relaxed);
        let mut failure = Error::NotConnected;
        for at in 0..self.servers.len() {
            let at = (first + at) % self.servers.len();
            let url = self.servers[at].join(path).map_err(|_| Error::BadAddress(self.servers[at].to_string()))?;
            let mut request = self.http.request(method.clone(), url);
            request = with(request, token, body.as_ref());
            match request.send().await {
                Ok(response) => {
                    self.preferred.store(at, Ordering::Relaxed);
                    return answer(response).await;
                }
                Err(error) if error.is_connect() => failure = Error::Network(error.without_url().to_string()),
                Err(error) if error.is_timeout() => return Err(Error::Timeout),
                Err(error) => return Err(Error::Network(error.without_url().to_string())),
            }
        }
        Err(failure)
    }
}

fn with(mut request: RequestBuilder, token: Option<&str>, body: Option<&Value>) -> RequestBuilder {
    if let Some(token) = token {
        request = request.bearer_auth(token);
    }
    match body {
        Some(body) => request.json(body),
        None => request,
    }
}

async fn answer(response: Response) -> Result<Vec<u8>, Error> {
    let status = response.status();
    let body = read(response).await?;
    match status.is_success() {
        true => Ok(body),
        false => Err(problem(status.as_u16(), &body)),
    }
}

async fn read(mut response: Response) -> Result<Vec<u8>, Error> {
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(|error| Error::Network(error.without_url().to_string()))? {
        if body.len() + chunk.len() > BODY_BYTES_MAX {
            return Err(Error::Protocol("answer is too long".to_owned()));
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body)
}

/// Something between here and the server may answer without a code.
fn problem(status: u16, body: &[u8]) -> Error {
    #[derive(Deserialize)]
    struct Problem {
        code: String,
        #[serde(default)]
        detail: String,
        #[serde(default, deserialize_with = "int64")]
        retry_after_ms: i64,
        #[serde(default)]
        trace: String,
    }
    match serde_json::from_slice::<Problem>(body) {
        Ok(Problem { code, detail, retry_after_ms, trace }) => Error::Refused { code, message: detail, retry_after_ms, trace },
        Err(_) if status >= 500 => Error::Network(format!("http status {status}")),
        Err(_) => Error::Protocol(format!("http status {status} without a code")),
    }
}

/// What log-in tells. Prints no secret.
#[derive(Clone, Deserialize)]
pub struct LoggedIn {
    #[serde(deserialize_with = "int64")]
    pub uid: i64,
    pub nickname: String,
    #[serde(deserialize_with = "int64")]
    pub session: i64,
    #[serde(default)]
    pub token: Option<String>,
    #[serde(default)]
    pub comet: Option<Comet>,
}

impl fmt::Debug for LoggedIn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LoggedIn").field("uid", &self.uid).field("session", &self.session).field("comet", &self.comet).finish()
    }
}

impl From<LoggedIn> for Account {
    fn from(logged_in: LoggedIn) -> Self {
        let LoggedIn { uid, nickname, session, token, comet } = logged_in;
        Self { uid, nickname, session, token, comet }
    }
}

/// Good once, for 60 seconds. Prints no secret.
#[derive(Clone, Deserialize)]
pub struct Ticket {
    pub ticket: String,
    #[serde(default)]
    pub comet: Option<Comet>,
}

impl fmt::Debug for Ticket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ticket").field("comet", &self.comet).finish()
    }
}

fn base_url(server: &str) -> Result<Url, Error> {
    let bad = || Error::BadAddress(server.to_owned());
    let url = Url::parse(server).map_err(|_| bad())?;
    if !matches!(url.scheme(), "http" | "https") || url.cannot_be_a_base() {
        return Err(bad());
    }
    url.join("/api/v1/").map_err(|_| bad())
}

/// 64-bit numbers are decimal strings in JSON; plain numbers are read too.
fn int64<'de, D: Deserializer<'de>>(deserializer: D) -> Result<i64, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Either {
        Number(i64),
        Text(String),
    }
    match Either::deserialize(deserializer)? {
        Either::Number(number) => Ok(number),
        Either::Text(text) => text.parse().map_err(serde::de::Error::custom),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn problems_keep_their_code() {
        let error = problem(403, br#"{"type":"/api/docs#disabled","status":403,"code":"disabled","detail":"no","trace":"t-1"}"#);
        assert_eq!(error.code(), "disabled");
        let error = problem(429, br#"{"code":"rate_limited","detail":"slow down","retry_after_ms":"1500","trace":"t"}"#);
        assert_eq!(error.retry(), crate::Retry::After(Duration::from_millis(1500)));
        assert_eq!(problem(502, b"<html>").code(), "network");
        assert_eq!(problem(404, b"<html>").code(), "protocol");
    }

    #[test]
    fn only_http_is_a_server() {
        for server in ["", "127.0.0.1:8080", "ftp://h", "file:///etc"] {
            assert!(Gate::new([server]).is_err(), "{server:?}");
        }
        assert!(Gate::new(["http://127.0.0.1:8080", "https://chat.example.org"]).is_ok());
    }

    #[test]
    fn secrets_are_not_printed() {
        let account = Account { uid: 1, nickname: "ann".into(), session: 2, token: Some("s3cret".into()), comet: None };
        assert!(!format!("{account:?}").contains("s3cret"));
    }
}
