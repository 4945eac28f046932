//! What an entry does besides being there: message states, members, titles, items of user logs.
//!
//! Runs in the transaction that writes the entry.

use super::engine::{Sql, params};
use super::failure::{Outcome, not_found, refuse};
use super::place::{EDITED, Place};
use super::rows::role_number;
use super::transaction::{Transaction, one};
use super::user_log::{self, Subject};
use super::views;
use skein_domain::Code;
use skein_domain::body::Body;
use skein_domain::conversation::Role;
use skein_domain::entry::EntryEvent;
use skein_domain::id::{ConversationId, CountNo, Millis, Revision, Seq, Uid};
use skein_domain::policy::{EMOJI_PER_MESSAGE_MAX, REACTIONS_MAX};
use skein_domain::port::Append;

pub(crate) fn apply(transaction: &mut Transaction<'_>, place: &Place, append: &Append) -> Outcome<()> {
    match &append.event {
        EntryEvent::Message { body, reply_to } => said(transaction, place, append, body.as_ref(), *reply_to),
        EntryEvent::Edited { target, body } => edited(transaction, place, *target, body.as_ref()),
        EntryEvent::Recalled { target } => recalled(transaction, place.conversation.id, *target),
        EntryEvent::Reacted { target, emoji, on } => reacted(transaction, place, append.author, *target, emoji, *on),
        EntryEvent::Joined { uids } => joined(transaction, place, uids),
        EntryEvent::Left { uid } => left(transaction, place, *uid),
        EntryEvent::RoleChanged { uid, role } => role_changed(transaction, place, *uid, *role),
        EntryEvent::InfoChanged { title, announcement, muted_all } => {
            info_changed(transaction, place.conversation.id, title.as_deref(), announcement.as_deref(), *muted_all)
        }
        EntryEvent::Silenced { uid, until } => silenced(transaction, place, *uid, *until),
    }
}

fn said(transaction: &Transaction<'_>, place: &Place, append: &Append, body: Option<&Body>, reply_to: Option<Seq>) -> Outcome<()> {
    let body = body.map(serde_json::to_vec).transpose()?;
    transaction.execute(
        "INSERT INTO message (conversation, seq, count, at, author, `key`, body, reply_to) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
        params![
            place.conversation.id.0,
            place.seq.0,
            place.count.0,
            place.at.0,
            append.author.0,
            append.key.as_str(),
            body,
            reply_to.map(|seq| seq.0)
        ],
    )?;
    transaction.execute(
        "UPDATE member SET `read` = ?3, read_count = ?4, delivered = ?3 WHERE conversation = ?1 AND uid = ?2 AND visible_to IS NULL",
        params![place.conversation.id.0, append.author.0, place.seq.0, place.count.0],
    )?;
    Ok(())
}

fn edited(transaction: &Transaction<'_>, place: &Place, target: Seq, body: Option<&Body>) -> Outcome<()> {
    let body = body.map(serde_json::to_vec).transpose()?;
    transaction.execute(
        "UPDATE message SET body = ?3, edited_at = ?4 WHERE conversation = ?1 AND seq = ?2",
        params![place.conversation.id.0, target.0, body, place.at.0],
    )?;
    Ok(())
}

/// Blanks the body in the state, in the entry and in every edit, and drops the reactions.
fn recalled(transaction: &Transaction<'_>, conversation: ConversationId, target: Seq) -> Outcome<()> {
    let sql = "SELECT reply_to FROM message WHERE conversation = ?1 AND seq = ?2";
    let reply_to: Option<i64> = one(transaction.connection, sql, params![conversation.0, target.0], |row| row.get(0))?.flatten();
    let message = serde_json::to_vec(&EntryEvent::Message { body: None, reply_to: reply_to.map(Seq) })?;
    let edit = serde_json::to_vec(&EntryEvent::Edited { target, body: None })?;
    transaction.execute("UPDATE message SET body = NULL WHERE conversation = ?1 AND seq = ?2", params![conversation.0, target.0])?;
    transaction.execute("UPDATE entry SET event = ?3 WHERE conversation = ?1 AND seq = ?2", params![conversation.0, target.0, message])?;
    transaction.execute(
        "UPDATE entry SET event = ?4 WHERE conversation = ?1 AND target = ?2 AND kind = ?3",
        params![conversation.0, target.0, EDITED, edit],
    )?;
    transaction.execute("DELETE FROM reaction WHERE conversation = ?1 AND seq = ?2", params![conversation.0, target.0])?;
    Ok(())
}

fn reacted(transaction: &Transaction<'_>, place: &Place, author: Uid, target: Seq, emoji: &str, on: bool) -> Outcome<()> {
    if on && !is_room_for_reaction(transaction.connection, place.conversation.id, (author, target, emoji))? {
        return Ok(());
    }
    let sql = if on {
        "INSERT INTO reaction (conversation, seq, emoji, uid) VALUES (?1, ?2, ?3, ?4)"
    } else {
        "DELETE FROM reaction WHERE conversation = ?1 AND seq = ?2 AND emoji = ?3 AND uid = ?4"
    };
    transaction.execute(sql, params![place.conversation.id.0, target.0, emoji, author.0])?;
    Ok(())
}

