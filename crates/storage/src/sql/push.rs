//! Apps, their keys, bindings, tags and waiting pushes: [`PushStore`].
//!
//! **Invariant:** an app is a user that cannot log in: its address is none, its password hash matches nothing, and no
//! search by nickname finds it.

use super::Store;
use super::accounts::write_audit;
use super::append::conflict;
use super::conversations::{assign_shard, direct_of};
use super::effects::check_user;
use super::engine::{Row, Sql, params};
use super::failure::{Failure, Outcome, not_found, refuse};
use super::rows;
use super::transaction::{Transaction, many, one};
use super::user_log::{self, Subject};
use async_trait::async_trait;
use skein_domain::conversation::Kind;
use skein_domain::id::{ConversationId, IdempotencyKey, Millis, Uid};
use skein_domain::live::{PushId, RoomName};
use skein_domain::port::{AcceptedPush, ApiKey, Audit, NewApiKey, PUSH_KEY_KEPT_MS, PushStore, Remembered, ScheduledPush};
use skein_domain::{Code, Result};

const BYTES: usize = 512;

#[async_trait]
impl PushStore for Store {
    async fn create_key(&self, key: NewApiKey) -> Result<ApiKey> {
        self.writer().submit(BYTES, move |tx| create_key(tx, &key)).await
    }

    async fn revoke_key(&self, id: i64, audit: Audit) -> Result<()> {
        let sql = "UPDATE api_key SET revoked_at = coalesce(revoked_at, ?2) WHERE id = ?1";
        let write = move |tx: &mut Transaction<'_>| match tx.execute(sql, params![id, audit.at.0])? {
            0 => not_found("no such key"),
            _ => write_audit(tx, &audit),
        };
        self.writer().submit(BYTES, write).await
    }

    async fn key_by_hash(&self, hash: [u8; 32]) -> Result<Option<ApiKey>> {
        self.readers().read(move |connection| one(connection, KEY_BY_HASH, params![hash], api_key)).await
    }

    async fn keys(&self) -> Result<Vec<ApiKey>> {
        let sql = "SELECT id, app, name, scope, per_second, created_at, revoked_at FROM api_key ORDER BY id";
        self.readers().read(move |connection| many(connection, sql, &[], api_key)).await
    }

    async fn bind_room(&self, room: &RoomName, to: Option<ConversationId>, audit: Audit) -> Result<()> {
        let room = room.clone();
        self.writer().submit(BYTES, move |tx| bind_room(tx, &room, to, &audit)).await
    }

    async fn bound_room(&self, room: &RoomName) -> Result<Option<ConversationId>> {
        let room = room.clone();
        let sql = "SELECT conversation FROM live_room WHERE name = ?1";
        let read = move |connection: &dyn Sql| one(connection, sql, params![room.as_str()], |row| row.get(0).map(ConversationId));
        self.readers().read(read).await
    }

    async fn bindings(&self) -> Result<Vec<(RoomName, ConversationId)>> {
        let sql = "SELECT name, conversation FROM live_room ORDER BY name";
        let read = move |connection: &dyn Sql| many(connection, sql, &[], |row| Ok((row.get::<String>(0)?, ConversationId(row.get(1)?))));
        let rows = self.readers().read(read).await?;
        rows.into_iter().map(|(name, to)| Ok((RoomName::parse(&name)?, to))).collect()
    }

    async fn set_tags(&self, uid: Uid, tags: &[String], audit: Audit) -> Result<()> {
        let mut tags = tags.to_vec();
        tags.sort_unstable();
        tags.dedup();
        let write = move |tx: &mut Transaction<'_>| {
            check_user(tx.connection, uid)?;
            tx.execute("DELETE FROM user_tag WHERE uid = ?1", params![uid.0])?;
            for tag in &tags {
                tx.execute("INSERT INTO user_tag (uid, tag) VALUES (?1, ?2)", params![uid.0, tag])?;
            }
            write_audit(tx, &audit)
        };
        self.writer().submit(BYTES, write).await
    }

    async fn tags(&self, uid: Uid) -> Result<Vec<String>> {
        let sql = "SELECT tag FROM user_tag WHERE uid = ?1 ORDER BY tag";
        self.readers().read(move |connection| many(connection, sql, params![uid.0], |row| row.get(0))).await
    }

    async fn open_notice(&self, app: Uid, uid: Uid, at: Millis) -> Result<ConversationId> {
        let known = self.readers().read(move |connection| direct_of(connection, app, uid)).await?;
        match known {
            Some(known) => Ok(known),
            None => self.writer().submit(BYTES, move |tx| open_notice(tx, app, uid, at)).await,
        }
    }

    async fn accept(&self, push: AcceptedPush) -> Result<Remembered> {
        let request = push.schedule.as_ref().map(|schedule| serde_json::to_vec(&schedule.request)).transpose();
        let request = request.map_err(|error| Failure::from(error).answer())?;
        let bytes = BYTES + request.as_ref().map_or(0, Vec::len);
        self.writer().submit(bytes, move |tx| accept(tx, &push, request.as_ref())).await
    }

    async fn forget(&self, app: Uid, key: &IdempotencyKey) -> Result<()> {
        let key = key.clone();
        let sql = "DELETE FROM push_key WHERE app = ?1 AND name = ?2";
        self.writer().submit(BYTES, move |tx| tx.execute(sql, params![app.0, key.as_str()]).map(|_| ())).await
    }

    async fn scheduled(&self, push: &PushId) -> Result<Option<ScheduledPush>> {
        let push = push.clone();
        let sql = "SELECT push, app, due, expires, request FROM waiting_push WHERE push = ?1";
        self.readers().read(move |connection| one(connection, sql, params![push], waiting)).await
    }

    async fn due(&self, now: Millis, limit: u32) -> Result<Vec<ScheduledPush>> {
        self.readers().read(move |connection| many(connection, DUE, params![now.0, limit], waiting)).await
    }

    async fn next_due(&self) -> Result<Option<Millis>> {
        self.readers().read(move |connection| one(connection, NEXT_DUE, &[], |row| row.get(0).map(Millis))).await
    }

    async fn put_off(&self, push: &PushId, was: Millis, to: Millis) -> Result<bool> {
        let push = push.clone();
        let sql = "UPDATE waiting_push SET due = ?3 WHERE push = ?1 AND due = ?2";
        self.writer().submit(BYTES, move |tx| tx.execute(sql, params![push, was.0, to.0]).map(|changed| changed > 0)).await
    }

    async fn unschedule(&self, push: &PushId) -> Result<()> {
        let push = push.clone();
        let sql = "DELETE FROM waiting_push WHERE push = ?1";
        self.writer().submit(BYTES, move |tx| tx.execute(sql, params![push]).map(|_| ())).await
    }
}

