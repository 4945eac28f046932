//! The routes under `/api/v1`, by subject. Each handler turns a request into one command and its reply into JSON.

mod account;
mod contact;
mod conversation;
mod message;
mod profile;

use super::Shared;
use super::dto;
use super::extract::{Json, Parameters, PathId};
use super::int64::Int64;
use super::problem::Problem;
use super::{SharedState, auth::Authenticated};
use axum::http::StatusCode;
use serde::Deserialize;
use std::sync::Arc;
use utoipa::IntoParams;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

/// All routes of the public API and their description.
pub(super) fn api() -> OpenApiRouter<Arc<Shared>> {
    let api = OpenApiRouter::default()
        .merge(account::routes())
        .merge(profile::routes())
        .merge(contact::routes())
        .merge(conversation::routes())
        .merge(message::routes());
    OpenApiRouter::default().routes(routes!(health)).nest("/api/v1", api)
}

/// Whether the server answers at all
#[utoipa::path(get, path = "/health", tag = "server", security(()), responses((status = 200, body = Health)))]
async fn health() -> Json<Health> {
    Json(Health { status: "ok" })
}

#[derive(serde::Serialize, utoipa::ToSchema)]
struct Health {
    #[schema(example = "ok")]
    status: &'static str,
}

/// Takes the reply that belongs to the command.
macro_rules! expect_reply {
    ($call:expr, $pattern:pat => $value:expr) => {
        match $call {
            $pattern => Ok($value),
            _ => Err(Problem::unexpected_reply()),
        }
    };
}
use expect_reply;

type Answer<T> = Result<Json<T>, Problem>;
/// 204: done, and there is nothing to tell.
type Done = Result<StatusCode, Problem>;

const PAGE_DEFAULT: u32 = 20;
const PAGE_MAX: u32 = 100;

/// A page of a list.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
struct PageQuery {
    /// From the page before; empty: from the beginning.
    #[serde(default)]
    cursor: String,
    /// 1 to 100, default 20.
    count: Option<u32>,
}

fn page_count(count: Option<u32>) -> Result<u32, Problem> {
    match count.unwrap_or(PAGE_DEFAULT) {
        count @ 1..=PAGE_MAX => Ok(count),
        _ => Err(Problem::bad_request("count is 1 to 100")),
    }
}
