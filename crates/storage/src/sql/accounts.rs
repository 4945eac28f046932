//! Users, sessions and the audit trail: [`AccountStore`].
//!
//! **Invariant:** a session that ended has no row, so no query can take it for a live one. Ids are never used again.

use super::Store;
use super::contacts::friend_uids;
use super::engine::{Sql, Statement, params};
use super::failure::{Outcome, not_found, refuse};
use super::items;
use super::rows;
use super::transaction::{Transaction, many, one};
use super::user_log::{self, Subject};
use async_trait::async_trait;
use skein_domain::account::{DeviceClass, Profile, ProfileChange, SecretHash, Session, User, UserRole};
use skein_domain::id::{Millis, SessionId, Uid};
use skein_domain::port::{AccountStore, Audit, NewSession, NewUser, WhichSessions, fold_nickname};
use skein_domain::{Code, Result};

/// What a small command is counted as in the writer's batches.
const BYTES: usize = 512;
/// A purge lets others in between.
const PURGED_AT_ONCE: i64 = 1_000;
const PURGE: Statement = Statement::differing(
    "DELETE FROM session WHERE id IN (SELECT id FROM session WHERE expires_at < ?1 LIMIT ?2)",
    "DELETE FROM session WHERE expires_at < ?1 LIMIT ?2",
);

#[async_trait]
impl AccountStore for Store {
    async fn create_user(&self, user: NewUser) -> Result<Uid> {
        self.writer().submit(BYTES, move |transaction| create_user(transaction, &user)).await
    }

    async fn user_by_email(&self, email: &str) -> Result<Option<User>> {
        let email = email.to_owned();
        let sql = concat!("SELECT ", rows::user_columns!(), " FROM user u WHERE u.email = ?1");
        self.readers().read(move |connection| one(connection, sql, params![email], rows::user)).await
    }

    async fn user(&self, uid: Uid) -> Result<Option<User>> {
        if !self.may_be_user(uid).await {
            return Ok(None);
        }
        let sql = concat!("SELECT ", rows::user_columns!(), " FROM user u WHERE u.uid = ?1");
        self.readers().read(move |connection| one(connection, sql, params![uid.0], rows::user)).await
    }

    async fn profiles(&self, uids: &[Uid]) -> Result<Vec<Profile>> {
        let mut near = Vec::with_capacity(uids.len());
        for uid in uids {
            near.extend(self.may_be_user(*uid).await.then_some(*uid));
        }
        if near.is_empty() {
            return Ok(Vec::new());
        }
        let sql = "SELECT uid, nickname, signature, findable_by_email FROM user WHERE uid = ?1 AND disabled = 0";
        let read = move |connection: &dyn Sql| {
            let found = near.iter().map(|uid| one(connection, sql, params![uid.0], rows::profile));
            found.filter_map(Outcome::transpose).collect()
        };
        self.readers().read(read).await
    }

    async fn profiles_by_nickname(&self, prefix: &str, after: Option<(String, Uid)>, limit: u32) -> Result<Vec<Profile>> {
        let end = after_prefix(prefix);
        let (folded, uid) = after.unwrap_or_else(|| (prefix.to_owned(), Uid(i64::MIN)));
        let read = move |connection: &dyn Sql| many(connection, BY_NICKNAME, params![folded, uid.0, end, limit], rows::profile);
        self.readers().read(read).await
    }

    async fn change_profile(&self, uid: Uid, change: ProfileChange) -> Result<Profile> {
        self.writer().submit(BYTES, move |transaction| change_profile(transaction, uid, &change)).await
    }

