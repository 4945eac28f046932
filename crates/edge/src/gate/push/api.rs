//! `/api/v1/push…`: each call is one command, its reply JSON, its failure a problem.

use super::super::extract::{Json, JsonText, Parameters};
use super::super::problem::Problem;
use super::super::{Shared, SharedState};
use super::ask::{Asker, about_keys, unexpected_reply};
use super::dto::{BatchBody, BatchOutcomes, Node, Nodes, Outcome, PushBody, Pushed, Receipt, RoomCount, RoomCounts, Total};
use super::{RECEIVERS_MAX, REQUESTS_MAX, verify};
use axum::extract::Path;
use axum::http::HeaderMap;
use serde::Deserialize;
use skein_domain::live::{PushCommand, PushOutcome, PushReply, PushRequest, RoomName};
use std::sync::Arc;
use utoipa::IntoParams;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

const TOP_DEFAULT: u32 = 20;
const TOP_MAX: u32 = 1_000;

type Answer<T> = Result<Json<T>, Problem>;

pub fn routes() -> OpenApiRouter<Arc<Shared>> {
    OpenApiRouter::default()
        .routes(routes!(push))
        .routes(routes!(batch))
        .routes(routes!(receipt))
        .routes(routes!(rooms))
        .routes(routes!(total))
        .routes(routes!(nodes))
        .layer(axum::middleware::map_response(about_keys))
        .routes(routes!(verify::verify))
}

/// Push one message to users, a room, everyone, or goim connections
#[utoipa::path(post, path = "/api/v1/push", tag = "push", request_body = PushBody, responses((status = 200, body = Pushed)),
    params(("Idempotency-Key" = Option<String>, Header, description = "The same as the field idempotency_key")))]
async fn push(state: SharedState, asker: Asker, headers: HeaderMap, JsonText(body): JsonText) -> Answer<Pushed> {
    let request = request_of(&body, idempotency_header(&headers)?)?;
    match asker.push_one(&state, request).await? {
        PushOutcome::Accepted { push, stored, would_reach, repeated } => Ok(Json(Pushed::new(push, stored, would_reach, repeated))),
        PushOutcome::Refused { error } => Err(error.into()),
    }
}

/// Push up to 100 messages; each stands alone
#[utoipa::path(post, path = "/api/v1/push/batch", tag = "push", request_body = BatchBody, responses((status = 200, body = BatchOutcomes)))]
async fn batch(state: SharedState, asker: Asker, JsonText(body): JsonText) -> Answer<BatchOutcomes> {
    let pushes = BatchBody::read(&body)?;
    if !(1..=REQUESTS_MAX).contains(&pushes.len()) {
        return Err(Problem::bad_request(format!("a batch has 1 to {REQUESTS_MAX} pushes")));
    }
    let read: Vec<Result<PushRequest, Problem>> = pushes.iter().map(|push| request_of(push.get().as_bytes(), None)).collect();
    let sound: Vec<PushRequest> = read.iter().filter_map(|request| request.as_ref().ok().cloned()).collect();
    let outcomes = if sound.is_empty() { Vec::new() } else { asker.push(&state, sound).await? };
    let mut outcomes = outcomes.into_iter();
    let outcomes = read.into_iter().map(|request| match request {
        Ok(_) => outcomes.next().map_or_else(|| Outcome::from(unexpected_reply()), Outcome::from),
        Err(problem) => Outcome::from(problem),
    });
    Ok(Json(BatchOutcomes { outcomes: outcomes.collect() }))
}

fn request_of(json: &[u8], header_key: Option<&str>) -> Result<PushRequest, Problem> {
    Ok(PushBody::read(json)?.into_request(header_key)?)
}

fn idempotency_header(headers: &HeaderMap) -> Result<Option<&str>, Problem> {
    let unreadable = || Problem::bad_request("the header Idempotency-Key is not ASCII");
    headers.get("idempotency-key").map(|value| value.to_str().map_err(|_| unreadable())).transpose()
}

/// What became of a push, for ten minutes
#[utoipa::path(get, path = "/api/v1/push/{id}", tag = "push", responses((status = 200, body = Receipt)),
    params(("id" = String, Path, description = "The push_id of the answer")))]
async fn receipt(state: SharedState, asker: Asker, Path(push): Path<String>) -> Answer<Receipt> {
    match asker.ask(&state, PushCommand::Receipt { push }).await? {
        PushReply::Receipt { receipt } => Ok(Json(receipt.into())),
        _ => Err(unexpected_reply().into()),
    }
}

#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
struct RoomsQuery {
    /// These rooms, separated by commas; at most 1,000.
    rooms: Option<String>,
    /// Or the fullest rooms whose names begin so.
    prefix: Option<String>,
    /// How many of those, 1 to 1,000; default 20.
    limit: Option<u32>,
}

/// How many are in live rooms
#[utoipa::path(get, path = "/api/v1/push/rooms", tag = "online", params(RoomsQuery), responses((status = 200, body = RoomCounts)))]
async fn rooms(state: SharedState, asker: Asker, query: Result<Parameters<RoomsQuery>, Problem>) -> Answer<RoomCounts> {
    let command = match query?.0 {
        RoomsQuery { rooms: Some(rooms), prefix: None, limit: None } => PushCommand::Rooms { rooms: named_rooms(&rooms)? },
        RoomsQuery { rooms: None, prefix, limit } => {
            let limit = limit.unwrap_or(TOP_DEFAULT);
            if !(1..=TOP_MAX).contains(&limit) {
                return Err(Problem::bad_request(format!("limit is 1 to {TOP_MAX}")));
            }
            PushCommand::Top { prefix: prefix.unwrap_or_default(), limit }
        }
        _ => return Err(Problem::bad_request("ask either about rooms, or with prefix and limit")),
    };
    match asker.ask(&state, command).await? {
        PushReply::Counts { rooms } => {
            let count = |(room, online): (RoomName, u32)| RoomCount { room: room.as_str().to_owned(), online };
            Ok(Json(RoomCounts { rooms: rooms.into_iter().map(count).collect() }))
        }
        _ => Err(unexpected_reply().into()),
    }
}

fn named_rooms(text: &str) -> Result<Vec<RoomName>, Problem> {
    let names: Vec<&str> = text.split(',').collect();
    if names.len() > RECEIVERS_MAX {
        return Err(Problem::bad_request(format!("one call asks about at most {RECEIVERS_MAX} rooms")));
    }
    Ok(names.into_iter().map(RoomName::parse).collect::<skein_domain::Result<_>>()?)
}

/// How many connections and addresses are online
#[utoipa::path(get, path = "/api/v1/push/total", tag = "online", responses((status = 200, body = Total)))]
async fn total(state: SharedState, asker: Asker) -> Answer<Total> {
    match asker.ask(&state, PushCommand::Total).await? {
        PushReply::Total { connections, addresses } => Ok(Json(Total { connections, addresses })),
        _ => Err(unexpected_reply().into()),
    }
}

/// Nodes where clients connect
#[utoipa::path(get, path = "/api/v1/push/nodes", tag = "online", responses((status = 200, body = Nodes)))]
async fn nodes(state: SharedState, asker: Asker) -> Answer<Nodes> {
    match asker.ask(&state, PushCommand::Instances).await? {
        PushReply::Nodes { nodes } => Ok(Json(Nodes { nodes: nodes.into_iter().map(Node::from).collect() })),
        _ => Err(unexpected_reply().into()),
    }
}
