//! `skein demo`: people to try Skein with.

use super::server::{ACTOR, Admin};
use serde_json::{Value, json};
use skein_domain::id::{IdempotencyKey, Uid};
use skein_domain::port::{Audit, CreateConversation};
use skein_domain::{Error, Result};

impl Admin {
    /// Two friends and a group. Each call makes new ones, so that it can be repeated.
    pub(super) async fn demo(&self) -> Result<Value> {
        let mark = crate::secrets::random().map_err(|_| Error::internal())?;
        let mark: String = mark.chars().filter(char::is_ascii_alphanumeric).take(6).collect::<String>().to_lowercase();
        let ann = self.demo_account(&format!("ann-{mark}@demo.invalid"), "Ann").await?;
        let bo = self.demo_account(&format!("bo-{mark}@demo.invalid"), "小博").await?;
        let at = self.clock.now();
        let request = self.contacts.apply(ann.uid, bo.uid, "Hi! 你好!".into(), at, self.friends_max).await?;
        self.contacts.answer(bo.uid, request.id, true, at, self.friends_max).await?;
        let title = "Skein demo 演示";
        let key = IdempotencyKey::parse(&format!("demo-{mark}"))?;
        let uids = vec![bo.uid];
        let create = CreateConversation { owner: ann.uid, key, title: title.into(), uids, at, per_day_max: 1 };
        self.conversations.create_group(create).await?;
        let subject = format!("{}, {}", ann.uid, bo.uid);
        self.users.audit(Audit { at, actor: ACTOR.into(), act: "demo".into(), subject, detail: title.into() }).await?;
        Ok(json!({"server": self.server, "group": title, "accounts": [ann.json, bo.json]}))
    }

    async fn demo_account(&self, email: &str, nickname: &str) -> Result<DemoAccount> {
        let password = crate::secrets::random().map_err(|_| Error::internal())?;
        let uid = self.logic.accounts().create(email, password.clone(), nickname).await?;
        let json = json!({"uid": uid, "email": email, "nickname": nickname, "password": password});
        Ok(DemoAccount { uid, json })
    }
}

struct DemoAccount {
    uid: Uid,
    json: Value,
}
