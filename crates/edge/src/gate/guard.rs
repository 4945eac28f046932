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
use skein_domain::trace::{Sampling, Trace as Hop, TraceId};
use skein_protocol::ErrorCode;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tracing::Instrument;

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
const API_POLICY: &str = "default-src 'none'; frame-ancestors 'none'";

pub(super) fn wrap(router: Router, state: Arc<Shared>) -> Router {
    around(router.fallback(async || StatusCode::NOT_FOUND), state)
}

/// For a router with a fallback of its own.
pub(super) fn around(router: Router, state: Arc<Shared>) -> Router {
    router.layer(middleware::from_fn_with_state(state, guard))
}

/// In a response's extensions: a contract that is not ours says how this failure looks.
#[derive(Clone, Copy)]
pub(super) struct Verbatim;

/// What names a request, to the client and in the log, and the hop it is if it is traced.
#[derive(Clone, Copy)]
pub(super) struct Trace {
    id: TraceId,
    hop: Option<Hop>,
}

impl Trace {
    /// The trace's own id; also the request id.
    pub fn id(&self) -> TraceId {
        self.id
    }

    /// For the next hop.
    pub fn traceparent(&self) -> Option<String> {
        self.hop.map(|hop| hop.to_string())
    }

    /// Takes over the name a client gave, if it is sound. Whether it is traced is decided here.
    fn of(headers: &HeaderMap, sampling: Sampling) -> Self {
        let sent = headers.get("traceparent").and_then(|value| value.to_str().ok()).and_then(Hop::parse);
        match sent {
            Some((client, is_traced)) => Self { id: client.id(), hop: is_traced.then(|| sampling.follow(client)).flatten() },
            None => {
                let hop = sampling.begin();
                Self { id: hop.map_or_else(TraceId::new, |hop| hop.id()), hop }
            }
        }
    }

    /// The path is left out: only the route is known to hold nothing personal.
    fn span(&self, method: &Method, route: &str) -> tracing::Span {
        let parent = self.hop.and_then(|hop| hop.parent()).map(tracing::field::display);
        tracing::info_span!("http", %method, route, request = %self.id, trace = self.hop.map(tracing::field::display), parent)
    }
}

async fn guard(state: axum::extract::State<Arc<Shared>>, mut request: Request, next: Next) -> Response {
    let trace = Trace::of(request.headers(), state.sampling);
    let method = request.method().clone();
    let route = request.extensions().get::<MatchedPath>().map_or("unmatched", |path| path.as_str()).to_owned();
    request.extensions_mut().insert(trace);

    let span = trace.span(&method, &route);
    let started = Instant::now();
    let answer = answer(&state, request, next).instrument(span.clone()).await;
    let response = span.in_scope(|| finish(answer, trace.id()));

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
fn finish(mut response: Response, id: TraceId) -> Response {
    let id = id.to_string();
    let status = response.status();
    let is_verbatim = response.extensions_mut().remove::<Verbatim>().is_some();
    let is_failure = !is_verbatim && (status.is_client_error() || status.is_server_error());
    let problem = response.extensions_mut().remove::<Problem>().or_else(|| is_failure.then(|| Problem::from_status(status)));
    if let Some(problem) = problem {
        tracing::debug!(code = problem.code.as_str(), "request failed");
        let body = serde_json::to_vec(&problem.body(&id)).unwrap_or_default();
        response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        response.headers_mut().remove(header::CONTENT_LENGTH);
        *response.body_mut() = Body::from(body);
    }
    let headers = response.headers_mut();
    if let Ok(id) = HeaderValue::from_str(&id) {
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
