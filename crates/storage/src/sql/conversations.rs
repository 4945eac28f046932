//! Conversations, members and cursors: [`ConversationStore`].
//!
//! **Invariant:** the revision of a member's row belongs to the conversation's shard, that of an item about it to the shard
//! of the user's log; sync compares each with its own.

use super::Store;
use super::append::{self, Draft, conflict, load};
use super::effects::{self, check_user};
use super::engine::{Sql, params};
use super::failure::{Outcome, not_found, refuse};
use super::items;
use super::rows::{self, MEMBER_COLUMNS};
use super::transaction::{Transaction, many, one, shard_of};
use super::user_log::{self, Subject};
use super::views;
use async_trait::async_trait;
use skein_domain::conversation::{ConversationView, Kind, Member, RoomInfo, SettingsChange, Snapshot};
use skein_domain::delivery::UserEvent;
use skein_domain::entry::EntryEvent;
use skein_domain::id::{ConversationId, CountNo, Millis, PolicyVersion, Revision, Seq, Shard, Uid};
use skein_domain::port::{Append, ConversationStore, CreateConversation, Mark};
use skein_domain::{Code, Result};

const BYTES: usize = 512;

#[async_trait]
impl ConversationStore for Store {
    async fn snapshot(&self, conversation: ConversationId) -> Result<Option<Snapshot>> {
        if !self.may_be_conversation(conversation).await {
            return Ok(None);
        }
        self.readers().read(move |connection| views::snapshot(connection, conversation)).await
    }

    async fn member(&self, conversation: ConversationId, uid: Uid) -> Result<Option<Member>> {
        if !self.may_be_conversation(conversation).await {
            return Ok(None);
        }
        self.readers().read(move |connection| views::member(connection, conversation, uid)).await
    }

    async fn view(&self, conversation: ConversationId, uid: Uid) -> Result<Option<ConversationView>> {
        if !self.may_be_conversation(conversation).await {
            return Ok(None);
        }
        self.readers().read(move |connection| views::view(connection, conversation, uid)).await
    }

    async fn open_direct(&self, a: Uid, b: Uid, at: Millis) -> Result<ConversationId> {
        self.writer().submit(BYTES, move |tx| open_direct(tx, a, b, at)).await
    }

    async fn create_group(&self, create: CreateConversation) -> Result<ConversationId> {
        self.writer().submit(BYTES, move |tx| create_group(tx, &create)).await
    }

    async fn create_room(&self, create: CreateConversation) -> Result<(ConversationId, bool)> {
        self.writer().submit(BYTES, move |tx| create_room(tx, &create)).await
    }

    async fn join_room(&self, room: ConversationId, uid: Uid, _at: Millis) -> Result<Member> {
        self.writer().submit(BYTES, move |tx| join_room(tx, room, uid)).await
    }

    async fn leave_room(&self, room: ConversationId, uid: Uid) -> Result<Member> {
        self.writer().submit(BYTES, move |tx| leave_room(tx, room, uid)).await
    }

    async fn rooms_of(&self, uid: Uid) -> Result<Vec<ConversationId>> {
        let read = move |connection: &dyn Sql| many(connection, ROOMS_OF, params![uid.0], |row| row.get(0).map(ConversationId));
        self.readers().read(read).await
    }

    async fn rooms(&self, before: Option<ConversationId>, limit: u32) -> Result<Vec<RoomInfo>> {
        let before = before.map_or(i64::MAX, |id| id.0);
        let read = move |connection: &dyn Sql| {
            many(connection, ROOMS, params![before, limit], |row| {
                Ok(RoomInfo {
                    conversation: ConversationId(row.get(0)?),
                    title: row.get(1)?,
                    owner: row.get::<Option<i64>>(2)?.map(Uid),
                    members: row.get(3)?,
                    created_at: Millis(row.get(4)?),
                })
            })
        };
        self.readers().read(read).await
    }

    async fn members(&self, conversation: ConversationId, after: Uid, limit: u32) -> Result<Vec<(Member, String)>> {
        let read = move |connection: &dyn Sql| {
            many(connection, MEMBERS, params![conversation.0, after.0, limit], |row| Ok((rows::member(row, 0)?, row.get(MEMBER_COLUMNS)?)))
        };
        self.readers().read(read).await
    }

