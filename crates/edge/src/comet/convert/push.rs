//! What the server says unasked, as messages.

use super::parts;
use skein_domain::delivery::{MemberCursor, Push as Said};
use skein_protocol::{Push, v1};

pub(in crate::comet) fn push(said: Said) -> Push {
    match said {
        Said::Entries { conversation, entries } => {
            Push::ServerMessages(v1::ServerMessages { conversation: conversation.0, entries: parts::entries(entries) })
        }
        Said::User { event } => Push::UserEvents(v1::UserEvents { events: vec![parts::user_event(event)] }),
        Said::Cursors { conversation, cursors } => {
            Push::Cursors(v1::Cursors { conversation: conversation.0, cursors: cursors.into_iter().map(cursor).collect() })
        }
        Said::Typing { conversation, uid } => Push::TypingPush(v1::TypingPush { conversation: conversation.0, uid: uid.0 }),
        Said::Rooms { rooms } => Push::RoomsChanged(v1::RoomsChanged { rooms: parts::rooms(rooms) }),
        Said::Resync { after_ms } => Push::Resync(v1::Resync { after_ms }),
        Said::Live { room, messages } => Push::LivePush(v1::LivePush {
            room: room.map(|room| room.as_str().to_owned()).unwrap_or_default(),
            messages: messages.into_iter().map(parts::live_message).collect(),
        }),
        Said::Presence { room, count, joined, left } => Push::Presence(v1::Presence {
            room: room.as_str().to_owned(),
            count: i32::try_from(count).unwrap_or(i32::MAX),
            joined: joined.into_iter().map(parts::somebody).collect(),
            left: left.into_iter().map(parts::somebody).collect(),
        }),
        Said::Notice { title, text, at } => Push::Notice(v1::Notice { title, text, at_ms: at.0 }),
    }
}

fn cursor(cursor: MemberCursor) -> v1::Cursor {
    v1::Cursor { uid: cursor.uid.0, read: cursor.read.0, delivered: cursor.delivered.0 }
}
