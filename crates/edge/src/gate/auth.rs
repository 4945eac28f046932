//! Who calls: the session behind a bearer token or the cookie.
//!
//! Browsers hold only the cookie, which a page cannot read but any page can make the browser send; so a request that
//! changes something and carries only the cookie must come from an allowed origin. A bearer token needs no such check.

use super::Shared;
use super::address::ClientAddress;
use super::guard::Trace;
use super::problem::Problem;
use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue, header};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use skein_domain::account::Session;
use skein_domain::command::{AccountCommand, AccountReply};
use skein_domain::door::Caller;
use skein_protocol::ErrorCode;
use std::sync::Arc;

/// Name of the session cookie.
pub const COOKIE: &str = "skein_session";
/// As long as a session lives without being renewed.
const COOKIE_SECONDS: u64 = 30 * 24 * 3_600;
/// Longer ones are not asked about.
const SECRET_BYTES_MAX: usize = 256;

/// A verified session. No `Debug`: it holds the secret.
pub(super) struct Authenticated {
    pub caller: Caller,
    pub session: Session,
    pub secret: String,
    pub by_cookie: bool,
}

impl FromRequestParts<Arc<Shared>> for Authenticated {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &Arc<Shared>) -> Result<Self, Problem> {
        let (secret, by_cookie) = match (bearer(&parts.headers), cookie(&parts.headers)) {
            (Some(token), _) => (token.to_owned(), false),
            (None, Some(cookie)) => (cookie.to_owned(), true),
            (None, None) => return Err(Problem::unauthorized()),
        };
        if by_cookie && !parts.method.is_safe() {
            require_own_page(&parts.headers, state)?;
        }
        let Ok(address) = ClientAddress::from_request_parts(parts, state).await;
        let session = verify(state, &address, secret.clone()).await?.0;
        let trace = parts.extensions.get::<Trace>().and_then(|trace| trace.traceparent());
        let caller = Caller {
            uid: session.uid,
            session: session.id,
            class: session.class,
            connection: None,
            address: address.ip.to_string(),
            trace,
        };
        Ok(Self { caller, session, secret, by_cookie })
    }
}

/// The session and nickname of whoever holds `secret`.
pub(super) async fn verify(state: &Shared, address: &ClientAddress, secret: String) -> Result<(Session, String), Problem> {
    if !is_plausible(&secret) {
        return Err(Problem::unauthorized());
    }
    match state.account(address.origin(), AccountCommand::Verify { secret }).await? {
        AccountReply::Verified { session, nickname, .. } => Ok((session, nickname)),
        _ => Err(Problem::unexpected_reply()),
    }
}

pub(super) fn is_plausible(secret: &str) -> bool {
    (1..=SECRET_BYTES_MAX).contains(&secret.len()) && secret.bytes().all(|b| b.is_ascii_graphic())
}

/// The token of `Authorization: Bearer …`.
pub(super) fn bearer(headers: &HeaderMap) -> Option<&str> {
    let (scheme, token) = headers.get(header::AUTHORIZATION)?.to_str().ok()?.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}

fn cookie(headers: &HeaderMap) -> Option<&str> {
    let lines = headers.get_all(header::COOKIE).into_iter().filter_map(|value| value.to_str().ok());
    let mut pairs = lines.flat_map(|line| line.split(';')).filter_map(|pair| pair.trim().split_once('='));
    pairs.find(|(name, _)| *name == COOKIE).map(|(_, value)| value)
}

/// Host-only, because it names no domain.
pub(super) fn set_cookie(token: &str, https: bool) -> Result<HeaderValue, Problem> {
    let secure = if https { "; Secure" } else { "" };
    let text = format!("{COOKIE}={token}; Path=/; Max-Age={COOKIE_SECONDS}; HttpOnly; SameSite=Lax{secure}");
    let mut value = HeaderValue::try_from(text).map_err(|_| Problem::unexpected_reply())?;
    value.set_sensitive(true);
    Ok(value)
}

pub(super) fn clear_cookie(https: bool) -> HeaderValue {
    if https {
        HeaderValue::from_static("skein_session=; Path=/; Max-Age=0; HttpOnly; SameSite=Lax; Secure")
    } else {
        HeaderValue::from_static("skein_session=; Path=/; Max-Age=0; HttpOnly; SameSite=Lax")
    }
}

/// A browser's page of another site may neither act with the cookie nor plant one.
pub(super) fn require_own_page(headers: &HeaderMap, state: &Shared) -> Result<(), Problem> {
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    if text("sec-fetch-site") == Some("same-origin") {
        return Ok(());
    }
    let Some(origin) = text("origin").and_then(|origin| WebOrigin::try_from(origin.to_owned()).ok()) else {
        return Err(Problem::new(ErrorCode::Forbidden, "a request with the session cookie needs an Origin"));
    };
    let is_own = text("host").is_some_and(|host| origin.is_of(host, state.tls));
    if is_own || state.config.allowed_origins.contains(&origin) {
        return Ok(());
    }
    Err(Problem::new(ErrorCode::Forbidden, "this origin may not use the session cookie"))
}

/// Whether a browser's page sent this at all.
pub(super) fn is_from_page(headers: &HeaderMap) -> bool {
    headers.contains_key("origin") || headers.contains_key("sec-fetch-site")
}

/// Origin of a web page: scheme, host and port, nothing more.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "String", into = "String")]
#[schemars(with = "String")]
pub struct WebOrigin(String);

impl WebOrigin {
    /// Whether a page of this origin was served by `host`. Without TLS of our own a proxy may have added it.
    fn is_of(&self, host: &str, tls: bool) -> bool {
        let own = |scheme: &str| self.0.strip_prefix(scheme).is_some_and(|authority| authority.eq_ignore_ascii_case(host));
        own("https://") || (!tls && own("http://"))
    }
}

#[derive(Debug, thiserror::Error)]
#[error("{0:?} is not an origin such as https://chat.example.org")]
pub struct BadOrigin(String);

impl TryFrom<String> for WebOrigin {
    type Error = BadOrigin;

    fn try_from(text: String) -> Result<Self, BadOrigin> {
        let lower = text.to_ascii_lowercase();
        let authority = lower.strip_prefix("https://").or_else(|| lower.strip_prefix("http://")).unwrap_or_default();
        let is_authority = |b: u8| b.is_ascii_alphanumeric() || b".-_:[]".contains(&b);
        if authority.is_empty() || !authority.bytes().all(is_authority) {
            return Err(BadOrigin(text));
        }
        Ok(Self(lower))
    }
}

impl From<WebOrigin> for String {
    fn from(origin: WebOrigin) -> String {
        origin.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_origin_has_no_path_and_is_of_the_web() {
        for bad in ["", "null", "chat.example.org", "https://", "https://a/", "https://a b", "file://a", "*"] {
            assert!(WebOrigin::try_from(bad.to_owned()).is_err(), "{bad}");
        }
    }

    #[test]
    fn under_tls_a_plain_page_of_the_same_host_is_another_origin() {
        let origin = |text: &str| WebOrigin::try_from(text.to_owned()).unwrap();
        assert!(origin("http://Chat.example:8080").is_of("chat.example:8080", false));
        assert!(!origin("http://chat.example:8080").is_of("chat.example:8080", true));
        assert!(origin("https://chat.example").is_of("chat.example", true));
        assert!(!origin("https://chat.example.evil.example").is_of("chat.example", true));
    }
}
