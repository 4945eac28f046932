//! The WebSocket upgrade: from an HTTP request to an [`Opening`].
//!
//! **Invariant:** a cookie counts only from an allowed `Origin`, because any page can make a browser send it; a token in the
//! `Authorization` header needs no such check.
//!
//! A credential is not judged here: the upgrade is always answered, and a refusal is a close that a browser can read.

use super::Config;
use super::session::{cut, is_plausible};
use super::wire::Form;
use crate::gate::{COOKIE, WebOrigin};
use axum::body::Body;
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, Response, StatusCode, header};
use axum::response::IntoResponse;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use skein_domain::door::Credential;
use skein_protocol::websocket::accept_key;
use skein_protocol::{Codec, ErrorCode};

/// Subprotocols a client may offer to choose the form of pushes after a cookie or header log-in.
const SUBPROTOCOLS: [(&str, Form); 2] = [("skein.json", Form::Text), ("skein.protobuf", Form::Frame(Codec::Protobuf))];

/// What the upgrade request said.
pub(crate) struct Opening {
    pub(super) form: Form,
    pub(super) credential: Option<Credential>,
    pub(super) client: String,
    /// A cookie from a page that may not use it.
    pub(super) forbidden: bool,
}

/// This is no WebSocket handshake (RFC 6455 section 4.2.1), or not now.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Refusal {
    pub status: StatusCode,
    pub detail: &'static str,
}

pub(crate) fn answer(method: &Method, headers: &HeaderMap, config: &Config, tls: bool) -> Result<(Response<Body>, Opening), Refusal> {
    let key = check(method, headers)?;
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    let told = response.headers_mut();
    told.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
    told.insert(header::CONNECTION, HeaderValue::from_static("Upgrade"));
    if let Ok(accept) = HeaderValue::try_from(accept_key(key)) {
        told.insert(header::SEC_WEBSOCKET_ACCEPT, accept);
    }
    let offered = SUBPROTOCOLS.iter().find(|(name, _)| lists(headers, header::SEC_WEBSOCKET_PROTOCOL, name));
    if let Some((name, _)) = offered {
        told.insert(header::SEC_WEBSOCKET_PROTOCOL, HeaderValue::from_static(name));
    }
    let form = offered.map_or(Form::Text, |(_, form)| *form);
    Ok((response, opening(headers, config, tls, form)))
}

fn check<'a>(method: &Method, headers: &'a HeaderMap) -> Result<&'a str, Refusal> {
    if method != Method::GET {
        return Err(refusal(StatusCode::METHOD_NOT_ALLOWED, "a websocket begins with GET"));
    }
    if !lists(headers, header::UPGRADE, "websocket") || !lists(headers, header::CONNECTION, "upgrade") {
        return Err(refusal(StatusCode::UPGRADE_REQUIRED, "this path speaks websocket"));
    }
    if text(headers, header::SEC_WEBSOCKET_VERSION) != Some("13") {
        return Err(refusal(StatusCode::UPGRADE_REQUIRED, "this server speaks websocket version 13"));
    }
    let key = text(headers, header::SEC_WEBSOCKET_KEY).unwrap_or_default();
    match STANDARD.decode(key) {
        Ok(bytes) if bytes.len() == 16 => Ok(key),
        _ => Err(refusal(StatusCode::BAD_REQUEST, "Sec-WebSocket-Key is not 16 bytes in base64")),
    }
}

fn opening(headers: &HeaderMap, config: &Config, tls: bool, form: Form) -> Opening {
    let client = cut(text(headers, header::USER_AGENT).unwrap_or_default());
    let none = Opening { form, credential: None, client, forbidden: false };
    if let Some(token) = bearer(headers) {
        return Opening { credential: Some(Credential::Token(token.to_owned())), ..none };
    }
    match cookie(headers) {
        Some(cookie) if is_own_page(headers, config, tls) => Opening { credential: Some(Credential::Cookie(cookie.to_owned())), ..none },
        Some(_) => Opening { forbidden: true, ..none },
        None => none,
    }
}

fn bearer(headers: &HeaderMap) -> Option<&str> {
    let (scheme, token) = text(headers, header::AUTHORIZATION)?.split_once(' ')?;
    let token = token.trim();
    (scheme.eq_ignore_ascii_case("bearer") && is_plausible(token)).then_some(token)
}

fn cookie(headers: &HeaderMap) -> Option<&str> {
    let lines = headers.get_all(header::COOKIE).into_iter().filter_map(|value| value.to_str().ok());
    let mut pairs = lines.flat_map(|line| line.split(';')).filter_map(|pair| pair.trim().split_once('='));
    pairs.find(|(name, value)| *name == COOKIE && is_plausible(value)).map(|(_, value)| value)
}

/// The page was served by this host, or its origin is in the configuration.
fn is_own_page(headers: &HeaderMap, config: &Config, tls: bool) -> bool {
    let Some(origin) = text(headers, header::ORIGIN) else {
        return false;
    };
    let own = |scheme: &str| {
        let authority = origin.strip_prefix(scheme);
        authority.zip(text(headers, header::HOST)).is_some_and(|(authority, host)| authority.eq_ignore_ascii_case(host))
    };
    // Without TLS of our own a proxy may have added it.
    let is_own = own("https://") || (!tls && own("http://"));
    is_own || WebOrigin::try_from(origin.to_owned()).is_ok_and(|origin| config.allowed_origins.contains(&origin))
}

