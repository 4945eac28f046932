//! The push API: goim's HTTP routes, and one call for unicast, room and everyone.
//!
//! Owns the HTTP shape of pushing: how a call is read, bounded and answered. Who may push, to whom, and how often is
//! judged behind the [`Logic`] door, which is shown the caller's key as it came.
//!
//! - [`goim`]: `/goim/…`, byte for byte as goim answers; on the keyless listener and beside the API.
//! - [`api`]: `/api/v1/push…`, JSON with problems; [`dto`] is its contract, [`docs`] its OpenAPI.
//! - [`verify`]: `POST /logic/verify` for other gateways, with the same keys.
//! - [`ask`]: the one way to the door, within its deadline.
//!
//! **Invariant:** on the keyed listener nothing but the OpenAPI answers without a key, and a key is never read from a URL.
//!
//! **Bound:** [`REQUEST_BYTES_MAX`] a request, [`MESSAGE_BYTES_MAX`] a message, [`RECEIVERS_MAX`] receivers a push,
//! [`REQUESTS_MAX`] pushes a request; beyond each the answer is `too_large` or `bad_request`. Time and number of requests are
//! the guard's.
//!
//! [`Logic`]: skein_domain::door::Logic

mod api;
mod ask;
mod docs;
mod dto;
mod goim;
mod key;
mod verify;

pub use docs::{push_endpoint_table, push_openapi, push_openapi_json};

use super::{Gate, Shared, guard};
use axum::Router;
use goim::Stance;
pub use skein_domain::live::MESSAGE_BYTES_MAX;
use skein_domain::live::{RECEIVERS_MAX, REQUESTS_MAX};
use std::sync::Arc;

/// Longest request.
pub const REQUEST_BYTES_MAX: u32 = 1024 * 1024;

/// Everything that needs an API key: the push API, goim's routes, `POST /logic/verify`.
pub fn push_router(gate: Gate) -> Router {
    let state = shared(gate);
    let (api, _) = api::routes().split_for_parts();
    let router = api.merge(docs::routes()).nest("/goim", goim::routes(Stance::Keyed));
    guard::wrap(router.with_state(state.clone()), state)
}

/// goim's routes for everybody who reaches the listener.
pub fn open_push_router(gate: Gate) -> Router {
    let state = shared(gate);
    let router = Router::new().nest("/goim", goim::routes(Stance::Open)).fallback(goim::not_found);
    guard::around(router.with_state(state.clone()), state)
}

fn shared(mut gate: Gate) -> Arc<Shared> {
    gate.config.body_bytes_max = REQUEST_BYTES_MAX;
    Arc::new(Shared::new(gate))
}
