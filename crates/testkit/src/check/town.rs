//! Who is in a seed: the data folder every seed starts from, and what is known about the people in it.

use super::plan::{DEVICES, PEOPLE, Place, devices_of, person_of};
use crate::seed::Seed;
use anyhow::Result;
use skein_domain::account::DeviceClass;
use skein_domain::id::Uid;
use skein_storage::Config;
use std::path::Path;

const NAMES: [&str; PEOPLE] = ["ann", "bob", "cat", "dan"];

#[derive(Debug, Clone)]
pub struct Town {
    pub uids: [i64; PEOPLE],
    /// By device.
    pub tokens: Vec<String>,
    /// By person: a third session, for looking at the truth.
    pub witnesses: Vec<String>,
    conversations: [i64; 3],
}

impl Town {
    /// Makes the template in `data`, or in the database that `config` names.
    pub async fn found(data: &Path, config: &Config) -> Result<Self> {
        let seed = Seed::open_on(data, config)?;
        let mut users = Vec::new();
        let (mut tokens, mut witnesses) = (vec![String::new(); DEVICES], Vec::new());
        for (person, name) in NAMES.iter().enumerate() {
            let uid = seed.user(name).await?;
            let [desktop, mobile] = devices_of(person);
            tokens[desktop] = seed.session(uid, DeviceClass::Desktop).await?;
            tokens[mobile] = seed.session(uid, DeviceClass::Mobile).await?;
            witnesses.push(seed.session(uid, DeviceClass::Web).await?);
            users.push(uid);
        }
        for (n, a) in users.iter().enumerate() {
            for b in &users[n + 1..] {
                seed.befriend(*a, *b).await?;
            }
        }
        let [ann, bob, cat, dan]: [Uid; PEOPLE] = [users[0], users[1], users[2], users[3]];
        let conversations =
            [seed.direct(ann, bob).await?, seed.group("group", ann, &[bob, cat]).await?, seed.room("room", ann, &[bob, cat]).await?];
        seed.close();
        let uids = [ann, bob, cat, dan].map(|uid| uid.0);
        Ok(Self { uids, tokens, witnesses, conversations: conversations.map(|id| id.0) })
    }

    /// A town of these people and conversations that was never founded.
    #[cfg(test)]
    pub fn imagined(uids: [i64; PEOPLE], conversations: [i64; 3]) -> Self {
        Self { uids, tokens: Vec::new(), witnesses: Vec::new(), conversations }
    }

    pub fn id(&self, place: Place) -> i64 {
        self.conversations[place as usize]
    }

    pub fn uid_of(&self, device: usize) -> i64 {
        self.uids[person_of(device)]
    }

    pub fn label(device: usize) -> String {
        format!("{}-{}", NAMES[person_of(device)], if device.is_multiple_of(2) { "desktop" } else { "mobile" })
    }

    pub fn name(person: usize) -> &'static str {
        NAMES[person]
    }
}
