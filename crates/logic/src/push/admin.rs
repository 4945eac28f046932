//! Administration of the push platform: API keys, bindings of live rooms, tags of accounts.
//!
//! **Invariant:** every act leaves an audit row in its transaction. A key's secret is told once, to whoever made it.

use super::keys::Keys;
use crate::account::secret;
use skein_domain::account::SecretHash;
use skein_domain::id::{ConversationId, Uid};
use skein_domain::live::{RoomName, Scope};
use skein_domain::policy;
use skein_domain::port::{ApiKey, Audit, Clock, NewApiKey, PushStore};
use skein_domain::{Code, Error, Result};
use std::sync::Arc;

const PER_SECOND_MAX: u32 = 1_000_000;
const PREFIXES_MAX: usize = 100;
const TAGS_MAX: usize = 32;
const TAG_BYTES_MAX: usize = 64;

#[derive(Clone)]
pub struct PushAdmin {
    pub(super) store: Arc<dyn PushStore>,
    pub(super) keys: Keys,
    pub(super) clock: Arc<dyn Clock>,
}

impl PushAdmin {
    /// Makes the app if there is none of the name. Answers the secret, which nobody can ask for again, and the key.
    pub async fn create_key(&self, app: &str, scope: Scope, per_second: u32, actor: &str) -> Result<(String, ApiKey)> {
        let (secret, hash) = secret::new_secret()?;
        Ok((secret, self.register(hash, app, scope, per_second, actor).await?))
    }

    /// The key with a secret that was made elsewhere, also if it is revoked; registered if it is not known yet.
    /// `bad_request` if it is no 32 bytes in URL-safe Base64.
    pub async fn adopt_key(&self, secret: &str, app: &str, scope: Scope, per_second: u32, actor: &str) -> Result<ApiKey> {
        let hash = secret::hash_of(secret).ok_or_else(|| bad("a key is 32 bytes in URL-safe Base64 without padding"))?;
        match self.store.key_by_hash(hash.0).await? {
            Some(known) => Ok(known),
            None => self.register(hash, app, scope, per_second, actor).await,
        }
    }

    async fn register(&self, hash: SecretHash, app: &str, scope: Scope, per_second: u32, actor: &str) -> Result<ApiKey> {
        policy::checked_title(app)?;
        check_scope(&scope)?;
        if !(1..=PER_SECOND_MAX).contains(&per_second) {
            return Err(bad("a key has 1 to 1000000 requests per second"));
        }
        let routes = scope.routes.iter().map(|route| route.as_str()).collect::<Vec<_>>().join(",");
        let detail =
            format!("routes {routes}; rooms {}; {per_second}/s", if scope.rooms.is_empty() { "*".into() } else { scope.rooms.join(",") });
        let audit = self.audit(actor, "create_api_key", app.to_owned(), detail);
        let new = NewApiKey { app: app.to_owned(), hash: hash.0, scope, per_second, at: audit.at, audit };
        self.store.create_key(new).await
    }

    /// It stops working at once here, and within seconds on other nodes.
    pub async fn revoke_key(&self, id: i64, actor: &str) -> Result<()> {
        self.store.revoke_key(id, self.audit(actor, "revoke_api_key", id.to_string(), String::new())).await?;
        self.keys.forget();
        Ok(())
    }

    pub async fn keys(&self) -> Result<Vec<ApiKey>> {
        self.store.keys().await
    }

    /// Durable pushes to the live room go to this chat room from now on. `None`: they are refused.
    pub async fn bind_room(&self, room: &RoomName, to: Option<ConversationId>, actor: &str) -> Result<()> {
        let detail = to.map_or_else(|| "unbound".to_owned(), |to| to.to_string());
        self.store.bind_room(room, to, self.audit(actor, "bind_live_room", room.as_str().to_owned(), detail)).await
    }

    pub async fn bindings(&self) -> Result<Vec<(RoomName, ConversationId)>> {
        self.store.bindings().await
    }

    /// Replaces the words by which pushes to all find the account; its connections have them when they connect next.
    pub async fn set_tags(&self, uid: Uid, tags: &[String], actor: &str) -> Result<()> {
        let is_tag = |tag: &String| !tag.is_empty() && tag.len() <= TAG_BYTES_MAX && !tag.chars().any(char::is_control);
        if tags.len() > TAGS_MAX || !tags.iter().all(is_tag) {
            return Err(bad("at most 32 tags of 1 to 64 bytes"));
        }
        self.store.set_tags(uid, tags, self.audit(actor, "set_tags", uid.to_string(), tags.join(","))).await
    }

    pub async fn tags(&self, uid: Uid) -> Result<Vec<String>> {
        self.store.tags(uid).await
    }

    fn audit(&self, actor: &str, act: &str, subject: String, detail: String) -> Audit {
        Audit { at: self.clock.now(), actor: actor.to_owned(), act: act.to_owned(), subject, detail }
    }
}

fn check_scope(scope: &Scope) -> Result<()> {
    if scope.routes.is_empty() {
        return Err(bad("a key is for at least one of unicast, room, all, read, verify"));
    }
    let is_prefix = |prefix: &String| !prefix.is_empty() && prefix.len() <= RoomName::BYTES_MAX;
    if scope.rooms.len() > PREFIXES_MAX || !scope.rooms.iter().all(is_prefix) {
        return Err(bad("at most 100 beginnings of room names of 1 to 256 bytes"));
    }
    Ok(())
}

fn bad(message: &'static str) -> Error {
    Error::new(Code::BadRequest, message)
}
