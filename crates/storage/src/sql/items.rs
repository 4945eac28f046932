//! What the items of the user log say when they are told.

use super::engine::{Sql, params};
use super::failure::Outcome;
use super::transaction::{many, one};
use super::user_log::Subject;
use super::{contact_views, rows, views};
use skein_domain::account::Profile;
use skein_domain::delivery::UserEvent;
use skein_domain::id::{Revision, Uid};

pub(crate) const USER_LOG: &str =
    "SELECT revision, kind, subject FROM user_entry WHERE uid = ?1 AND revision > ?2 AND kind <> 2 ORDER BY revision LIMIT ?3";

/// Those later than `after`; a membership is told with its conversation.
pub(crate) fn after(connection: &dyn Sql, uid: Uid, after: Revision, limit: u32) -> Outcome<Vec<(Revision, UserEvent)>> {
    let items = many(connection, USER_LOG, params![uid.0, after.0, limit], |row| {
        Ok((Revision(row.get(0)?), Subject::read(row.get(1)?, row.get(2)?)))
    })?;
    let mut events = Vec::with_capacity(items.len());
    for (revision, subject) in items {
        let event = subject.map(|subject| event(connection, uid, subject)).transpose()?.flatten();
        events.extend(event.map(|event| (revision, event)));
    }
    Ok(events)
}

/// What the item says now. `None`: its subject is no more.
pub(crate) fn event(connection: &dyn Sql, uid: Uid, subject: Subject) -> Outcome<Option<UserEvent>> {
    Ok(match subject {
        Subject::Request(id) => contact_views::request(connection, uid, id)?.map(|request| UserEvent::Request { request }),
        Subject::Friend(peer) => contact_views::friend(connection, uid, peer)?.map(|friend| UserEvent::Friend { friend }),
        Subject::Membership(id) => {
            views::view(connection, id, uid)?.map(|view| UserEvent::Membership { member: view.me, unread: view.unread })
        }
        Subject::Conversation(id) => views::view(connection, id, uid)?.map(|view| UserEvent::Conversation { view: Box::new(view) }),
        Subject::Profile => own_profile(connection, uid)?.map(|profile| UserEvent::Profile { profile }),
    })
}

pub(crate) fn own_profile(connection: &dyn Sql, uid: Uid) -> Outcome<Option<Profile>> {
    one(connection, "SELECT uid, nickname, signature, findable_by_email, email FROM user WHERE uid = ?1", params![uid.0], |row| {
        Ok(Profile { email: Some(row.get(4)?), ..rows::profile(row)? })
    })
}
