//! The entry of a session as Redis has it, and how sets name its connection.

use serde::{Deserialize, Serialize};
use skein_domain::account::DeviceClass;
use skein_domain::id::{ConnectionRef, Generation, Millis, NodeId, SessionId, Uid};
use skein_domain::port::Route;
use skein_domain::{Error, Result};

/// Keys asked for in one pipeline.
pub(super) const CHUNK: usize = 1_000;

/// Large numbers are not safe with Lua, so they travel as text; the generation in one width, which compares alike.
#[derive(Serialize, Deserialize)]
pub(super) struct Entry {
    uid: String,
    class: String,
    node: String,
    session: String,
    pub(super) generation: String,
    #[serde(default)]
    pub(super) until_ms: i64,
}

impl Entry {
    pub(super) fn of(route: &Route) -> Self {
        Self {
            uid: route.uid.to_string(),
            class: route.class.as_str().to_owned(),
            node: route.node.0.clone(),
            session: route.session.to_string(),
            generation: generation(route.generation.0),
            until_ms: 0,
        }
    }
}

/// As the sets name a connection.
pub(super) fn member(connection: ConnectionRef) -> String {
    format!("{}.{}", connection.session, connection.generation.0)
}

/// `None`: another version wrote it, and it names nothing.
pub(super) fn session_of(member: &str) -> Option<SessionId> {
    let (session, _) = member.split_once('.')?;
    session.parse().ok().map(SessionId)
}

pub(super) fn generation(number: i64) -> String {
    format!("{number:020}")
}

pub(super) fn live(entry: &str, now: Millis) -> Result<Option<Route>> {
    let entry: Entry = serde_json::from_str(entry).map_err(|_| Error::internal())?;
    if entry.until_ms <= now.0 { Ok(None) } else { route(entry).map(Some) }
}

pub(super) fn route_of(entry: &str) -> Result<Route> {
    route(serde_json::from_str(entry).map_err(|_| Error::internal())?)
}

fn route(entry: Entry) -> Result<Route> {
    Ok(Route {
        uid: Uid(number(&entry.uid)?),
        class: DeviceClass::parse(&entry.class).ok_or_else(Error::internal)?,
        node: NodeId(entry.node),
        session: SessionId(number(&entry.session)?),
        generation: Generation(number(&entry.generation)?),
    })
}

pub(super) fn number(text: &str) -> Result<i64> {
    text.parse().map_err(|_| Error::internal())
}
