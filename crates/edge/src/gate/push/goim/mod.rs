//! goim's HTTP routes, with goim's JSON, codes and statuses (goim `internal/logic/http`, gin 1.7).
//!
//! Every answer is `{"code","message","data"}`: 0, or -400 for a request goim refuses, or -500 for a push that failed; the
//! status is 200 but for a query that cannot be read, which goim answers with 400. What goim does not know has codes and
//! statuses of its own: -401, -403, -413 and -429.
//!
//! **Invariant:** a caller who uses nothing of ours gets nothing but goim's bytes: `data` tells of a push only when one of
//! the parameters `durable`, `key`, `not_before`, `ttl_ms` or `dry_run` was given.

mod answer;
mod nodes;
mod online;
mod push;
mod query;

use super::super::Shared;
use super::super::address::ClientAddress;
use super::ask::Asker;
use answer::failed;
use axum::extract::{FromRequestParts, Request};
use axum::http::StatusCode;
use axum::http::request::Parts;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Extension, Router};
use skein_domain::live::Pusher;
use std::sync::Arc;

/// Who may come.
#[derive(Clone, Copy)]
pub enum Stance {
    /// Whoever reaches the listener.
    Open,
    /// Whoever shows an API key.
    Keyed,
}

pub fn routes(stance: Stance) -> Router<Arc<Shared>> {
    Router::new()
        .route("/push/keys", post(push::keys))
        .route("/push/mids", post(push::mids))
        .route("/push/room", post(push::room))
        .route("/push/all", post(push::all))
        .route("/online/top", get(online::top))
        .route("/online/room", get(online::room))
        .route("/online/total", get(online::total))
        .route("/nodes/weighted", get(nodes::weighted))
        .route("/nodes/instances", get(nodes::instances))
        .fallback(not_found)
        .method_not_allowed_fallback(not_found)
        .layer(Extension(stance))
}

/// As gin says it, for wrong methods too.
pub async fn not_found() -> Response {
    answer::verbatim((StatusCode::NOT_FOUND, [("content-type", "text/plain")], "404 page not found").into_response())
}

/// Who calls one of these routes.
struct Caller(Asker);

impl FromRequestParts<Arc<Shared>> for Caller {
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, state: &Arc<Shared>) -> Result<Self, Response> {
        let Ok(from) = ClientAddress::from_request_parts(parts, state).await;
        match parts.extensions.get() {
            Some(Stance::Open) => Ok(Self(Asker { pusher: Pusher::Open, from })),
            _ => Asker::with_key(state, &parts.headers, from).await.map(Self).map_err(failed),
        }
    }
}

fn query_of(request: &Request) -> query::Query {
    query::Query::parse(request.uri().query().unwrap_or_default())
}
