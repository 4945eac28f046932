//! [`AccountStore`] with sessions and profiles cached.
//!
//! A secret leads to its user and session (which never changes), a user to their live sessions; every change of a user's
//! sessions bars the latter, so a log-out or a kick is in force when it has been answered. Profiles are hashes, and have a
//! tier in memory in front of Redis: another node's change is seen at most two seconds later.
//!
//! **Invariant:** only a live session is answered from the cache. Whether a secret is refused, the store says.
//! **Invariant:** no password hash and no secret is in Redis; secrets are in keys as their hashes.

use super::hashes::{Hash, Hashes, Properties};
use super::shelf::Shelf;
use super::{Cache, Found};
use crate::redis::Redis;
use async_trait::async_trait;
use skein_domain::Result;
use skein_domain::account::{Profile, ProfileChange, SecretHash, Session, User, UserRole};
use skein_domain::id::{Epoch, Millis, SessionId, Uid};
use skein_domain::port::{AccountStore, Audit, NewSession, NewUser, WhichSessions};
use std::collections::HashMap;
use std::sync::Arc;

pub struct CachedAccounts {
    store: Arc<dyn AccountStore>,
    sessions: Cache,
    profiles: Hashes,
    shelf: Shelf<Uid, Profile>,
}

impl CachedAccounts {
    pub fn new(store: Arc<dyn AccountStore>, redis: Redis, epoch: Epoch) -> Self {
        let cache = |name| Cache::new(redis.clone(), name, epoch);
        Self { store, sessions: cache("sessions"), profiles: Hashes::new(cache("profiles")), shelf: Shelf::new() }
    }

    fn secret_key(&self, secret: SecretHash) -> String {
        let hex: String = secret.0.iter().map(|byte| format!("{byte:02x}")).collect();
        self.sessions.key("secret", hex)
    }

    fn sessions_key(&self, uid: Uid) -> String {
        self.sessions.key("sessions", uid)
    }

    fn profile_key(&self, uid: Uid) -> String {
        self.profiles.key("user", uid)
    }

    async fn changing_sessions<T>(&self, uid: Uid, change: impl Future<Output = Result<T>>) -> Result<T> {
        self.sessions.change(&[self.sessions_key(uid)], change).await
    }

    async fn changing_profile<T>(&self, uid: Uid, change: impl Future<Output = Result<T>>) -> Result<T> {
        let outcome = self.profiles.change(self.profile_key(uid), change).await;
        self.shelf.take_away(&uid);
        outcome
    }

    /// From Redis, and what is not there from the store. `None`: no such profile.
    async fn looked_up(&self, uids: &[Uid]) -> Result<HashMap<Uid, Profile>> {
        let keys: Vec<String> = uids.iter().map(|uid| self.profile_key(*uid)).collect();
        let found = self.profiles.look::<Profile>(&keys).await;
        let (mut known, mut missing, mut loads) = (HashMap::new(), Vec::new(), Vec::new());
        for ((uid, key), found) in uids.iter().zip(keys).zip(found) {
            match found {
                Found::Value(profile) => known.extend(profile.map(|profile| (*uid, profile))),
                Found::Load(token) => {
                    missing.push(*uid);
                    loads.push((*uid, key, token));
                }
                Found::Loading | Found::Bypass => missing.push(*uid),
            }
        }
        self.profiles.count("redis", uids.len() - missing.len());
        if missing.is_empty() {
            return Ok(known);
        }
        self.profiles.count("store", missing.len());
        let loaded: HashMap<Uid, Profile> = self.store.profiles(&missing).await?.into_iter().map(|p| (p.uid, p)).collect();
        self.profiles.fill(loads.into_iter().map(|(uid, key, token)| (key, token, loaded.get(&uid))).collect()).await;
        known.extend(loaded);
        Ok(known)
    }
}

#[async_trait]
impl AccountStore for CachedAccounts {
    async fn create_user(&self, user: NewUser) -> Result<Uid> {
        let uid = self.store.create_user(user).await?;
        // That there is no such user may have been remembered.
        self.changing_profile(uid, std::future::ready(Ok(uid))).await
    }

    async fn user_by_email(&self, email: &str) -> Result<Option<User>> {
        self.store.user_by_email(email).await
    }

    async fn user(&self, uid: Uid) -> Result<Option<User>> {
        self.store.user(uid).await
    }

