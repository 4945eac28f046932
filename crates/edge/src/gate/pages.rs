//! The pages of a server without web client: welcome, API documentation, its description.

use super::html::{STYLE, document, html};
use super::{Shared, docs};
use axum::Router;
use axum::http::header;
use axum::response::Response;
use axum::routing::get;
use std::sync::{Arc, LazyLock};

const WELCOME: &str = include_str!("welcome.html");

pub(super) fn routes() -> Router<Arc<Shared>> {
    Router::new()
        .route("/api/docs", get(async || html(DOCS.clone())))
        .route("/api/v1/openapi.json", get(async || ([(header::CONTENT_TYPE, "application/json")], OPENAPI.clone())))
}

/// The first page of a server without web client.
pub(super) fn welcome() -> Response {
    html(WELCOME.replace("/*style*/", STYLE))
}

static DOCS: LazyLock<String> = LazyLock::new(|| document("Skein HTTP API", &docs::page(&docs::openapi())));
static OPENAPI: LazyLock<String> = LazyLock::new(docs::openapi_json);
