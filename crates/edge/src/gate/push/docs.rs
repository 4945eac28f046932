//! What the push API says about itself.

use super::super::docs::{describe_failures, endpoint_lines};
use super::super::{Shared, SharedState};
use super::api;
use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use std::sync::Arc;
use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityRequirement, SecurityScheme};
use utoipa::openapi::{InfoBuilder, OpenApi, OpenApiBuilder};

const PATH: &str = "/api/v1/push/openapi.json";

pub fn routes() -> axum::Router<Arc<Shared>> {
    axum::Router::new().route(PATH, get(served))
}

async fn served(_: SharedState) -> Response {
    let mut response = push_openapi_json().into_response();
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

/// The description of the push API, from the code that serves it.
pub fn push_openapi() -> OpenApi {
    let info = InfoBuilder::new()
        .title("Skein push API")
        .version(env!("CARGO_PKG_VERSION"))
        .description(Some(
            "Unicast, room and global push by one call, with an API key: `Authorization: Bearer <key>`. 64-bit numbers are decimal \
             strings on output and may be numbers on input. Failures are application/problem+json with stable codes. goim's own routes \
             under /goim answer beside these, as goim's documentation describes them.",
        ))
        .build();
    let mut openapi = OpenApiBuilder::new().info(info).security(Some([SecurityRequirement::new("api_key", [""; 0])])).build();
    openapi.merge(api::routes().into_openapi());
    describe_failures(&mut openapi);
    let key = HttpBuilder::new().scheme(HttpAuthScheme::Bearer).description(Some("An API key made by `skein admin key create`.")).build();
    openapi.components.get_or_insert_default().add_security_scheme("api_key", SecurityScheme::Http(key));
    openapi
}

/// The description as text; `docs/openapi-push.json` holds it.
pub fn push_openapi_json() -> String {
    serde_json::to_string_pretty(&push_openapi()).unwrap_or_default()
}

/// Markdown: method and path, and what it does.
pub fn push_endpoint_table() -> String {
    let mut table = String::from("| request | what it does |\n|---|---|\n");
    for (line, summary) in endpoint_lines(&push_openapi()) {
        table += &format!("| `{line}` | {summary} |\n");
    }
    table
}