    async fn profiles(&self, uids: &[Uid]) -> Result<Vec<Profile>> {
        let changes = self.shelf.changes();
        let on_shelf: HashMap<Uid, Profile> = uids.iter().filter_map(|uid| self.shelf.get(uid).map(|profile| (*uid, profile))).collect();
        self.profiles.count("memory", on_shelf.len());
        let mut missing: Vec<Uid> = uids.iter().copied().filter(|uid| !on_shelf.contains_key(uid)).collect();
        missing.sort();
        missing.dedup();
        let mut known = on_shelf;
        if !missing.is_empty() {
            let looked_up = self.looked_up(&missing).await?;
            self.shelf.put(looked_up.iter().map(|(uid, profile)| (*uid, profile.clone())), changes);
            known.extend(looked_up);
        }
        Ok(uids.iter().filter_map(|uid| known.get(uid).cloned()).collect())
    }

    async fn profiles_by_nickname(&self, prefix: &str, after: Option<(String, Uid)>, limit: u32) -> Result<Vec<Profile>> {
        self.store.profiles_by_nickname(prefix, after, limit).await
    }

    async fn change_profile(&self, uid: Uid, change: ProfileChange) -> Result<Profile> {
        self.changing_profile(uid, self.store.change_profile(uid, change)).await
    }

    async fn set_password(&self, uid: Uid, password_hash: String, keep: Option<SessionId>, audit: Option<Audit>) -> Result<Vec<Session>> {
        self.changing_sessions(uid, self.store.set_password(uid, password_hash, keep, audit)).await
    }

    async fn rehash(&self, uid: Uid, old: &str, new: String) -> Result<bool> {
        self.store.rehash(uid, old, new).await
    }

    async fn open_session(&self, new: NewSession) -> Result<(Session, Vec<Session>)> {
        self.changing_sessions(new.uid, self.store.open_session(new)).await
    }

    async fn session_by_secret(&self, secret: SecretHash, now: Millis) -> Result<Option<Session>> {
        let named = async || Ok(self.store.session_by_secret(secret, now).await?.map(|session| (session.uid, session.id)));
        let key = self.secret_key(secret);
        let Some((uid, id)) = self.sessions.get(&key, named).await? else { return Ok(None) };
        let live = self.sessions.get(&self.sessions_key(uid), || self.store.sessions(uid, now)).await?;
        if let Some(session) = live.into_iter().find(|session| session.id == id && session.expires_at > now) {
            return Ok(Some(session));
        }
        // Over, or renewed meanwhile. If it is over, the secret leads nowhere any more.
        self.sessions.change(&[key], self.store.session_by_secret(secret, now)).await
    }

    async fn session(&self, session: SessionId, now: Millis) -> Result<Option<Session>> {
        self.store.session(session, now).await
    }

    async fn sessions(&self, uid: Uid, now: Millis) -> Result<Vec<Session>> {
        self.store.sessions(uid, now).await
    }

    async fn renew_session(&self, session: SessionId, seen_at: Millis, expires_at: Millis) -> Result<()> {
        // Once a day for each.
        match self.store.session(session, seen_at).await? {
            Some(known) => self.changing_sessions(known.uid, self.store.renew_session(session, seen_at, expires_at)).await,
            None => self.store.renew_session(session, seen_at, expires_at).await,
        }
    }

    async fn end_sessions(&self, uid: Uid, which: WhichSessions) -> Result<Vec<Session>> {
        self.changing_sessions(uid, self.store.end_sessions(uid, which)).await
    }

    async fn purge_sessions(&self, before: Millis) -> Result<u64> {
        self.store.purge_sessions(before).await
    }

    async fn users(&self, after: Uid, limit: u32) -> Result<Vec<User>> {
        self.store.users(after, limit).await
    }

    async fn set_disabled(&self, uid: Uid, disabled: bool, audit: Audit) -> Result<Vec<Session>> {
        let change = self.store.set_disabled(uid, disabled, audit);
        self.changing_profile(uid, self.changing_sessions(uid, change)).await
    }

    async fn set_role(&self, uid: Uid, role: UserRole, audit: Audit) -> Result<()> {
        self.store.set_role(uid, role, audit).await
    }

    async fn audit(&self, audit: Audit) -> Result<()> {
        self.store.audit(audit).await
    }

    async fn audits(&self, limit: u32) -> Result<Vec<Audit>> {
        self.store.audits(limit).await
    }
}

impl Hash for Profile {
    fn properties(&self) -> Vec<(&'static str, String)> {
        vec![
            ("uid", self.uid.to_string()),
            ("nickname", self.nickname.clone()),
            ("signature", self.signature.clone()),
            ("findable_by_email", self.findable_by_email.to_string()),
        ]
    }

    fn of(properties: &Properties) -> Option<Self> {
        Some(Self {
            uid: Uid(properties.get("uid")?.parse().ok()?),
            nickname: properties.get("nickname")?.clone(),
            signature: properties.get("signature")?.clone(),
            email: None,
            findable_by_email: properties.get("findable_by_email")?.parse().ok()?,
        })
    }
}
