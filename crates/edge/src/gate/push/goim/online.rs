//! `GET /goim/online/…`: how many are connected.

use super::super::super::{Shared, SharedState};
use super::super::RECEIVERS_MAX;
use super::super::ask::{Asker, unexpected_reply};
use super::answer::{data, failed, unbound};
use super::query::require;
use super::{Caller, query_of};
use axum::extract::Request;
use axum::response::Response;
use serde::Serialize;
use skein_domain::live::{PushCommand, PushReply, RoomName};
use skein_domain::{Code, Error, Result};
use std::collections::BTreeMap;

/// Rooms told of at once.
const TOP_MAX: u32 = 1_000;

#[derive(Serialize)]
struct Top<'a> {
    room_id: &'a str,
    count: u32,
}

pub async fn top(state: SharedState, Caller(asker): Caller, request: Request) -> Response {
    let query = query_of(&request);
    let prefix = query.text("type").to_owned();
    let read = query.number::<i64>("limit").and_then(|limit| {
        require(&[("Type", !prefix.is_empty()), ("Limit", limit != 0)])?;
        Ok(limit)
    });
    let limit = match read {
        Ok(limit) => u32::try_from(limit).unwrap_or(if limit < 0 { 0 } else { TOP_MAX }).min(TOP_MAX),
        Err(message) => return unbound(&message),
    };
    match counts(&state, &asker, PushCommand::Top { prefix, limit }).await {
        Ok(rooms) => data(rooms.iter().map(|(room, count)| Top { room_id: host(room.as_str()), count: *count }).collect::<Vec<_>>()),
        Err(error) => failed(error),
    }
}

pub async fn room(state: SharedState, Caller(asker): Caller, request: Request) -> Response {
    let query = query_of(&request);
    let kind = query.text("type");
    let names: Vec<&str> = query.all("rooms").collect();
    if let Err(message) = require(&[("Type", !kind.is_empty()), ("Rooms", !names.is_empty())]) {
        return unbound(&message);
    }
    if names.len() > RECEIVERS_MAX {
        return failed(Error::new(Code::BadRequest, format!("one call asks about at most {RECEIVERS_MAX} rooms")));
    }
    // In a name that no room can have, nobody is.
    let rooms: Vec<RoomName> = names.iter().filter_map(|name| RoomName::of(kind, name).ok()).collect();
    match counts(&state, &asker, PushCommand::Rooms { rooms }).await {
        Ok(found) => {
            let found: BTreeMap<_, _> = found.iter().map(|(room, count)| (room.as_str(), *count)).collect();
            let count = |name: &str| found.get(format!("{kind}://{name}").as_str()).copied().unwrap_or(0);
            data(names.iter().map(|name| (*name, count(name))).collect::<BTreeMap<_, _>>())
        }
        Err(error) => failed(error),
    }
}

/// In the order in which Go writes a map: by name.
#[derive(Serialize)]
struct Total {
    conn_count: u64,
    ip_count: u64,
}

pub async fn total(state: SharedState, Caller(asker): Caller) -> Response {
    match asker.ask(&state, PushCommand::Total).await {
        Ok(PushReply::Total { connections, addresses }) => data(Total { conn_count: connections, ip_count: addresses }),
        Ok(_) => failed(unexpected_reply()),
        Err(error) => failed(error),
    }
}

async fn counts(state: &Shared, asker: &Asker, command: PushCommand) -> Result<Vec<(RoomName, u32)>> {
    match asker.ask(state, command).await? {
        PushReply::Counts { rooms } => Ok(rooms),
        _ => Err(unexpected_reply()),
    }
}

/// What goim takes for the room in `type://room`; all of a name of another form.
fn host(room: &str) -> &str {
    let Some((_, rest)) = room.split_once("://") else { return room };
    rest.split(['/', '?', '#']).next().unwrap_or_default()
}
