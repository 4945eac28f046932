//! What the world remembers: the ports in memory, as their contracts say.

mod accounts;
mod codes;
mod contacts;
mod conversations;
mod registries;

use skein_domain::account::SecretHash;
use skein_domain::account::{Session, User};
use skein_domain::contact::{Friend, FriendRequest};
use skein_domain::id::Uid;
use skein_domain::port::{AccountStore, Audit, Clock, CodeStore, ContactStore, ConversationStore, NodeRegistry, SessionRegistry};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

#[derive(Clone)]
pub struct Stores {
    pub accounts: Arc<dyn AccountStore>,
    pub codes: Arc<dyn CodeStore>,
    pub contacts: Arc<dyn ContactStore>,
    pub conversations: Arc<dyn ConversationStore>,
    pub nodes: Arc<dyn NodeRegistry>,
    pub registry: Arc<dyn SessionRegistry>,
}

pub async fn open(clock: Arc<dyn Clock>) -> Stores {
    let people = Arc::new(People::default());
    let registries = Arc::new(registries::Registries::new(clock));
    Stores {
        accounts: people.clone(),
        codes: Arc::new(codes::Codes::default()),
        contacts: people.clone(),
        conversations: Arc::new(conversations::NoConversations),
        nodes: registries.clone(),
        registry: registries,
    }
}

#[derive(Default)]
struct People(Mutex<State>);

#[derive(Default)]
struct State {
    users: BTreeMap<Uid, User>,
    /// Live ones, oldest first.
    sessions: Vec<(SecretHash, Session)>,
    opened: i64,
    audits: Vec<Audit>,
    requests: Vec<FriendRequest>,
    /// By owner and peer.
    friends: BTreeMap<(Uid, Uid), Friend>,
}