    async fn set_password(&self, uid: Uid, password_hash: String, keep: Option<SessionId>, audit: Option<Audit>) -> Result<Vec<Session>> {
        let which = keep.map_or(WhichSessions::All, WhichSessions::AllBut);
        let write = move |transaction: &mut Transaction<'_>| {
            let sql = "UPDATE user SET password_hash = ?2 WHERE uid = ?1";
            if transaction.execute(sql, params![uid.0, password_hash])? == 0 {
                return not_found("no such user");
            }
            if let Some(audit) = &audit {
                write_audit(transaction, audit)?;
            }
            end_sessions(transaction, uid, which)
        };
        self.writer().submit(BYTES, write).await
    }

    async fn rehash(&self, uid: Uid, old: &str, new: String) -> Result<bool> {
        let old = old.to_owned();
        let sql = "UPDATE user SET password_hash = ?3 WHERE uid = ?1 AND password_hash = ?2";
        self.writer().submit(BYTES, move |transaction| Ok(transaction.execute(sql, params![uid.0, old, new])? > 0)).await
    }

    async fn open_session(&self, new: NewSession) -> Result<(Session, Vec<Session>)> {
        self.writer().submit(BYTES, move |transaction| open_session(transaction, &new)).await
    }

    async fn session_by_secret(&self, secret: SecretHash, now: Millis) -> Result<Option<Session>> {
        let sql = concat!("SELECT ", rows::session_columns!(), " FROM session WHERE secret = ?1 AND expires_at > ?2");
        self.readers().read(move |connection| one(connection, sql, params![secret.0, now.0], rows::session)).await
    }

    async fn session(&self, session: SessionId, now: Millis) -> Result<Option<Session>> {
        let sql = concat!("SELECT ", rows::session_columns!(), " FROM session WHERE id = ?1 AND expires_at > ?2");
        self.readers().read(move |connection| one(connection, sql, params![session.0, now.0], rows::session)).await
    }

    async fn sessions(&self, uid: Uid, now: Millis) -> Result<Vec<Session>> {
        let sql = concat!("SELECT ", rows::session_columns!(), " FROM session WHERE uid = ?1 AND expires_at > ?2 ORDER BY id");
        self.readers().read(move |connection| many(connection, sql, params![uid.0, now.0], rows::session)).await
    }

    async fn renew_session(&self, session: SessionId, seen_at: Millis, expires_at: Millis) -> Result<()> {
        let sql = "UPDATE session SET seen_at = CASE WHEN seen_at < ?2 THEN ?2 ELSE seen_at END, \
                   expires_at = CASE WHEN expires_at < ?3 THEN ?3 ELSE expires_at END WHERE id = ?1";
        let write = move |transaction: &mut Transaction<'_>| transaction.execute(sql, params![session.0, seen_at.0, expires_at.0]);
        self.writer().submit(BYTES, write).await.map(|_| ())
    }

    async fn end_sessions(&self, uid: Uid, which: WhichSessions) -> Result<Vec<Session>> {
        self.writer().submit(BYTES, move |transaction| end_sessions(transaction, uid, which)).await
    }

    async fn purge_sessions(&self, before: Millis) -> Result<u64> {
        let mut purged = 0;
        loop {
            let write = move |transaction: &mut Transaction<'_>| transaction.execute(PURGE, params![before.0, PURGED_AT_ONCE]);
            let some = self.writer().submit(BYTES, write).await? as i64;
            purged += some as u64;
            if some < PURGED_AT_ONCE {
                return Ok(purged);
            }
        }
    }

    async fn users(&self, after: Uid, limit: u32) -> Result<Vec<User>> {
        let sql = concat!("SELECT ", rows::user_columns!(), " FROM user u WHERE u.uid > ?1 ORDER BY u.uid LIMIT ?2");
        self.readers().read(move |connection| many(connection, sql, params![after.0, limit], rows::user)).await
    }

    async fn set_disabled(&self, uid: Uid, disabled: bool, audit: Audit) -> Result<Vec<Session>> {
        let write = move |transaction: &mut Transaction<'_>| {
            if transaction.execute("UPDATE user SET disabled = ?2 WHERE uid = ?1", params![uid.0, disabled])? == 0 {
                return not_found("no such user");
            }
            write_audit(transaction, &audit)?;
            if disabled { end_sessions(transaction, uid, WhichSessions::All) } else { Ok(Vec::new()) }
        };
        self.writer().submit(BYTES, write).await
    }

    async fn set_role(&self, uid: Uid, role: UserRole, audit: Audit) -> Result<()> {
        let write = move |transaction: &mut Transaction<'_>| {
            let sql = "UPDATE user SET role = ?2 WHERE uid = ?1";
            if transaction.execute(sql, params![uid.0, role == UserRole::Admin])? == 0 {
                return not_found("no such user");
            }
            write_audit(transaction, &audit)
        };
        self.writer().submit(BYTES, write).await
    }

    async fn audit(&self, audit: Audit) -> Result<()> {
        self.writer().submit(BYTES, move |transaction| write_audit(transaction, &audit)).await
    }

    async fn audits(&self, limit: u32) -> Result<Vec<Audit>> {
        let sql = "SELECT at, actor, act, subject, detail FROM audit ORDER BY id DESC LIMIT ?1";
        let read = move |connection: &dyn Sql| {
            many(connection, sql, params![limit], |row| {
                Ok(Audit { at: Millis(row.get(0)?), actor: row.get(1)?, act: row.get(2)?, subject: row.get(3)?, detail: row.get(4)? })
            })
        };
        self.readers().read(read).await
    }
}

pub(crate) const BY_NICKNAME: &str = "SELECT uid, nickname, signature, findable_by_email FROM user \
     WHERE disabled = 0 AND folded >= ?1 AND folded < ?3 AND (folded > ?1 OR uid > ?2) ORDER BY folded, uid LIMIT ?4";

fn create_user(transaction: &mut Transaction<'_>, user: &NewUser) -> Outcome<Uid> {
    if one(transaction.connection, "SELECT 1 FROM user WHERE email = ?1", params![user.email], |_| Ok(()))?.is_some() {
        return refuse(Code::UserExists, "this address has an account");
    }
    transaction.execute(
        "INSERT INTO user (email, nickname, folded, password_hash, created_at) VALUES (?1, ?2, ?3, ?4, ?5)",
        params![user.email, user.nickname, fold_nickname(&user.nickname), user.password_hash, user.at.0],
    )?;
    Ok(Uid(transaction.connection.last_insert_id()))
}

