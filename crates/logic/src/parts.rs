//! What logic is made of: its ports, and how it is to behave.

use crate::Config;
use crate::push::Goim;
use skein_domain::Limits;
use skein_domain::door::Comets;
use skein_domain::id::NodeId;
use skein_domain::port::{
    AccountStore, BroadcastQueue, Clock, CodeStore, ContactStore, ConversationStore, GuestRegistry, LiveLog, LiveSource, LogBus, LogSource,
    Mailer, MessageStore, NodeRegistry, Outbox, PushStore, ReceiptStore, SessionRegistry, ShardLeases,
};
use std::sync::Arc;

pub struct Parts {
    /// Name of the node this runs on.
    pub node: NodeId,
    pub accounts: Arc<dyn AccountStore>,
    pub contacts: Arc<dyn ContactStore>,
    pub conversations: Arc<dyn ConversationStore>,
    pub messages: Arc<dyn MessageStore>,
    pub outbox: Arc<dyn Outbox>,
    /// `None`: each node relays every shard, for it alone knows who is connected to it.
    pub leases: Option<Arc<dyn ShardLeases>>,
    pub registry: Arc<dyn SessionRegistry>,
    pub nodes: Arc<dyn NodeRegistry>,
    pub codes: Arc<dyn CodeStore>,
    pub guests: Arc<dyn GuestRegistry>,
    pub pushes: Arc<dyn PushStore>,
    pub receipts: Arc<dyn ReceiptStore>,
    pub broadcasts: Arc<dyn BroadcastQueue>,
    pub mailer: Arc<dyn Mailer>,
    pub comets: Arc<dyn Comets>,
    pub clock: Arc<dyn Clock>,
    /// `None`: `direct` mode, records are dispatched as they are relayed.
    pub pipeline: Option<Pipeline>,
    /// `None`: direct mode, transient pushes are dispatched in this process.
    pub live_log: Option<LivePipeline>,
    pub goim: Goim,
    pub limits: Limits,
    pub config: Config,
}

/// The two ends of a log between relay and job.
#[derive(Clone)]
pub struct Pipeline {
    pub bus: Arc<dyn LogBus>,
    pub source: Arc<dyn LogSource>,
}

/// The two ends of a log of transient pushes.
#[derive(Clone)]
pub struct LivePipeline {
    pub log: Arc<dyn LiveLog>,
    pub source: Arc<dyn LiveSource>,
}
