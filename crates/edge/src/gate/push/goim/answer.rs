//! goim's answers, as gin writes them.

use super::super::super::guard::Verbatim;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use skein_domain::{Code, Error};

const JSON: &str = "application/json; charset=utf-8";
/// gin has sent the header by then, without a type, so that Go looks at the text.
const SNIFFED: &str = "text/plain; charset=utf-8";

#[derive(Serialize)]
struct Body<'a, T> {
    code: i32,
    message: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    data: Option<T>,
}

pub fn done() -> Response {
    written(StatusCode::OK, JSON, 0, "", None::<()>)
}

pub fn data<T: Serialize>(data: T) -> Response {
    written(StatusCode::OK, JSON, 0, "", Some(data))
}

/// A request goim refuses after it could read the query.
pub fn refused(message: &str) -> Response {
    written(StatusCode::OK, JSON, -400, message, None::<()>)
}

/// The query could not be read.
pub fn unbound(message: &str) -> Response {
    written(StatusCode::BAD_REQUEST, SNIFFED, -400, message, None::<()>)
}

pub fn failed(error: Error) -> Response {
    let (status, code) = match error.code {
        Code::Unauthorized => (StatusCode::UNAUTHORIZED, -401),
        Code::Forbidden | Code::Disabled => (StatusCode::FORBIDDEN, -403),
        Code::TooLarge => (StatusCode::PAYLOAD_TOO_LARGE, -413),
        Code::RateLimited | Code::QuotaExceeded | Code::Busy => (StatusCode::TOO_MANY_REQUESTS, -429),
        Code::BadRequest | Code::Unsupported | Code::NotFound | Code::IdempotencyConflict => (StatusCode::OK, -400),
        _ => (StatusCode::OK, -500),
    };
    let mut response = written(status, JSON, code, &error.message, None::<()>);
    if let Some(ms) = error.retry_after_ms {
        response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(ms.max(0).saturating_add(999) / 1_000));
    }
    if status == StatusCode::UNAUTHORIZED {
        response.headers_mut().insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
    }
    response
}

fn written<T: Serialize>(status: StatusCode, kind: &'static str, code: i32, message: &str, data: Option<T>) -> Response {
    let text = serde_json::to_string(&Body { code, message, data }).unwrap_or_default();
    verbatim((status, [(header::CONTENT_TYPE, kind)], as_go_writes(text)).into_response())
}

/// Says to the guard that the body is meant as it is, also when the status is that of a failure.
pub fn verbatim(mut response: Response) -> Response {
    response.extensions_mut().insert(Verbatim);
    response
}

/// Go escapes for HTML; these characters are in no JSON but inside its strings.
fn as_go_writes(json: String) -> String {
    if !json.contains(['<', '>', '&', '\u{2028}', '\u{2029}']) {
        return json;
    }
    let mut escaped = String::with_capacity(json.len() + 16);
    for c in json.chars() {
        match c {
            '<' => escaped.push_str("\\u003c"),
            '>' => escaped.push_str("\\u003e"),
            '&' => escaped.push_str("\\u0026"),
            '\u{2028}' => escaped.push_str("\\u2028"),
            '\u{2029}' => escaped.push_str("\\u2029"),
            other => escaped.push(other),
        }
    }
    escaped
}
