//! What wraps every request: request id and span, bounds on number and time, panics, security headers, problems.
//!
//! **Bound:** `in_flight_max` requests at once, one more is answered `busy`; `request_timeout_ms` each, then `timeout`.

use super::Shared;
use super::problem::Problem;
use axum::body::Body;
use axum::extract::{MatchedPath, Request};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use axum::{Router, middleware};
use futures_util::FutureExt;
use skein_domain::Error;
use skein_protocol::ErrorCode;
use std::hash::{BuildHasher, RandomState};
use std::panic::AssertUnwindSafe;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, LazyLock};
use std::time::{Duration, Instant};
use tracing::Instrument;

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
const API_POLICY: &str = "default-src 'none'; frame-ancestors 'none'";

pub(super) fn wrap(router: Router, state: Arc<Shared>) -> Router {
    router.fallback(async || StatusCode::NOT_FOUND).layer(middleware::from_fn_with_state(state, guard))
}

/// W3C trace context of a request: the caller's if it sent a sound one, else a new one.
#[derive(Clone)]
pub(super) struct Trace {
    parent: String,
}

impl Trace {
    pub fn parent(&self) -> &str {
        &self.parent
    }

    /// The trace's own id; also the request id.
    pub fn id(&self) -> &str {
        self.parent.split('-').nth(1).unwrap_or_default()
    }

    fn of(headers: &HeaderMap) -> Self {
        let sent = headers.get("traceparent").and_then(|value| value.to_str().ok());
        let parent = sent.filter(|text| is_traceparent(text)).map_or_else(new_traceparent, str::to_owned);
        Self { parent }
    }
}

/// `00-<32 hex>-<16 hex>-<2 hex>`, ids not zero.
fn is_traceparent(text: &str) -> bool {
    let hex = |part: &str, length| part.len() == length && part.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
    let id = |part: &str, length| hex(part, length) && part.bytes().any(|b| b != b'0');
    let parts: Vec<&str> = text.split('-').collect();
    matches!(parts[..], ["00", trace, span, flags] if id(trace, 32) && id(span, 16) && hex(flags, 2))
}

/// Unique, not secret: a counter hashed with keys the process drew at its start.
fn new_traceparent() -> String {
    static KEYS: LazyLock<[RandomState; 3]> = LazyLock::new(Default::default);
    static COUNT: AtomicU64 = AtomicU64::new(0);
    let count = COUNT.fetch_add(1, Ordering::Relaxed);
    let [high, low, span] = [0, 1, 2].map(|i| KEYS[i].hash_one(count).max(1));
    format!("00-{high:016x}{low:016x}-{span:016x}-01")
}

async fn guard(state: axum::extract::State<Arc<Shared>>, mut request: Request, next: Next) -> Response {
    let trace = Trace::of(request.headers());
    let method = request.method().clone();
    let route = request.extensions().get::<MatchedPath>().map_or("unmatched", |path| path.as_str()).to_owned();
    request.extensions_mut().insert(trace.clone());

    // The path is left out: only the route is known to hold nothing personal.
    let span = tracing::info_span!("http", %method, route, trace = trace.id());
    let started = Instant::now();
    let answer = answer(&state, request, next).instrument(span).await;
    let response = finish(answer, &trace);

    count(&method, route, response.status(), started.elapsed());
    response
}

async fn answer(state: &Shared, request: Request, next: Next) -> Response {
    let Ok(_permit) = state.in_flight.try_acquire() else {
        return Problem::new(ErrorCode::Busy, "too many requests at the same time").retry_after(1_000).into_response();
    };
    let limit = Duration::from_millis(u64::from(state.config.request_timeout_ms.get()));
    // A handler shares nothing but `Shared`, which has no state that a panic could leave half-changed.
    let handled = AssertUnwindSafe(next.run(request)).catch_unwind();
    match tokio::time::timeout(limit, handled).await {
        Ok(Ok(response)) => response,
        Ok(Err(_panic)) => {
            tracing::error!("a request handler panicked");
            Problem::from(Error::internal()).into_response()
        }
        Err(_late) => Problem::new(ErrorCode::Timeout, "the request was not answered in time").into_response(),
    }
}

/// Renders the problem, if it is one, and adds the headers that every response has.
fn finish(mut response: Response, trace: &Trace) -> Response {
    let status = response.status();
    let is_failure = status.is_client_error() || status.is_server_error();
    let problem = response.extensions_mut().remove::<Problem>().or_else(|| is_failure.then(|| Problem::from_status(status)));
    if let Some(problem) = problem {
        tracing::debug!(code = problem.code.as_str(), trace = trace.id(), "request failed");
        let body = serde_json::to_vec(&problem.body(trace.id())).unwrap_or_default();
        response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        response.headers_mut().remove(header::CONTENT_LENGTH);
        *response.body_mut() = Body::from(body);
    }
    let headers = response.headers_mut();
    if let Ok(id) = HeaderValue::from_str(trace.id()) {
        headers.insert(REQUEST_ID, id);
    }
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(header::REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    headers.insert(header::X_FRAME_OPTIONS, HeaderValue::from_static("DENY"));
    headers.insert("cross-origin-resource-policy", HeaderValue::from_static("same-origin"));
    headers.entry(header::CONTENT_SECURITY_POLICY).or_insert(HeaderValue::from_static(API_POLICY));
    headers.entry(header::CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    response
}

fn count(method: &Method, route: String, status: StatusCode, took: Duration) {
    let method = match method.as_str() {
        known @ ("GET" | "HEAD" | "POST" | "PUT" | "PATCH" | "DELETE" | "OPTIONS") => known.to_owned(),
        // Any token is a method; labels must stay few.
        _ => "other".to_owned(),
    };
    let labels = [("method", method), ("route", route), ("status", status.as_u16().to_string())];
    metrics::counter!("skein_http_requests_total", &labels).increment(1);
    metrics::histogram!("skein_http_request_seconds", &labels).record(took.as_secs_f64());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn own_trace_parents_are_sound_and_differ() {
        let (a, b) = (new_traceparent(), new_traceparent());
        assert!(is_traceparent(&a) && is_traceparent(&b), "{a} {b}");
        assert_ne!(a, b);
    }

    #[test]
    fn unsound_trace_parents_are_not_taken_over() {
        let sound = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
        assert!(is_traceparent(sound));
        let zero = "00-00000000000000000000000000000000-b7ad6b7169203331-01".to_owned();
        for unsound in ["".to_owned(), "00-1-2-3".to_owned(), sound.to_uppercase(), format!("{sound}-00"), zero] {
            assert!(!is_traceparent(&unsound), "{unsound}");
        }
    }
}