    async fn mark(&self, conversation: ConversationId, uid: Uid, mark: Mark) -> Result<Member> {
        self.writer().submit(BYTES, move |tx| move_cursor(tx, conversation, uid, mark)).await
    }

    async fn change_settings(&self, conversation: ConversationId, uid: Uid, change: SettingsChange) -> Result<Member> {
        let bytes = BYTES + change.draft.as_ref().map_or(0, String::len);
        self.writer().submit(bytes, move |tx| change_settings(tx, conversation, uid, &change)).await
    }

    async fn changed(&self, uid: Uid, shard: Shard, after: Revision, above: ConversationId, limit: u32) -> Result<Vec<ConversationView>> {
        self.readers().read(move |connection| views::changed(connection, uid, shard, after, above, limit)).await
    }

    async fn user_log(&self, uid: Uid, after: Revision, limit: u32) -> Result<Vec<(Revision, UserEvent)>> {
        self.readers().read(move |connection| items::after(connection, uid, after, limit)).await
    }

    fn shard_of(&self, uid: Uid) -> Shard {
        shard_of(uid.0, self.shared().shards())
    }
}

const DAY_MS: i64 = 24 * 60 * 60 * 1_000;
pub(crate) const CREATED_SINCE: &str = "SELECT count(*) FROM conversation WHERE created_by = ?1 AND created_at >= ?2 AND kind = ?3";
pub(crate) const ROOMS_OF: &str = "SELECT m.conversation FROM member m JOIN conversation c ON c.id = m.conversation \
     WHERE m.uid = ?1 AND m.visible_to IS NULL AND c.kind = 2 ORDER BY m.conversation";
pub(crate) const ROOMS: &str =
    "SELECT id, title, owner, members, created_at FROM conversation WHERE kind = 2 AND id < ?1 ORDER BY id DESC LIMIT ?2";
pub(crate) const MEMBERS: &str = concat!(
    "SELECT ",
    rows::member_columns!(),
    ", u.nickname FROM member m JOIN user u ON u.uid = m.uid
      WHERE m.conversation = ?1 AND m.uid > ?2 AND m.visible_to IS NULL ORDER BY m.uid LIMIT ?3"
);
// === making conversations ===

pub(crate) fn direct_of(connection: &dyn Sql, a: Uid, b: Uid) -> Outcome<Option<ConversationId>> {
    let sql = "SELECT id FROM conversation WHERE direct_a = ?1 AND direct_b = ?2";
    one(connection, sql, params![a.min(b).0, a.max(b).0], |row| row.get(0).map(ConversationId))
}

pub(crate) fn open_direct(tx: &mut Transaction<'_>, a: Uid, b: Uid, at: Millis) -> Outcome<ConversationId> {
    if a == b {
        return refuse(Code::NotSelf, "that is you");
    }
    if let Some(known) = direct_of(tx.connection, a, b)? {
        return Ok(known);
    }
    check_user(tx.connection, a)?;
    check_user(tx.connection, b)?;
    if one(tx.connection, "SELECT 1 FROM app WHERE uid IN (?1, ?2)", params![a.0, b.0], |_| Ok(()))?.is_some() {
        return refuse(Code::NotAccepted, "an app is not talked to");
    }
    tx.execute(
        "INSERT INTO conversation (shard, kind, members, created_at, direct_a, direct_b) VALUES (0, ?1, 2, ?2, ?3, ?4)",
        params![rows::kind_number(Kind::Direct), at.0, a.min(b).0, a.max(b).0],
    )?;
    let (id, shard) = assign_shard(tx)?;
    for uid in [a, b] {
        let revision = user_log::put_with_row(tx, shard, uid, Subject::Conversation(id))?;
        tx.execute(
            "INSERT INTO member (conversation, uid, visible_from, join_count, `read`, read_count, delivered, revision)
             VALUES (?1, ?2, 1, 0, 0, 0, 0, ?3)",
            params![id.0, uid.0, revision.0],
        )?;
    }
    Ok(id)
}

