//! What comes in: pages of sync, pushes, pulls, and telling the server what this device holds.

use std::time::Duration;

use skein_protocol::v1::user_event;
use skein_protocol::{ErrorCode, Request, v1};
use tokio::time::Instant;

use super::link::Link;
use super::{Done, Session, Tracked, ask};
use crate::backoff::{Backoff, random_unit};
use crate::connection::Connection;
use crate::error::{Error, Retry};
use crate::event::Event;
use crate::reduce;
use crate::store::{Advance, Page, Person, Place};
use crate::timeline::{Applied, Timeline};

/// A session that heard no push for so long, ± a fifth, asks whether it missed one.
const QUIET: Duration = Duration::from_secs(300);
/// Pushes of a conversation that sync does not know either start no more syncs than one in this time.
const UNKNOWN_PAUSE: Duration = Duration::from_secs(1);
/// Delivery is told together, after this time.
const DELIVER_WAIT: Duration = Duration::from_secs(1);
const DELIVER_MAX: usize = 16;
/// Pulls under way in all conversations together.
const PULLS_MAX: usize = 8;

/// When to sync next.
pub(super) struct Schedule {
    is_running: bool,
    wanted_at: Option<Instant>,
    /// The net for a lost last push.
    quiet_at: Option<Instant>,
    finished_at: Option<Instant>,
    backoff: Backoff,
    pulls: usize,
}

impl Default for Schedule {
    fn default() -> Self {
        let backoff = Backoff::new(Duration::from_millis(200), Duration::from_secs(30));
        Self { is_running: false, wanted_at: None, quiet_at: None, finished_at: None, backoff, pulls: 0 }
    }
}

impl Schedule {
    pub fn begin(&mut self, now: Instant) {
        self.link_lost();
        self.wanted_at = Some(now);
    }

    pub fn link_lost(&mut self) {
        (self.is_running, self.pulls) = (false, 0);
        self.backoff.reset();
    }

    pub fn want(&mut self, at: Instant) {
        self.wanted_at = Some(self.wanted_at.map_or(at, |wanted| wanted.min(at)));
    }

    fn want_for_unknown(&mut self, now: Instant) {
        self.want(self.finished_at.map_or(now, |finished| now.max(finished + UNKNOWN_PAUSE)));
    }

    pub fn heard_push(&mut self, now: Instant) {
        self.quiet_at = Some(now + QUIET.mul_f64(0.8 + 0.4 * random_unit()));
    }

    pub fn wake_at(&self) -> Option<Instant> {
        if self.is_running {
            return None;
        }
        [self.wanted_at, self.quiet_at].into_iter().flatten().min()
    }

    /// Whether to ask for a page now.
    fn start(&mut self, now: Instant) -> bool {
        if self.wake_at().is_none_or(|at| at > now) {
            return false;
        }
        (self.is_running, self.wanted_at) = (true, None);
        self.heard_push(now);
        true
    }
}

impl Session {
    pub(super) fn start_sync(&mut self, connection: &Connection, now: Instant) {
        if !self.sync.start(now) {
            return;
        }
        let (link, connection, cursor) = (self.link_number, connection.clone(), self.place.cursor.clone());
        self.run_beside(async move { Done::Page { link, outcome: ask(connection, Request::Sync(v1::Sync { cursor })).await } });
    }

    pub(super) async fn on_page(&mut self, outcome: Result<v1::SyncPage, Error>) -> Result<(), Error> {
        let now = Instant::now();
        self.sync.is_running = false;
        let page = match outcome {
            Ok(page) => page,
            Err(error) => {
                self.on_sync_failed(&error, now);
                return Ok(());
            }
        };
        self.sync.backoff.reset();
        let more = page.more;
        self.apply_page(page, now).await?;
        if more {
            self.sync.want(now);
        } else {
            self.synced(now);
        }
        Ok(())
    }

