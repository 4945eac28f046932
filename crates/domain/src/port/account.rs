use crate::Result;
use crate::account::{DeviceClass, Profile, ProfileChange, SecretHash, Session, User, UserRole};
use crate::id::{Millis, SessionId, Uid};
use async_trait::async_trait;
use serde::{Deserialize, Serialize};

/// Users and their sessions. E-mail addresses come in normalised (see logic) and compare exactly.
#[async_trait]
pub trait AccountStore: Send + Sync + 'static {
    /// `user_exists` if the address is taken.
    async fn create_user(&self, user: NewUser) -> Result<Uid>;
    async fn user_by_email(&self, email: &str) -> Result<Option<User>>;
    async fn user(&self, uid: Uid) -> Result<Option<User>>;
    /// Without e-mail; unknown uids are left out; disabled users too.
    async fn profiles(&self, uids: &[Uid]) -> Result<Vec<Profile>>;
    /// By folded nickname prefix (see [`fold_nickname`]), ascending by (folded nickname, uid) after the given position.
    async fn profiles_by_nickname(&self, prefix: &str, after: Option<(String, Uid)>, limit: u32) -> Result<Vec<Profile>>;
    /// Item `profile` in the own user log, and `friend` in the log of everyone who has this user as a friend.
    async fn change_profile(&self, uid: Uid, change: ProfileChange) -> Result<Profile>;
    /// Ends all sessions but `keep`, and writes the audit row if an administrator did it, in the same transaction. Returns
    /// the sessions that ended.
    async fn set_password(&self, uid: Uid, password_hash: String, keep: Option<SessionId>, audit: Option<Audit>) -> Result<Vec<Session>>;
    /// Replaces the hash of an unchanged password by one of other cost, if it is still `old`; sessions stay. Answers
    /// whether it was.
    async fn rehash(&self, uid: Uid, old: &str, new: String) -> Result<bool>;

    /// Opens a session and, in the same transaction, ends the oldest of its class beyond
    /// [`DeviceClass::sessions_max`]; returns the new one and the ended ones.
    async fn open_session(&self, new: NewSession) -> Result<(Session, Vec<Session>)>;
    /// Live (not ended, not expired at `now`) sessions only.
    async fn session_by_secret(&self, secret: SecretHash, now: Millis) -> Result<Option<Session>>;
    async fn session(&self, session: SessionId, now: Millis) -> Result<Option<Session>>;
    async fn sessions(&self, uid: Uid, now: Millis) -> Result<Vec<Session>>;
    async fn renew_session(&self, session: SessionId, seen_at: Millis, expires_at: Millis) -> Result<()>;
    /// Ends those of the user's sessions that `which` names, and returns them. Idempotent.
    async fn end_sessions(&self, uid: Uid, which: WhichSessions) -> Result<Vec<Session>>;
    /// Removes sessions that ended or expired before; returns how many.
    async fn purge_sessions(&self, before: Millis) -> Result<u64>;

    /// For administration: users by uid above `after`.
    async fn users(&self, after: Uid, limit: u32) -> Result<Vec<User>>;
    /// Disabling ends all sessions in the same transaction and returns them. Writes the audit row.
    async fn set_disabled(&self, uid: Uid, disabled: bool, audit: Audit) -> Result<Vec<Session>>;
    async fn set_role(&self, uid: Uid, role: UserRole, audit: Audit) -> Result<()>;
    /// Append-only.
    async fn audit(&self, audit: Audit) -> Result<()>;
    /// Newest first.
    async fn audits(&self, limit: u32) -> Result<Vec<Audit>>;
}

#[derive(Clone)]
pub struct NewUser {
    pub email: String,
    pub nickname: String,
    pub password_hash: String,
    pub at: Millis,
}

#[derive(Debug, Clone)]
pub struct NewSession {
    pub uid: Uid,
    pub class: DeviceClass,
    pub secret: SecretHash,
    pub client: String,
    pub at: Millis,
    pub expires_at: Millis,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WhichSessions {
    One(SessionId),
    All,
    AllBut(SessionId),
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Audit {
    pub at: Millis,
    /// Who acted: `admin.sock`, or a uid.
    pub actor: String,
    pub act: String,
    pub subject: String,
    pub detail: String,
}

/// How nicknames compare: lower case, without surrounding white space.
pub fn fold_nickname(nickname: &str) -> String {
    nickname.trim().to_lowercase()
}