fn change_profile(transaction: &mut Transaction<'_>, uid: Uid, change: &ProfileChange) -> Outcome<Profile> {
    transaction.execute(
        "UPDATE user SET nickname = coalesce(?2, nickname), folded = coalesce(?3, folded), signature = coalesce(?4, signature),
             findable_by_email = coalesce(?5, findable_by_email) WHERE uid = ?1",
        params![uid.0, change.nickname, change.nickname.as_deref().map(fold_nickname), change.signature, change.findable_by_email],
    )?;
    let Some(profile) = items::own_profile(transaction.connection, uid)? else { return not_found("no such user") };
    user_log::put(transaction, uid, Subject::Profile)?;
    for friend in friend_uids(transaction.connection, uid)? {
        user_log::put(transaction, friend, Subject::Friend(uid))?;
    }
    Ok(profile)
}

fn open_session(transaction: &mut Transaction<'_>, new: &NewSession) -> Outcome<(Session, Vec<Session>)> {
    match one(transaction.connection, "SELECT disabled FROM user WHERE uid = ?1", params![new.uid.0], |row| row.get(0))? {
        None => return not_found("no such user"),
        Some(true) => return refuse(Code::Disabled, "this account is disabled"),
        Some(false) => {}
    }
    let ended = make_room(transaction, new.uid, new.class, new.at)?;
    transaction.execute(
        "INSERT INTO session (uid, class, secret, client, created_at, seen_at, expires_at) VALUES (?1, ?2, ?3, ?4, ?5, ?5, ?6)",
        params![new.uid.0, new.class.as_str(), new.secret.0, new.client, new.at.0, new.expires_at.0],
    )?;
    let session = Session {
        id: SessionId(transaction.connection.last_insert_id()),
        uid: new.uid,
        class: new.class,
        client: new.client.clone(),
        created_at: new.at,
        seen_at: new.at,
        expires_at: new.expires_at,
    };
    Ok((session, ended))
}

/// Ends what has expired of this class, and the oldest ones beyond the place needed for one more.
fn make_room(transaction: &Transaction<'_>, uid: Uid, class: DeviceClass, at: Millis) -> Outcome<Vec<Session>> {
    let sql = concat!("SELECT ", rows::session_columns!(), " FROM session WHERE uid = ?1 AND class = ?2 ORDER BY id DESC");
    let newest_first = many(transaction.connection, sql, params![uid.0, class.as_str()], rows::session)?;
    let (live, mut ended): (Vec<_>, Vec<_>) = newest_first.into_iter().partition(|session| session.expires_at > at);
    ended.extend(live.into_iter().skip(class.sessions_max() - 1));
    for session in &ended {
        transaction.execute("DELETE FROM session WHERE id = ?1", params![session.id.0])?;
    }
    Ok(ended)
}

fn end_sessions(transaction: &Transaction<'_>, uid: Uid, which: WhichSessions) -> Outcome<Vec<Session>> {
    let sql = concat!("SELECT ", rows::session_columns!(), " FROM session WHERE uid = ?1 ORDER BY id");
    let mut ended = many(transaction.connection, sql, params![uid.0], rows::session)?;
    ended.retain(|session| match which {
        WhichSessions::All => true,
        WhichSessions::AllBut(keep) => session.id != keep,
        WhichSessions::One(one) => session.id == one,
    });
    for session in &ended {
        transaction.execute("DELETE FROM session WHERE id = ?1", params![session.id.0])?;
    }
    Ok(ended)
}

pub(super) fn write_audit(transaction: &Transaction<'_>, audit: &Audit) -> Outcome<()> {
    transaction.execute(
        "INSERT INTO audit (at, actor, act, subject, detail) VALUES (?1, ?2, ?3, ?4, ?5)",
        params![audit.at.0, audit.actor, audit.act, audit.subject, audit.detail],
    )?;
    Ok(())
}

/// The first text in byte order that no longer starts with `prefix`. Bytes order UTF-8 as code points do.
fn after_prefix(prefix: &str) -> String {
    let mut end: Vec<char> = prefix.chars().collect();
    while let Some(last) = end.pop() {
        let next = if last == '\u{D7FF}' { Some('\u{E000}') } else { char::from_u32(last as u32 + 1) };
        if let Some(next) = next {
            end.push(next);
            return end.into_iter().collect();
        }
    }
    // An empty prefix (or one of the last characters only) is followed by nothing that a nickname may hold.
    char::MAX.to_string().repeat(64)
}

#[cfg(test)]
mod tests {
    use super::after_prefix;

    #[test]
    fn the_end_of_a_prefix_follows_everything_that_starts_with_it() {
        for prefix in ["a", "an", "李", "z\u{D7FF}", "a\u{10FFFF}"] {
            let end = after_prefix(prefix);
            assert!(prefix < end.as_str() && format!("{prefix}\u{10FFFF}") < end, "{prefix:?}");
            assert!(!end.starts_with(prefix));
        }
    }
}
