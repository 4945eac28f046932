//! Conversations as their members see them.
//!
//! **Invariant:** a former member's view ends at `visible_to`: title, head, count and last message are those of that moment.

use super::engine::{Row, Sql, params};
use super::failure::Outcome;
use super::rows::{self, CONVERSATION_COLUMNS};
use super::states;
use super::transaction::{many, one};
use skein_domain::conversation::{Conversation, ConversationView, Kind, Member, Snapshot, Standing};
use skein_domain::id::{ConversationId, CountNo, Millis, Revision, Seq, Shard, Uid};

pub(crate) fn view(connection: &dyn Sql, conversation: ConversationId, uid: Uid) -> Outcome<Option<ConversationView>> {
    let found = one(
        connection,
        concat!(
            "SELECT ",
            rows::conversation_columns!(),
            ", ",
            rows::member_columns!(),
            " FROM member m JOIN conversation c ON c.id = m.conversation WHERE m.conversation = ?1 AND m.uid = ?2"
        ),
        params![conversation.0, uid.0],
        both,
    )?;
    found.map(|(conversation, me)| complete(connection, conversation, me)).transpose()
}

pub(crate) const CHANGED: &str = concat!(
    "SELECT ",
    rows::conversation_columns!(),
    ", ",
    rows::member_columns!(),
    " FROM member m JOIN conversation c ON c.id = m.conversation
      WHERE m.uid = ?1 AND m.conversation > ?2 AND c.shard = ?3
        AND (m.revision > ?4 OR (m.visible_to IS NULL AND c.head_revision > ?4))
      ORDER BY m.conversation LIMIT ?5"
);

/// See [`skein_domain::port::ConversationStore::changed`].
pub(crate) fn changed(
    connection: &dyn Sql,
    uid: Uid,
    shard: Shard,
    after: Revision,
    above: ConversationId,
    limit: u32,
) -> Outcome<Vec<ConversationView>> {
    let found = many(connection, CHANGED, params![uid.0, above.0, shard.0, after.0, limit], both)?;
    found.into_iter().map(|(conversation, me)| complete(connection, conversation, me)).collect()
}

fn both(row: &Row<'_>) -> Outcome<(Conversation, Member)> {
    Ok((rows::conversation(row, 0)?, rows::member(row, CONVERSATION_COLUMNS)?))
}

fn complete(connection: &dyn Sql, mut conversation: Conversation, me: Member) -> Outcome<ConversationView> {
    if let Some(to) = me.visible_to {
        end_at(connection, &mut conversation, to)?;
        name_as_then(connection, &mut conversation, me.uid)?;
    }
    let last = states::last(connection, conversation.id, me.visible_from, conversation.head)?;
    let peer = if matches!(conversation.kind, Kind::Direct | Kind::Notice) { peer(connection, conversation.id, me.uid)? } else { None };
    let unread = me.unread(conversation.count);
    let (peer, peer_read, peer_delivered) =
        peer.map_or((None, Seq::ZERO, Seq::ZERO), |(uid, read, delivered)| (Some(uid), read, delivered));
    Ok(ConversationView { conversation, me, unread, last, peer, peer_read, peer_delivered })
}

/// The conversation's head as it was when the entry at `to` was the last.
fn end_at(connection: &dyn Sql, conversation: &mut Conversation, to: Seq) -> Outcome<()> {
    let at = one(
        connection,
        "SELECT seq, count, revision, at FROM entry WHERE conversation = ?1 AND seq <= ?2 ORDER BY seq DESC LIMIT 1",
        params![conversation.id.0, to.0],
        |row| Ok((Seq(row.get(0)?), CountNo(row.get(1)?), Revision(row.get(2)?), Millis(row.get(3)?))),
    )?;
    let (head, count, head_revision, head_at) = at.unwrap_or_default();
    (conversation.head, conversation.count) = (head, count);
    (conversation.head_revision, conversation.head_at) = (head_revision, head_at);
    Ok(())
}

/// Whoever left before titles were kept is shown the present one.
fn name_as_then(connection: &dyn Sql, conversation: &mut Conversation, former: Uid) -> Outcome<()> {
    let sql = "SELECT title_then FROM member WHERE conversation = ?1 AND uid = ?2";
    let then: Option<Option<String>> = one(connection, sql, params![conversation.id.0, former.0], |row| row.get(0))?;
    if let Some(title) = then.flatten() {
        conversation.title = title;
    }
    Ok(())
}

fn peer(connection: &dyn Sql, conversation: ConversationId, uid: Uid) -> Outcome<Option<(Uid, Seq, Seq)>> {
    one(
        connection,
        "SELECT uid, `read`, delivered FROM member WHERE conversation = ?1 AND uid <> ?2",
        params![conversation.0, uid.0],
        |row| Ok((Uid(row.get(0)?), Seq(row.get(1)?), Seq(row.get(2)?))),
    )
}

pub(crate) fn snapshot(connection: &dyn Sql, id: ConversationId) -> Outcome<Option<Snapshot>> {
    let found =
        one(connection, concat!("SELECT ", rows::conversation_columns!(), " FROM conversation c WHERE c.id = ?1"), params![id.0], |row| {
            rows::conversation(row, 0)
        })?;
    let Some(conversation) = found else { return Ok(None) };
    let members = if conversation.kind == Kind::Room {
        Vec::new()
    } else {
        many(
            connection,
            concat!("SELECT ", rows::member_columns!(), " FROM member m WHERE m.conversation = ?1 ORDER BY m.uid"),
            params![id.0],
            |row| rows::member(row, 0),
        )?
    };
    let standing = match (conversation.kind, members.as_slice()) {
        (Kind::Direct, [a, b]) => Some(standing(connection, a.uid, b.uid)?),
        _ => None,
    };
    Ok(Some(Snapshot { conversation, members, standing }))
}

pub(crate) fn standing(connection: &dyn Sql, a: Uid, b: Uid) -> Outcome<Standing> {
    let sql = "SELECT friend, blocked FROM contact WHERE uid = ?1 AND peer = ?2";
    let side = |uid: Uid, peer: Uid| one(connection, sql, params![uid.0, peer.0], |row| Ok((row.get(0)?, row.get(1)?)));
    let (of_a, of_b) = (side(a, b)?.unwrap_or((false, false)), side(b, a)?.unwrap_or((false, false)));
    Ok(Standing { friends: of_a.0 && of_b.0, blocked: of_a.1 || of_b.1 })
}

pub(crate) fn member(connection: &dyn Sql, conversation: ConversationId, uid: Uid) -> Outcome<Option<Member>> {
    one(
        connection,
        concat!("SELECT ", rows::member_columns!(), " FROM member m WHERE m.conversation = ?1 AND m.uid = ?2"),
        params![conversation.0, uid.0],
        |row| rows::member(row, 0),
    )
}