fn create_group(tx: &mut Transaction<'_>, create: &CreateConversation) -> Outcome<ConversationId> {
    if let Some(known) = created(tx.connection, create, Kind::Group)? {
        return Ok(known);
    }
    let (id, _) = insert_owned(tx, create, Kind::Group)?;
    let mut uids = vec![create.owner];
    uids.extend(create.uids.iter().filter(|uid| **uid != create.owner));
    let append = Append {
        conversation: id,
        author: create.owner,
        key: create.key.clone(),
        after: None,
        policy_version: PolicyVersion(1),
        event: EntryEvent::Joined { uids },
        at: create.at,
    };
    append::append(tx, &Draft::new(append)?)?;
    tx.execute("UPDATE member SET role = 2 WHERE conversation = ?1 AND uid = ?2", params![id.0, create.owner.0])?;
    Ok(id)
}

fn create_room(tx: &mut Transaction<'_>, create: &CreateConversation) -> Outcome<(ConversationId, bool)> {
    if let Some(known) = created(tx.connection, create, Kind::Room)? {
        return Ok((known, false));
    }
    check_user(tx.connection, create.owner)?;
    let (id, _) = insert_owned(tx, create, Kind::Room)?;
    join_room(tx, id, create.owner)?;
    tx.execute("UPDATE member SET role = 2 WHERE conversation = ?1 AND uid = ?2", params![id.0, create.owner.0])?;
    Ok((id, true))
}

/// What this owner made with this key.
fn created(connection: &dyn Sql, create: &CreateConversation, kind: Kind) -> Outcome<Option<ConversationId>> {
    let sql = "SELECT id, kind FROM conversation WHERE created_by = ?1 AND create_key = ?2";
    let found =
        one(connection, sql, params![create.owner.0, create.key.as_str()], |row| Ok((ConversationId(row.get(0)?), rows::kind(row, 1)?)))?;
    match found {
        Some((id, found)) if found == kind => Ok(Some(id)),
        Some(_) => conflict(),
        None => Ok(None),
    }
}

fn insert_owned(tx: &mut Transaction<'_>, create: &CreateConversation, kind: Kind) -> Outcome<(ConversationId, Shard)> {
    check_quota(tx.connection, create, kind)?;
    tx.execute(
        "INSERT INTO conversation (shard, kind, title, owner, created_at, created_by, create_key) VALUES (0, ?1, ?2, ?3, ?4, ?3, ?5)",
        params![rows::kind_number(kind), create.title, create.owner.0, create.at.0, create.key.as_str()],
    )?;
    assign_shard(tx)
}

fn check_quota(connection: &dyn Sql, create: &CreateConversation, kind: Kind) -> Outcome<()> {
    let since = create.at.plus(-DAY_MS).0;
    let made: Option<u32> = one(connection, CREATED_SINCE, params![create.owner.0, since, rows::kind_number(kind)], |row| row.get(0))?;
    if made.unwrap_or(0) < create.per_day_max {
        return Ok(());
    }
    refuse(Code::QuotaExceeded, "enough of these were made today")
}

/// A new conversation's shard follows from its id.
pub(super) fn assign_shard(tx: &Transaction<'_>) -> Outcome<(ConversationId, Shard)> {
    let id = ConversationId(tx.connection.last_insert_id());
    let shard = shard_of(id.0, tx.shards());
    tx.execute("UPDATE conversation SET shard = ?2 WHERE id = ?1", params![id.0, shard.0])?;
    Ok((id, shard))
}

// === members ===

fn join_room(tx: &mut Transaction<'_>, room: ConversationId, uid: Uid) -> Outcome<Member> {
    let conversation = load_room(tx.connection, room)?;
    check_user(tx.connection, uid)?;
    if let Some(member) = views::member(tx.connection, room, uid)?.filter(Member::is_in) {
        return Ok(member);
    }
    let revision = user_log::put_with_row(tx, conversation.shard, uid, Subject::Conversation(room))?;
    effects::put_member(tx, (room, uid), Seq(1), (conversation.head, conversation.count), revision)?;
    tx.execute("UPDATE conversation SET members = members + 1 WHERE id = ?1", params![room.0])?;
    expect_member(tx.connection, room, uid)
}

