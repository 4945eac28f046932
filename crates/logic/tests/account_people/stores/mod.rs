//! What the world remembers: the real store in a folder of its own, and the registries of one process.

use skein_domain::port::{AccountStore, Clock, CodeStore, ContactStore, ConversationStore, NodeRegistry, SessionRegistry};
use skein_storage::{Config, MemoryCodes, MemoryNodes, MemorySessions, Store};
use std::sync::Arc;
use tempfile::TempDir;

#[derive(Clone)]
pub struct Stores {
    pub accounts: Arc<dyn AccountStore>,
    pub codes: Arc<dyn CodeStore>,
    pub contacts: Arc<dyn ContactStore>,
    pub conversations: Arc<dyn ConversationStore>,
    pub nodes: Arc<dyn NodeRegistry>,
    pub registry: Arc<dyn SessionRegistry>,
    _folder: Arc<TempDir>,
}

pub async fn open(clock: Arc<dyn Clock>) -> Stores {
    let folder = TempDir::new().unwrap();
    // No test here cuts the power.
    let config = Config { allow_unsafe_durability: true, ..Config::default() };
    let store = Arc::new(Store::open(folder.path(), &config).unwrap());
    Stores {
        accounts: store.clone(),
        codes: Arc::new(MemoryCodes::default()),
        contacts: store.clone(),
        conversations: store,
        nodes: Arc::new(MemoryNodes::new(clock.clone())),
        registry: Arc::new(MemorySessions::new(clock)),
        _folder: Arc::new(folder),
    }
}