fn text(headers: &HeaderMap, name: HeaderName) -> Option<&str> {
    headers.get(name)?.to_str().ok()
}

/// Whether a comma-separated header holds the word.
fn lists(headers: &HeaderMap, name: HeaderName, word: &str) -> bool {
    let lines = headers.get_all(name).into_iter().filter_map(|value| value.to_str().ok());
    lines.flat_map(|line| line.split(',')).any(|item| item.trim().eq_ignore_ascii_case(word))
}

fn refusal(status: StatusCode, detail: &'static str) -> Refusal {
    Refusal { status, detail }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response<Body> {
        let Self { status, detail } = self;
        let code = if status.is_server_error() { ErrorCode::Draining } else { ErrorCode::BadRequest };
        let problem = serde_json::json!({
            "type": "about:blank",
            "title": code.meaning(),
            "status": status.as_u16(),
            "code": code.as_str(),
            "detail": detail,
        });
        let mut response = Response::new(Body::from(problem.to_string()));
        *response.status_mut() = status;
        let told = response.headers_mut();
        told.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        if status == StatusCode::UPGRADE_REQUIRED {
            told.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
            told.insert(header::CONNECTION, HeaderValue::from_static("Upgrade"));
            told.insert(header::SEC_WEBSOCKET_VERSION, HeaderValue::from_static("13"));
        }
        response
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        let handshake = [
            ("upgrade", "WebSocket"),
            ("connection", "keep-alive, Upgrade"),
            ("sec-websocket-version", "13"),
            ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ=="),
            ("host", "chat.example:8080"),
        ];
        let mut headers = HeaderMap::new();
        for (name, value) in handshake.iter().chain(pairs) {
            headers.insert(*name, HeaderValue::from_static(value));
        }
        headers
    }

    fn opened(pairs: &[(&'static str, &'static str)], tls: bool) -> Opening {
        let config = Config { allowed_origins: vec!["https://app.example".to_owned().try_into().unwrap()], ..Config::default() };
        answer(&Method::GET, &headers(pairs), &config, tls).ok().unwrap().1
    }

    #[test]
    fn the_sample_handshake_of_the_rfc_is_accepted() {
        let (response, _) = answer(&Method::GET, &headers(&[]), &Config::default(), false).ok().unwrap();
        assert_eq!(response.status(), StatusCode::SWITCHING_PROTOCOLS);
        assert_eq!(response.headers()["sec-websocket-accept"], "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
    }

    #[test]
    fn what_is_no_handshake_is_refused_over_http() {
        let status =
            |method: Method, pairs: &[(&'static str, &'static str)]| match answer(&method, &headers(pairs), &Config::default(), false) {
                Ok(_) => StatusCode::SWITCHING_PROTOCOLS,
                Err(refusal) => refusal.status,
            };
        assert_eq!(status(Method::POST, &[]), StatusCode::METHOD_NOT_ALLOWED);
        assert_eq!(status(Method::GET, &[("upgrade", "h2c")]), StatusCode::UPGRADE_REQUIRED);
        assert_eq!(status(Method::GET, &[("connection", "close")]), StatusCode::UPGRADE_REQUIRED);
        assert_eq!(status(Method::GET, &[("sec-websocket-version", "8")]), StatusCode::UPGRADE_REQUIRED);
        assert_eq!(status(Method::GET, &[("sec-websocket-key", "short")]), StatusCode::BAD_REQUEST);
    }

    #[test]
    fn a_cookie_counts_only_from_an_allowed_page() {
        let with = |origin: &'static str, tls| {
            let opening = opened(&[("cookie", "a=b; skein_session=s3cret"), ("origin", origin)], tls);
            (opening.credential.is_some(), opening.forbidden)
        };
        assert_eq!(with("http://chat.example:8080", false), (true, false));
        assert_eq!(with("http://chat.example:8080", true), (false, true));
        assert_eq!(with("https://app.example", true), (true, false));
        assert_eq!(with("https://evil.example", false), (false, true));
        assert_eq!(with("null", false), (false, true));
        assert!(opened(&[("cookie", "skein_session=s3cret")], false).forbidden, "no origin at all");
    }

    #[test]
    fn a_header_needs_no_origin_and_nothing_waits_for_op_7() {
        let opening = opened(&[("authorization", "Bearer t0ken"), ("origin", "https://evil.example")], false);
        assert!(opening.credential.is_some_and(|credential| credential == Credential::Token("t0ken".into())));
        let opening = opened(&[("origin", "https://evil.example")], false);
        assert!(opening.credential.is_none() && !opening.forbidden);
    }

    #[test]
    fn the_subprotocol_chooses_the_form() {
        assert_eq!(opened(&[("sec-websocket-protocol", "x, skein.protobuf")], false).form, Form::Frame(Codec::Protobuf));
        assert_eq!(opened(&[("sec-websocket-protocol", "skein.json")], false).form, Form::Text);
        assert_eq!(opened(&[], false).form, Form::Text);
    }
}
