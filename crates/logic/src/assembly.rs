//! Logic put together from its parts.

use crate::account::rate::RateLimit;
use crate::account::status::{Hello, Status, StatusPorts};
use crate::account::{Accounts, Chores};
use crate::announcer::Announcer;
use crate::append::{AppendPorts, Appends};
use crate::background::Background;
use crate::contact::Contacts;
use crate::conversation::Conversations;
use crate::cursors::Cursors;
use crate::history::History;
use crate::job::{Backlog, Dispatch, Fanout, Intake, Ownership, Relay, RelayPorts, Title};
use crate::parts::Parts;
use crate::service::Service;
use crate::snapshots::Snapshots;
use crate::sync::{Sync, SyncBounds};
use crate::traces::Traces;
use crate::turns::Turns;
use crate::typing::Typing;
use platform::Platform;
use skein_domain::id::Shard;
use skein_domain::port::LogBus;
use skein_domain::{Limits, Result};
use std::sync::Arc;

mod platform;

impl Service {
    /// Fails only on settings that make no sense.
    pub fn new(parts: Parts) -> Result<(Self, Background)> {
        let shared = Shared::of(&parts);
        let Shared { limits, fanout, snapshots, announcer, .. } = &shared;
        let (conversations, clock) = (&parts.conversations, &parts.clock);
        let appends = shared.appends(&parts);
        let (cursors, cursor_pusher) = Cursors::new(conversations.clone(), snapshots.clone(), fanout.clone());
        let (typing, typing_pusher) = Typing::new(conversations.clone(), snapshots.clone(), fanout.clone(), clock.clone(), limits.clone());
        let Platform { pushes, guests, live, schedule, rooms, broadcasts, live_intake } = Platform::new(&parts, fanout, snapshots, limits);
        let status = Arc::new(status(&parts, fanout));
        let (accounts, chores) = accounts(&parts, &status, fanout)?;
        let service = Self {
            accounts: Arc::new(accounts),
            status,
            contacts: Arc::new(contacts(&parts)),
            conversations: shared.conversations(&parts, &appends),
            appends,
            cursors,
            typing,
            sync: sync(&parts),
            history: history(&parts),
            fanout: fanout.clone(),
            pushes,
            guests,
            live,
        };
        let dispatch = Arc::new(Dispatch::new(snapshots.clone(), fanout.clone()));
        let (ownership, titles) = shared.ownership(&parts)?;
        let background = Background {
            ownership,
            intake: parts.pipeline.as_ref().map(|pipeline| Intake::new(pipeline.source.clone(), dispatch.clone())),
            relays: shared.relays(&parts, titles, dispatch),
            live_intake,
            chores,
            cursors: cursor_pusher,
            typing: typing_pusher,
            announcer: announcer.clone(),
            fanout: fanout.clone(),
            schedule,
            rooms,
            broadcasts,
            sessions: parts.registry,
            guests: parts.guests,
        };
        Ok((service, background))
    }
}

/// What several parts hold together.
struct Shared {
    limits: Arc<Limits>,
    fanout: Fanout,
    snapshots: Snapshots,
    traces: Traces,
    backlog: Backlog,
    announcer: Announcer,
}

impl Shared {
    fn of(parts: &Parts) -> Self {
        Self {
            limits: Arc::new(parts.limits.clone()),
            fanout: Fanout::new(parts.registry.clone(), parts.comets.clone(), &parts.node),
            snapshots: Snapshots::new(parts.conversations.clone(), parts.config.members_cached),
            traces: Traces::default(),
            backlog: Backlog::new(parts.messages.shards(), parts.config.unpublished_max),
            announcer: Announcer::default(),
        }
    }

    fn appends(&self, parts: &Parts) -> Appends {
        let ports = AppendPorts {
            messages: parts.messages.clone(),
            conversations: parts.conversations.clone(),
            contacts: parts.contacts.clone(),
            accounts: parts.accounts.clone(),
        };
        let sends = RateLimit::new("sends", parts.config.sends, parts.clock.clone());
        let (snapshots, traces, backlog) = (self.snapshots.clone(), self.traces.clone(), self.backlog.clone());
        Appends::new(ports, snapshots, traces, backlog, sends, parts.clock.clone(), self.limits.clone())
    }

    fn conversations(&self, parts: &Parts, appends: &Appends) -> Conversations {
        Conversations {
            store: parts.conversations.clone(),
            messages: parts.messages.clone(),
            appends: appends.clone(),
            snapshots: self.snapshots.clone(),
            fanout: self.fanout.clone(),
            announcer: self.announcer.clone(),
            turns: Turns::new(),
            clock: parts.clock.clone(),
            limits: self.limits.clone(),
        }
    }

    /// With a title for each shard.
    fn ownership(&self, parts: &Parts) -> Result<(Option<Ownership>, Vec<Title>)> {
        let shards = parts.messages.shards();
        let Some(leases) = parts.leases.clone() else {
            return Ok((None, (0..shards).map(|_| Title::of_everybody()).collect()));
        };
        let (ownership, titles) = Ownership::new(leases, parts.node.clone(), shards, self.backlog.clone())?;
        Ok((Some(ownership), titles))
    }

    /// One a shard: to the log, or in `direct` mode to the job in this process.
    fn relays(&self, parts: &Parts, titles: Vec<Title>, dispatch: Arc<Dispatch>) -> Vec<Relay> {
        let bus: Arc<dyn LogBus> = parts.pipeline.as_ref().map_or(dispatch, |pipeline| pipeline.bus.clone());
        let (traces, backlog) = (self.traces.clone(), self.backlog.clone());
        let ports = RelayPorts { outbox: parts.outbox.clone(), messages: parts.messages.clone(), bus, traces, backlog };
        titles.into_iter().zip(0..).map(|(title, shard)| Relay::new(Shard(shard), title, ports.clone())).collect()
    }
}

fn accounts(parts: &Parts, status: &Arc<Status>, fanout: &Fanout) -> Result<(Accounts, Chores)> {
    let (codes, mailer, config) = (parts.codes.clone(), parts.mailer.clone(), parts.config.account.clone());
    Accounts::new(parts.accounts.clone(), codes, mailer, status.clone(), fanout.clone(), parts.clock.clone(), config)
}

fn contacts(parts: &Parts) -> Contacts {
    let (clock, friends_max) = (parts.clock.clone(), parts.limits.friends);
    Contacts::new(parts.contacts.clone(), parts.accounts.clone(), clock, friends_max, &parts.config.contact)
}

fn sync(parts: &Parts) -> Sync {
    let config = &parts.config;
    let (running_max, waiting_max) = (config.syncs_running as usize, config.syncs_waiting as usize);
    let bounds = SyncBounds { page_bytes: config.page_bytes as usize, running_max, waiting_max };
    Sync::new(parts.conversations.clone(), parts.messages.clone(), bounds)
}

fn history(parts: &Parts) -> History {
    let page_bytes = parts.config.page_bytes as usize;
    History { conversations: parts.conversations.clone(), messages: parts.messages.clone(), page_bytes }
}

fn status(parts: &Parts, fanout: &Fanout) -> Status {
    let ports = StatusPorts {
        nodes: parts.nodes.clone(),
        registry: parts.registry.clone(),
        accounts: parts.accounts.clone(),
        conversations: parts.conversations.clone(),
    };
    let hello = Hello { epoch: parts.messages.epoch(), limits: parts.limits.clone() };
    Status::new(ports, fanout.clone(), parts.clock.clone(), hello, parts.config.account.clone())
}