    fn on_sync_failed(&mut self, error: &Error, now: Instant) {
        tracing::debug!(code = error.code(), "sync failed");
        if error.is(ErrorCode::BadCursor) {
            self.place.cursor.clear();
        }
        let pause = match error.retry() {
            Retry::After(asked) => asked.max(self.sync.backoff.next()),
            _ => self.sync.backoff.next(),
        };
        self.sync.want(now + pause);
    }

    fn synced(&mut self, now: Instant) {
        // Not earlier: a server that lets in and then fails is no reason to come back faster.
        self.backoff.reset();
        self.sync.finished_at = Some(now);
        if let Link::Online { is_synced, .. } = &mut self.link {
            *is_synced = true;
        }
        self.show_link();
        self.tell(Event::Synced);
    }

    async fn apply_page(&mut self, page: v1::SyncPage, now: Instant) -> Result<(), Error> {
        if page.reset {
            tracing::info!("sync starts windows anew");
            self.conversations.clear();
        }
        let advances = page.conversations.into_iter().filter_map(|change| self.advance_by_page(change, now)).collect();
        self.place = Place { cursor: page.cursor, ..self.place.clone() };
        self.keep(Page { reset: page.reset, place: Some(self.place.clone()), advances }).await?;
        if page.reset {
            self.outbox.restore(self.store.waiting().await?);
        }
        self.on_user_events(page.events).await
    }

    fn advance_by_page(&mut self, change: v1::ConversationChange, now: Instant) -> Option<Advance> {
        let info = change.conversation.clone()?;
        let tracked = self.conversations.entry(info.id).or_insert_with(|| Tracked::new(&info));
        let applied = tracked.timeline.page(change, now);
        Some(tracked.advance(info.id, Some(info), applied))
    }

    pub(super) async fn learn_conversation(&mut self, conversation: v1::Conversation) -> Result<(), Error> {
        let change = v1::ConversationChange { conversation: Some(conversation), ..v1::ConversationChange::default() };
        let advances = self.advance_by_page(change, Instant::now()).into_iter().collect();
        self.keep(Page { advances, ..Page::default() }).await
    }

    pub(super) async fn learn_membership(&mut self, reply: v1::MembershipReply) -> Result<(), Error> {
        self.store.apply_membership(reply.conversation, reply.me.unwrap_or_default()).await?;
        self.tell(Event::ConversationChanged(reply.conversation));
        Ok(())
    }

    pub(super) async fn on_messages(&mut self, messages: v1::ServerMessages) -> Result<(), Error> {
        let now = Instant::now();
        let Some(tracked) = self.conversations.get_mut(&messages.conversation) else {
            self.sync.want_for_unknown(now);
            return Ok(());
        };
        let applied = tracked.timeline.push(messages.entries, now);
        if applied == Applied::default() {
            return Ok(());
        }
        let advance = tracked.advance(messages.conversation, None, applied);
        self.keep(Page { advances: vec![advance], ..Page::default() }).await
    }

    /// Stores, then tells.
    async fn keep(&mut self, page: Page) -> Result<(), Error> {
        let my_uid = self.my_uid();
        let mut events = Vec::new();
        for advance in &page.advances {
            events.extend(advance.ready.iter().filter_map(reduce::message_of).map(Event::Message));
            events.push(Event::ConversationChanged(advance.conversation));
            if advance.ready.iter().any(|entry| entry.author != my_uid) {
                self.undelivered.insert(advance.conversation);
                self.deliver_at.get_or_insert(Instant::now() + DELIVER_WAIT);
            }
        }
        let settled = self.store.apply(page, my_uid).await?;
        settled.into_iter().for_each(|settled| self.on_settled(settled));
        events.into_iter().for_each(|event| self.tell(event));
        Ok(())
    }