pub(super) const KEY_BY_HASH: &str = "SELECT id, app, name, scope, per_second, created_at, revoked_at FROM api_key WHERE hash = ?1";
pub(super) const DUE: &str = "SELECT push, app, due, expires, request FROM waiting_push WHERE due <= ?1 ORDER BY due, push LIMIT ?2";
pub(super) const NEXT_DUE: &str = "SELECT due FROM waiting_push ORDER BY due, push LIMIT 1";
/// Keys whose day is over, removed with each new one: more than come in, so that they do not pile up.
pub(super) const OLD_KEYS: &str = "SELECT app, name FROM push_key WHERE used_at <= ?1 LIMIT 4";

/// Of `id, app, name, scope, per_second, created_at, revoked_at`.
fn api_key(row: &Row<'_>) -> Outcome<ApiKey> {
    Ok(ApiKey {
        id: row.get(0)?,
        app: Uid(row.get(1)?),
        name: row.get(2)?,
        scope: serde_json::from_slice(row.bytes(3)?)?,
        per_second: row.get(4)?,
        created_at: Millis(row.get(5)?),
        revoked_at: row.get::<Option<i64>>(6)?.map(Millis),
    })
}

/// Of `push, app, due, expires, request`.
fn waiting(row: &Row<'_>) -> Outcome<ScheduledPush> {
    Ok(ScheduledPush {
        push: row.get(0)?,
        app: Uid(row.get(1)?),
        due: Millis(row.get(2)?),
        expires: row.get::<Option<i64>>(3)?.map(Millis),
        request: serde_json::from_slice(row.bytes(4)?)?,
    })
}

fn create_key(tx: &mut Transaction<'_>, key: &NewApiKey) -> Outcome<ApiKey> {
    let app = app(tx, &key.app, key.at)?;
    let scope = serde_json::to_string(&key.scope)?;
    tx.execute(
        "INSERT INTO api_key (app, name, hash, scope, per_second, created_at) VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
        params![app.0, key.app, key.hash, scope, key.per_second, key.at.0],
    )?;
    let id = tx.connection.last_insert_id();
    write_audit(tx, &key.audit)?;
    let NewApiKey { app: name, scope, per_second, at, .. } = key.clone();
    Ok(ApiKey { id, app, name, scope, per_second, created_at: at, revoked_at: None })
}

/// The user of that app, made if there is none.
fn app(tx: &Transaction<'_>, name: &str, at: Millis) -> Outcome<Uid> {
    let known = one(tx.connection, "SELECT uid FROM app WHERE name = ?1", params![name], |row| row.get(0).map(Uid))?;
    if let Some(uid) = known {
        return Ok(uid);
    }
    tx.execute(
        "INSERT INTO user (email, nickname, folded, findable_by_email, password_hash, created_at) VALUES (?1, ?2, '', 0, '', ?3)",
        params![format!("app/{name}"), name, at.0],
    )?;
    let uid = Uid(tx.connection.last_insert_id());
    tx.execute("INSERT INTO app (name, uid) VALUES (?1, ?2)", params![name, uid.0])?;
    Ok(uid)
}

