//! A data folder with people in it: users, friendships, conversations and sessions whose tokens are known. Written through
//! the storage crate, so no password is hashed and no mail is sent.
//!
//! **Invariant:** nothing runs on the folder while it is seeded, and what was seeded is on disk when [`Seed::close`] returns.

use anyhow::{Context, Result, anyhow};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sha2::{Digest, Sha256};
use skein_domain::account::{DeviceClass, SecretHash};
use skein_domain::id::{ConversationId, IdempotencyKey, Millis, Uid};
use skein_domain::port::{AccountStore, Clock, ContactStore, ConversationStore, CreateConversation, NewSession, NewUser, SystemClock};
use skein_storage::{Config, Store};
use std::path::Path;

const FRIENDS_MAX: u32 = 5_000;
const DAY_MS: i64 = 86_400_000;

pub struct Seed {
    store: Store,
    now: Millis,
}

impl Seed {
    pub fn open(data: &Path) -> Result<Self> {
        Self::open_on(data, &Config::default())
    }

    /// In the folder, or in the database that `config` names.
    pub fn open_on(data: &Path, config: &Config) -> Result<Self> {
        std::fs::create_dir_all(data).context("make the data folder")?;
        Ok(Self { store: Store::open_configured(data, config)?, now: SystemClock.now() })
    }

    pub fn close(self) {
        self.store.close();
    }

    /// Nobody can log in with a password: there is none.
    pub async fn user(&self, name: &str) -> Result<Uid> {
        let (email, nickname) = (format!("{name}@example.org"), name.to_owned());
        let user = NewUser { email, nickname, password_hash: String::from("none"), at: self.now };
        Ok(self.store.create_user(user).await?)
    }

    /// A session of the user, and its token.
    pub async fn session(&self, uid: Uid, class: DeviceClass) -> Result<String> {
        let secret: [u8; 32] = Sha256::digest(format!("testkit {uid} {}", class.as_str())).into();
        let session = NewSession {
            uid,
            class,
            secret: SecretHash(Sha256::digest(secret).into()),
            client: "testkit".to_owned(),
            at: self.now,
            expires_at: self.now.plus(30 * DAY_MS),
        };
        self.store.open_session(session).await?;
        Ok(URL_SAFE_NO_PAD.encode(secret))
    }

    pub async fn befriend(&self, a: Uid, b: Uid) -> Result<()> {
        let request = self.store.apply(a, b, "hello".to_owned(), self.now, FRIENDS_MAX).await?;
        self.store.answer(b, request.id, true, self.now, FRIENDS_MAX).await?;
        Ok(())
    }

    pub async fn direct(&self, a: Uid, b: Uid) -> Result<ConversationId> {
        Ok(self.store.open_direct(a, b, self.now).await?)
    }

    pub async fn group(&self, title: &str, owner: Uid, members: &[Uid]) -> Result<ConversationId> {
        Ok(self.store.create_group(self.creation(title, owner, members)?).await?)
    }

    pub async fn room(&self, title: &str, owner: Uid, members: &[Uid]) -> Result<ConversationId> {
        let (room, _) = self.store.create_room(self.creation(title, owner, &[])?).await?;
        for uid in members {
            self.store.join_room(room, *uid, self.now).await?;
        }
        Ok(room)
    }

    fn creation(&self, title: &str, owner: Uid, uids: &[Uid]) -> Result<CreateConversation> {
        let key = IdempotencyKey::parse(&format!("seed-{title}")).map_err(|error| anyhow!("{error}"))?;
        Ok(CreateConversation { owner, key, title: title.to_owned(), uids: uids.to_vec(), at: self.now, per_day_max: u32::MAX })
    }
}

/// Copies a closed data folder.
pub fn copy(template: &Path, to: &Path) -> Result<()> {
    std::fs::create_dir_all(to)?;
    for entry in std::fs::read_dir(template)? {
        let entry = entry?;
        let (kind, to) = (entry.file_type()?, to.join(entry.file_name()));
        if kind.is_dir() {
            copy(&entry.path(), &to)?;
        } else if kind.is_file() {
            std::fs::copy(entry.path(), to)?;
        }
    }
    Ok(())
}