    pub(super) async fn on_user_events(&mut self, events: Vec<v1::UserEvent>) -> Result<(), Error> {
        for event in events.into_iter().filter_map(|event| event.event) {
            match event {
                user_event::Event::Request(request) => self.tell(Event::FriendRequest(request)),
                user_event::Event::Friend(friend) => {
                    self.store.learn_people(vec![Person::from(&friend)]).await?;
                    self.tell(Event::FriendChanged(friend));
                }
                user_event::Event::Membership(reply) => self.learn_membership(reply).await?,
                user_event::Event::Profile(profile) => self.store.learn_people(vec![Person::from(&profile)]).await?,
                user_event::Event::Conversation(conversation) => self.learn_conversation(conversation).await?,
            }
        }
        Ok(())
    }

    /// Not while as many pulls run as may: the end of one looks again.
    pub(super) fn pull_at(&self) -> Option<Instant> {
        if self.sync.pulls >= PULLS_MAX {
            return None;
        }
        self.conversations.values().filter_map(|tracked| tracked.timeline.pull_at()).min()
    }

    pub(super) fn start_pulls(&mut self, connection: &Connection, now: Instant) {
        let mut pulls = Vec::new();
        for (conversation, tracked) in &mut self.conversations {
            if self.sync.pulls + pulls.len() >= PULLS_MAX {
                break;
            }
            let range = tracked.timeline.pull(now);
            pulls.extend(range.map(|range| v1::Pull { conversation: *conversation, from: *range.start(), to: *range.end() }));
        }
        for pull in pulls {
            self.sync.pulls += 1;
            let (link, conversation, connection) = (self.link_number, pull.conversation, connection.clone());
            self.run_beside(async move { Done::Pulled { link, conversation, outcome: ask(connection, Request::Pull(pull)).await } });
        }
    }

    pub(super) async fn on_pulled(&mut self, conversation: i64, outcome: Result<v1::Entries, Error>) -> Result<(), Error> {
        self.sync.pulls = self.sync.pulls.saturating_sub(1);
        let Some(tracked) = self.conversations.get_mut(&conversation) else {
            return Ok(());
        };
        let entries = match outcome {
            Ok(entries) => Some(entries),
            Err(error) => {
                tracing::debug!(code = error.code(), conversation, "pull failed");
                if error.retry() == Retry::Never {
                    tracked.timeline.give_up();
                    return Ok(());
                }
                None
            }
        };
        let applied = tracked.timeline.pulled(entries, Instant::now());
        if applied == Applied::default() {
            return Ok(());
        }
        let advance = tracked.advance(conversation, None, applied);
        self.keep(Page { advances: vec![advance], ..Page::default() }).await
    }

    /// Rooms have too many members to count deliveries. A lost telling is made good by the next.
    pub(super) fn start_deliveries(&mut self, connection: &Connection, now: Instant) {
        if self.deliver_at.is_none_or(|at| at > now) {
            return;
        }
        for _ in 0..DELIVER_MAX {
            let Some(conversation) = self.undelivered.pop_first() else {
                break;
            };
            let tracked = self.conversations.get(&conversation).filter(|tracked| tracked.kind != v1::ConversationKind::Room);
            let Some(seq) = tracked.map(|tracked| tracked.timeline.position()) else {
                continue;
            };
            let (connection, mark) = (connection.clone(), v1::MarkDelivered { conversation, seq });
            self.run_beside(async move {
                if let Err(error) = connection.request(Request::MarkDelivered(mark)).await {
                    tracing::debug!(code = error.code(), conversation, "delivery not told");
                }
                Done::Delivered
            });
        }
        self.deliver_at = (!self.undelivered.is_empty()).then(|| now + DELIVER_WAIT);
    }
}

impl Tracked {
    fn new(info: &v1::Conversation) -> Self {
        Self { timeline: Timeline::new(1, 0), kind: info.kind() }
    }

    fn advance(&self, conversation: i64, info: Option<v1::Conversation>, applied: Applied) -> Advance {
        let Applied { restart, ready } = applied;
        Advance { conversation, info, restart, from: self.timeline.from(), position: self.timeline.position(), ready }
    }
}
