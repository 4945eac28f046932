//! The push platform put together from logic's parts.

use crate::job::{Broadcasts, Fanout, Ledger, LiveDispatch, LiveIntake};
use crate::parts::Parts;
use crate::push::{Durable, Guests, Keys, LiveRooms, LiveSessions, Online, Pushes, Schedule, Transient};
use crate::snapshots::Snapshots;
use crate::turns::Turns;
use skein_domain::Limits;
use std::sync::Arc;
use tokio::sync::Notify;

pub(super) struct Platform {
    pub pushes: Pushes,
    pub guests: Guests,
    pub live: LiveSessions,
    pub schedule: Schedule,
    pub rooms: LiveRooms,
    pub broadcasts: Broadcasts,
    /// In `pipeline` mode.
    pub live_intake: Option<LiveIntake>,
}

impl Platform {
    pub(super) fn new(parts: &Parts, fanout: &Fanout, snapshots: &Snapshots, limits: &Arc<Limits>) -> Self {
        let Parts { clock, guests, receipts, messages, config, pushes: store, .. } = parts;
        let goim = Arc::new(parts.goim.clone());
        let rooms = LiveRooms::new(config.push.presence_people);
        let online = Online::new(guests.clone(), parts.nodes.clone(), clock.clone(), goim.clone());
        let ledger = Ledger::new(receipts.clone(), clock.clone());
        let broadcasts = Broadcasts::new(parts.broadcasts.clone(), parts.node.clone(), fanout.clone(), ledger.clone());
        let dispatch = LiveDispatch::new(fanout.clone(), ledger, broadcasts.clone());
        let live_intake = parts.live_log.as_ref().map(|pipeline| LiveIntake::new(pipeline.source.clone(), dispatch.clone()));
        let transient = Transient {
            log: parts.live_log.as_ref().map_or_else(|| Arc::new(dispatch) as Arc<_>, |pipeline| pipeline.log.clone()),
            guests: guests.clone(),
            sessions: parts.registry.clone(),
            receipts: receipts.clone(),
            clock: clock.clone(),
        };
        let durable =
            Durable { store: store.clone(), accounts: parts.accounts.clone(), messages: messages.clone(), snapshots: snapshots.clone() };
        let scheduled = Arc::new(Notify::new());
        let live = LiveSessions {
            rooms: rooms.clone(),
            store: store.clone(),
            messages: messages.clone(),
            limits: limits.clone(),
            page_bytes: config.page_bytes as usize,
        };
        let schedule = Schedule {
            store: store.clone(),
            receipts: receipts.clone(),
            durable: durable.clone(),
            transient: transient.clone(),
            clock: clock.clone(),
            added: scheduled.clone(),
        };
        let lease_ms = config.account.connection_lease_ms;
        let guests =
            Guests { registry: guests.clone(), online: online.clone(), rooms: rooms.clone(), fanout: fanout.clone(), goim, lease_ms };
        let pushes = Pushes {
            keys: Keys::new(store.clone(), clock.clone(), parts.goim.open_push),
            store: store.clone(),
            receipts: receipts.clone(),
            transient,
            durable,
            online,
            scheduled,
            turns: Turns::new(),
            clock: clock.clone(),
            limits: limits.clone(),
            config: Arc::new(config.push.clone()),
        };
        Self { pushes, guests, live, schedule, rooms, broadcasts, live_intake }
    }
}