fn leave_room(tx: &mut Transaction<'_>, room: ConversationId, uid: Uid) -> Outcome<Member> {
    let conversation = load_room(tx.connection, room)?;
    let member = expect_member(tx.connection, room, uid)?;
    if !member.is_in() {
        return Ok(member);
    }
    let revision = user_log::put_with_row(tx, conversation.shard, uid, Subject::Membership(room))?;
    tx.execute(
        "UPDATE member SET visible_to = ?3, role = 0, revision = ?4, title_then = ?5 WHERE conversation = ?1 AND uid = ?2",
        params![room.0, uid.0, conversation.head.0, revision.0, conversation.title],
    )?;
    tx.execute("UPDATE conversation SET members = members - 1, owner = nullif(owner, ?2) WHERE id = ?1", params![room.0, uid.0])?;
    expect_member(tx.connection, room, uid)
}

fn load_room(connection: &dyn Sql, room: ConversationId) -> Outcome<skein_domain::conversation::Conversation> {
    let conversation = load(connection, room)?;
    if conversation.kind == Kind::Room { Ok(conversation) } else { not_found("no such room") }
}

fn expect_member(connection: &dyn Sql, conversation: ConversationId, uid: Uid) -> Outcome<Member> {
    match views::member(connection, conversation, uid)? {
        Some(member) => Ok(member),
        None => refuse(Code::NotMember, "not a member of this conversation"),
    }
}

fn move_cursor(tx: &mut Transaction<'_>, id: ConversationId, uid: Uid, mark: Mark) -> Outcome<Member> {
    let member = expect_member(tx.connection, id, uid)?;
    let conversation = load(tx.connection, id)?;
    let head = member.visible_to.unwrap_or(conversation.head);
    match mark {
        Mark::Read(seq) if seq.min(head) > member.read => {
            let read = seq.min(head);
            let read_count = count_at(tx.connection, id, read)?;
            let revision = user_log::put_with_row(tx, conversation.shard, uid, Subject::Membership(id))?;
            tx.execute(
                "UPDATE member SET `read` = ?3, read_count = CASE WHEN read_count < ?4 THEN ?4 ELSE read_count END,
                     delivered = CASE WHEN delivered < ?3 THEN ?3 ELSE delivered END, revision = ?5
                 WHERE conversation = ?1 AND uid = ?2",
                params![id.0, uid.0, read.0, read_count.0, revision.0],
            )?;
        }
        Mark::Delivered(seq) if seq.min(head) > member.delivered => {
            let sql = "UPDATE member SET delivered = ?3 WHERE conversation = ?1 AND uid = ?2";
            tx.execute(sql, params![id.0, uid.0, seq.min(head).0])?;
        }
        Mark::Read(_) | Mark::Delivered(_) => return Ok(member),
    }
    expect_member(tx.connection, id, uid)
}

/// How many countable entries there are up to `seq`.
fn count_at(connection: &dyn Sql, conversation: ConversationId, seq: Seq) -> Outcome<CountNo> {
    let sql = "SELECT count FROM entry WHERE conversation = ?1 AND seq <= ?2 ORDER BY seq DESC LIMIT 1";
    let count = one(connection, sql, params![conversation.0, seq.0], |row| row.get(0).map(CountNo))?;
    Ok(count.unwrap_or_default())
}

fn change_settings(tx: &mut Transaction<'_>, id: ConversationId, uid: Uid, change: &SettingsChange) -> Outcome<Member> {
    expect_member(tx.connection, id, uid)?;
    let shard = load(tx.connection, id)?.shard;
    let revision = user_log::put_with_row(tx, shard, uid, Subject::Membership(id))?;
    tx.execute(
        "UPDATE member SET pinned = coalesce(?3, pinned), muted = coalesce(?4, muted), draft = coalesce(?5, draft), revision = ?6
         WHERE conversation = ?1 AND uid = ?2",
        params![id.0, uid.0, change.pinned, change.muted, change.draft, revision.0],
    )?;
    expect_member(tx.connection, id, uid)
}
