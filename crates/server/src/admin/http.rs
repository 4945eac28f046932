//! The admin HTTP listener: health (the process lives), readiness (it does its work), metrics.

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use axum::routing::get;
use metrics_exporter_prometheus::PrometheusHandle;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

#[derive(Clone)]
pub struct AdminHttp {
    pub metrics: PrometheusHandle,
    pub ready: Arc<AtomicBool>,
}

pub fn router(state: AdminHttp) -> Router {
    Router::new().route("/health", get("ok")).route("/ready", get(ready)).route("/metrics", get(metrics)).with_state(state)
}

async fn ready(State(state): State<AdminHttp>) -> (StatusCode, &'static str) {
    if state.ready.load(Ordering::Acquire) { (StatusCode::OK, "ready") } else { (StatusCode::SERVICE_UNAVAILABLE, "starting or draining") }
}

async fn metrics(State(state): State<AdminHttp>) -> impl IntoResponse {
    state.metrics.run_upkeep();
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4")], state.metrics.render())
}