fn bind_room(tx: &mut Transaction<'_>, room: &RoomName, to: Option<ConversationId>, audit: &Audit) -> Outcome<()> {
    match to {
        None => drop(tx.execute("DELETE FROM live_room WHERE name = ?1", params![room.as_str()])?),
        Some(to) => {
            let kind = one(tx.connection, "SELECT kind FROM conversation WHERE id = ?1", params![to.0], |row| rows::kind(row, 0))?;
            if kind != Some(Kind::Room) {
                return not_found("no such chat room");
            }
            if tx.execute("UPDATE live_room SET conversation = ?2 WHERE name = ?1", params![room.as_str(), to.0])? == 0 {
                tx.execute("INSERT INTO live_room (name, conversation) VALUES (?1, ?2)", params![room.as_str(), to.0])?;
            }
        }
    }
    write_audit(tx, audit)
}

fn open_notice(tx: &mut Transaction<'_>, app: Uid, uid: Uid, at: Millis) -> Outcome<ConversationId> {
    if let Some(known) = direct_of(tx.connection, app, uid)? {
        return Ok(known);
    }
    check_user(tx.connection, uid)?;
    let name = one(tx.connection, "SELECT name FROM app WHERE uid = ?1", params![app.0], |row| row.get::<String>(0))?;
    let Some(name) = name else { return not_found("no such app") };
    if app == uid {
        return refuse(Code::NotSelf, "an app tells itself nothing");
    }
    tx.execute(
        "INSERT INTO conversation (shard, kind, title, owner, members, created_at, direct_a, direct_b) VALUES (0, ?1, ?2, ?3, 2, ?4, ?5, ?6)",
        params![rows::kind_number(Kind::Notice), name, app.0, at.0, app.min(uid).0, app.max(uid).0],
    )?;
    let (id, shard) = assign_shard(tx)?;
    for (member, role) in [(app, 2), (uid, 0)] {
        let revision = user_log::put_with_row(tx, shard, member, Subject::Conversation(id))?;
        tx.execute(
            "INSERT INTO member (conversation, uid, role, visible_from, join_count, `read`, read_count, delivered, revision)
             VALUES (?1, ?2, ?3, 1, 0, 0, 0, 0, ?4)",
            params![id.0, member.0, role, revision.0],
        )?;
    }
    Ok(id)
}

fn accept(tx: &mut Transaction<'_>, push: &AcceptedPush, request: Option<&Vec<u8>>) -> Outcome<Remembered> {
    if let Some((key, digest)) = &push.key
        && let Some(first) = remember(tx, push, key, digest)?
    {
        return Ok(Remembered::Before(first));
    }
    if let (Some(schedule), Some(request)) = (&push.schedule, request) {
        let sql = "SELECT count(*) FROM waiting_push WHERE app = ?1";
        let waiting: Option<u32> = one(tx.connection, sql, params![push.app.0], |row| row.get(0))?;
        if waiting.unwrap_or(0) >= push.waiting_max {
            return refuse(Code::QuotaExceeded, "too many pushes of this app wait for their time");
        }
        tx.execute(
            "INSERT INTO waiting_push (push, app, request, due, expires) VALUES (?1, ?2, ?3, ?4, ?5)",
            params![push.push, push.app.0, request, schedule.due.0, schedule.expires.map(|at| at.0)],
        )?;
    }
    Ok(Remembered::New)
}

/// The push that has the key already, or nothing, and from now on this one has it.
fn remember(tx: &mut Transaction<'_>, push: &AcceptedPush, key: &IdempotencyKey, digest: &[u8; 32]) -> Outcome<Option<PushId>> {
    let day_ago = push.at.plus(-PUSH_KEY_KEPT_MS).0;
    let old = many(tx.connection, OLD_KEYS, params![day_ago], |row| Ok((row.get::<i64>(0)?, row.get::<String>(1)?)))?;
    for (app, name) in &old {
        tx.execute("DELETE FROM push_key WHERE app = ?1 AND name = ?2", params![app, name])?;
    }
    let sql = "SELECT digest, push, used_at FROM push_key WHERE app = ?1 AND name = ?2";
    let known = one(tx.connection, sql, params![push.app.0, key.as_str()], |row| {
        Ok((row.get::<[u8; 32]>(0)?, row.get::<PushId>(1)?, row.get::<i64>(2)?))
    })?;
    match known {
        Some((known, first, used_at)) if used_at > day_ago => return if known == *digest { Ok(Some(first)) } else { conflict() },
        Some(_) => drop(tx.execute("DELETE FROM push_key WHERE app = ?1 AND name = ?2", params![push.app.0, key.as_str()])?),
        None => {}
    }
    tx.execute(
        "INSERT INTO push_key (app, name, digest, push, used_at) VALUES (?1, ?2, ?3, ?4, ?5)",
        params![push.app.0, key.as_str(), digest, push.push, push.at.0],
    )?;
    Ok(None)
}