/// Keeps a message's state within a frame, whoever reacts with whatever. Reacting again is no reaction more: false.
fn is_room_for_reaction(connection: &dyn Sql, conversation: ConversationId, (author, target, emoji): (Uid, Seq, &str)) -> Outcome<bool> {
    let sql = "SELECT count(*), count(DISTINCT emoji), coalesce(max(emoji = ?3), 0), coalesce(max(emoji = ?3 AND uid = ?4), 0)
               FROM reaction WHERE conversation = ?1 AND seq = ?2";
    let found: Option<(i64, i64, bool, bool)> = one(connection, sql, params![conversation.0, target.0, emoji, author.0], |row| {
        Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?))
    })?;
    let (all, distinct, is_used, is_mine) = found.unwrap_or_default();
    if is_mine {
        return Ok(false);
    }
    if all >= REACTIONS_MAX || (!is_used && distinct >= EMOJI_PER_MESSAGE_MAX) {
        return refuse(Code::QuotaExceeded, "this message has as many reactions as it can have");
    }
    Ok(true)
}

/// Those who are members already stay as they are.
pub(crate) fn joined(transaction: &mut Transaction<'_>, place: &Place, uids: &[Uid]) -> Outcome<()> {
    let id = place.conversation.id;
    let mut new = 0;
    for uid in uids {
        check_user(transaction.connection, *uid)?;
        if views::member(transaction.connection, id, *uid)?.is_some_and(|member| member.is_in()) {
            continue;
        }
        put_member(transaction, (id, *uid), place.seq, (place.seq, place.count), place.revision)?;
        user_log::put(transaction, *uid, Subject::Conversation(id))?;
        new += 1;
    }
    transaction.execute("UPDATE conversation SET members = members + ?2 WHERE id = ?1", params![id.0, new])?;
    Ok(())
}

/// The row of somebody who comes, or comes back: a member who sees from `from` on and has read up to `read`.
pub(crate) fn put_member(
    transaction: &Transaction<'_>,
    (conversation, uid): (ConversationId, Uid),
    from: Seq,
    (read, count): (Seq, CountNo),
    revision: Revision,
) -> Outcome<()> {
    let values = params![conversation.0, uid.0, from.0, count.0, read.0, revision.0];
    let came_back = transaction.execute(
        "UPDATE member SET role = 0, visible_from = ?3, visible_to = NULL, join_count = ?4, `read` = ?5, read_count = ?4,
             delivered = ?5, revision = ?6 WHERE conversation = ?1 AND uid = ?2",
        values,
    )?;
    if came_back == 0 {
        transaction.execute(
            "INSERT INTO member (conversation, uid, visible_from, join_count, `read`, read_count, delivered, revision)
             VALUES (?1, ?2, ?3, ?4, ?5, ?4, ?5, ?6)",
            values,
        )?;
    }
    Ok(())
}

fn left(transaction: &mut Transaction<'_>, place: &Place, uid: Uid) -> Outcome<()> {
    let changed = transaction.execute(
        "UPDATE member SET visible_to = ?3, role = 0, revision = ?4, title_then = (SELECT title FROM conversation WHERE id = ?1)
         WHERE conversation = ?1 AND uid = ?2 AND visible_to IS NULL",
        params![place.conversation.id.0, uid.0, place.seq.0, place.revision.0],
    )?;
    check_member(changed)?;
    transaction.execute(
        "UPDATE conversation SET members = members - 1, owner = nullif(owner, ?2) WHERE id = ?1",
        params![place.conversation.id.0, uid.0],
    )?;
    user_log::put(transaction, uid, Subject::Membership(place.conversation.id))?;
    Ok(())
}

fn role_changed(transaction: &mut Transaction<'_>, place: &Place, uid: Uid, role: Role) -> Outcome<()> {
    if role == Role::Owner {
        if let Some(former) = place.conversation.owner.filter(|former| *former != uid) {
            set_role(transaction, place, former, Role::Admin)?;
        }
        transaction.execute("UPDATE conversation SET owner = ?2 WHERE id = ?1", params![place.conversation.id.0, uid.0])?;
    }
    let changed = set_role(transaction, place, uid, role)?;
    check_member(changed)
}

fn set_role(transaction: &mut Transaction<'_>, place: &Place, uid: Uid, role: Role) -> Outcome<usize> {
    let changed = transaction.execute(
        "UPDATE member SET role = ?3, revision = ?4 WHERE conversation = ?1 AND uid = ?2 AND visible_to IS NULL",
        params![place.conversation.id.0, uid.0, role_number(role), place.revision.0],
    )?;
    if changed > 0 {
        user_log::put(transaction, uid, Subject::Membership(place.conversation.id))?;
    }
    Ok(changed)
}

fn info_changed(
    transaction: &Transaction<'_>,
    conversation: ConversationId,
    title: Option<&str>,
    announcement: Option<&str>,
    muted_all: Option<bool>,
) -> Outcome<()> {
    transaction.execute(
        "UPDATE conversation SET title = coalesce(?2, title), announcement = coalesce(?3, announcement),
             muted_all = coalesce(?4, muted_all) WHERE id = ?1",
        params![conversation.0, title, announcement, muted_all],
    )?;
    Ok(())
}

fn silenced(transaction: &mut Transaction<'_>, place: &Place, uid: Uid, until: Millis) -> Outcome<()> {
    let changed = transaction.execute(
        "UPDATE member SET silenced_until = ?3, revision = ?4 WHERE conversation = ?1 AND uid = ?2 AND visible_to IS NULL",
        params![place.conversation.id.0, uid.0, until.0, place.revision.0],
    )?;
    check_member(changed)?;
    user_log::put(transaction, uid, Subject::Membership(place.conversation.id))?;
    Ok(())
}

fn check_member(rows_changed: usize) -> Outcome<()> {
    if rows_changed == 0 { refuse(Code::NotMember, "not a member of this conversation") } else { Ok(()) }
}

pub(crate) fn check_user(connection: &dyn Sql, uid: Uid) -> Outcome<()> {
    match one(connection, "SELECT 1 FROM user WHERE uid = ?1", params![uid.0], |_| Ok(()))? {
        Some(()) => Ok(()),
        None => not_found("no such user"),
    }
}
