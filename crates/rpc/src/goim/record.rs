//! The record between logic and job on goim's Kafka topic: value `goim.logic.PushMsg`, key by which order is kept.
//!
//! goim's job reads ours and ours reads goim's: what goim does not know (id of the push, app, expiry, audience, connections of
//! accounts) is in fields from 100 up, which it skips.

use super::proto::logic::push_msg::Type;
use super::proto::logic::{PushMsg, Session};
use prost::Message;
use skein_domain::id::{ConnectionRef, Generation, Millis, NodeId, SessionId, Uid};
use skein_domain::live::{Audience, GuestKey, LiveAddress, LiveMessage, LiveRecord, Priority, RoomName};

/// goim's own names.
pub const TOPIC: &str = "goim-push-topic";
pub const CONSUMER_GROUP: &str = "goim-push-group-job";

/// Why a record is none: it goes where dead letters go, and the next one is read.
#[derive(Debug, PartialEq, thiserror::Error)]
pub enum RecordError {
    #[error("not a PushMsg: {0}")]
    Undecodable(#[from] prost::DecodeError),
    #[error("type {0} is not known")]
    UnknownType(i32),
    #[error("a push without receivers")]
    NoReceivers,
    #[error("{0:?} is no name of a room")]
    BadRoom(String),
    #[error("{0:?} is no key")]
    BadKey(String),
}

/// Records with equal keys keep their order: goim's choice, but for connections of accounts, which it does not know.
pub fn record_key(record: &LiveRecord) -> Vec<u8> {
    let text = match &record.address {
        LiveAddress::Guests { keys, .. } => keys.first().map(|key| key.as_str().to_owned()).unwrap_or_default(),
        LiveAddress::Sessions { connections, .. } => connections.first().map(|first| first.session.0.to_string()).unwrap_or_default(),
        LiveAddress::Room(room) => room.as_str().to_owned(),
        LiveAddress::All(_) => record.message.operation.to_string(),
    };
    text.into_bytes()
}

pub fn encode_record(record: &LiveRecord) -> Vec<u8> {
    let mut message = PushMsg {
        operation: record.message.operation,
        msg: record.message.body.clone().into(),
        push_id: record.push.clone(),
        app: record.app.0,
        expires_at: record.expires.map_or(0, |at| at.0),
        urgent: record.priority == Priority::Urgent,
        ..PushMsg::default()
    };
    match &record.address {
        LiveAddress::Guests { node, keys } => {
            message.server = node.0.clone();
            message.keys = keys.iter().map(|key| key.as_str().to_owned()).collect();
        }
        LiveAddress::Sessions { node, connections } => {
            message.server = node.0.clone();
            message.sessions = connections.iter().map(|to| Session { session: to.session.0, generation: to.generation.0 }).collect();
        }
        LiveAddress::Room(room) => {
            message.set_type(Type::Room);
            message.room = room.as_str().to_owned();
        }
        LiveAddress::All(Audience { platforms, tags, speed }) => {
            message.set_type(Type::Broadcast);
            message.speed = speed.map_or(0, |speed| i32::try_from(speed).unwrap_or(i32::MAX));
            (message.platforms, message.tags) = (platforms.clone(), tags.clone());
        }
    }
    message.encode_to_vec()
}

pub fn decode_record(value: &[u8]) -> Result<LiveRecord, RecordError> {
    let message = PushMsg::decode(value)?;
    let kind = Type::try_from(message.r#type).map_err(|_| RecordError::UnknownType(message.r#type))?;
    let PushMsg { operation, speed, server, room, keys, msg, push_id, app, expires_at, platforms, tags, sessions, urgent, .. } = message;
    let node = NodeId(server);
    let address = match kind {
        Type::Push if !keys.is_empty() => {
            let keys = keys.into_iter().map(|key| GuestKey::parse(&key).map_err(|_| RecordError::BadKey(key))).collect::<Result<_, _>>()?;
            LiveAddress::Guests { node, keys }
        }
        Type::Push if !sessions.is_empty() => {
            let connection =
                |Session { session, generation }| ConnectionRef { session: SessionId(session), generation: Generation(generation) };
            LiveAddress::Sessions { node, connections: sessions.into_iter().map(connection).collect() }
        }
        Type::Push => return Err(RecordError::NoReceivers),
        Type::Room => LiveAddress::Room(RoomName::parse(&room).map_err(|_| RecordError::BadRoom(room))?),
        Type::Broadcast => {
            let speed = u32::try_from(speed).ok().filter(|speed| *speed > 0);
            LiveAddress::All(Audience { platforms, tags, speed })
        }
    };
    let message = LiveMessage { operation, body: msg.into() };
    let (expires, priority) = ((expires_at > 0).then_some(Millis(expires_at)), if urgent { Priority::Urgent } else { Priority::Normal });
    Ok(LiveRecord { push: push_id, app: Uid(app), address, message, expires, priority })
}
