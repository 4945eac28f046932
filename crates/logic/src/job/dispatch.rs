//! From records of the log to pushes: whom each concerns. The bus of `direct` mode is this.
//!
//! **Invariant:** records of one conversation, and of one user, are dispatched in order, each after the outcome of the one
//! before is known. Only members whose visible range holds an entry get it, judged by a member list at least as new as the
//! entry.
//!
//! Bound: [`LANES`] lanes at a time; what they hold is what the relay hands over at once.

use crate::job::fanout::{Fanout, Place};
use crate::snapshots::Snapshots;
use crate::visibility;
use async_trait::async_trait;
use futures_util::TryStreamExt;
use skein_domain::Result;
use skein_domain::conversation::Kind;
use skein_domain::delivery::Push;
use skein_domain::entry::{Entry, EntryEvent};
use skein_domain::id::{ConversationId, PolicyVersion, Uid};
use skein_domain::port::{LogBus, LogEvent, LogRecord};
use skein_domain::trace::Trace;
use std::collections::HashMap;
use tracing::{Instrument, Span};

const LANES: usize = 64;

pub struct Dispatch {
    snapshots: Snapshots,
    fanout: Fanout,
}

/// What keeps its order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Lane {
    Conversation(ConversationId),
    User(Uid),
}

impl Lane {
    pub(super) fn of(event: &LogEvent) -> Self {
        match event {
            LogEvent::Entry { entry, .. } => Self::Conversation(entry.conversation),
            LogEvent::User { uid, .. } => Self::User(*uid),
        }
    }
}

impl Dispatch {
    pub(crate) fn new(snapshots: Snapshots, fanout: Fanout) -> Self {
        Self { snapshots, fanout }
    }

    async fn lane(&self, records: Vec<LogRecord>) -> Result<()> {
        for record in records {
            self.one(record).await?;
        }
        Ok(())
    }

    /// The caller keeps the order of a lane.
    pub(super) async fn one(&self, record: LogRecord) -> Result<()> {
        let trace = record.trace.map(Trace::child);
        let place = Place { shard: record.shard, revision: record.revision, trace };
        self.fan_out(place, record.event).instrument(span(place)).await
    }

    async fn fan_out(&self, place: Place, event: LogEvent) -> Result<()> {
        match event {
            LogEvent::User { uid, event } => self.fanout.publish_to_users(Some(place), &[uid], Push::User { event }).await,
            LogEvent::Entry { entry, conversation_kind: Kind::Room, .. } => {
                let (room, leaving) = (entry.conversation, leaving(&entry));
                self.fanout.publish_to_room(place, room, entries(entry), leaving).await
            }
            LogEvent::Entry { entry, policy_version, .. } => {
                let members = self.members(&entry, policy_version).await?;
                self.fanout.publish_to_users(Some(place), &members, entries(entry)).await
            }
        }
    }

    async fn members(&self, entry: &Entry, version: PolicyVersion) -> Result<Vec<Uid>> {
        let Some(snapshot) = self.snapshots.at_least(entry.conversation, version).await? else {
            tracing::warn!(conversation = %entry.conversation, "entry of an unknown conversation");
            return Ok(Vec::new());
        };
        Ok(snapshot.members.iter().filter(|member| visibility::sees(member, entry.seq)).map(|member| member.uid).collect())
    }
}

#[async_trait]
impl LogBus for Dispatch {
    async fn publish(&self, records: Vec<LogRecord>) -> Result<()> {
        let lanes = in_lanes(records).into_iter().map(|records| Ok(self.lane(records)));
        futures_util::stream::iter(lanes).try_buffer_unordered(LANES).try_collect().await
    }
}

fn span(place: Place) -> Span {
    let Some(hop) = place.trace else { return Span::none() };
    let parent = hop.parent().map(tracing::field::display);
    tracing::info_span!("fan_out", revision = place.revision.0, trace = %hop, parent)
}

fn in_lanes(records: Vec<LogRecord>) -> Vec<Vec<LogRecord>> {
    let mut places: HashMap<Lane, usize> = HashMap::new();
    let mut lanes: Vec<Vec<LogRecord>> = Vec::new();
    for record in records {
        let place = *places.entry(Lane::of(&record.event)).or_insert_with(|| {
            lanes.push(Vec::new());
            lanes.len() - 1
        });
        lanes[place].push(record);
    }
    lanes
}

/// Whoever is a member of the room no more by this entry.
fn leaving(entry: &Entry) -> Option<Uid> {
    match entry.event {
        EntryEvent::Left { uid } => Some(uid),
        _ => None,
    }
}

fn entries(entry: Entry) -> Push {
    Push::Entries { conversation: entry.conversation, entries: vec![entry] }
}
