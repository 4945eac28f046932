//! What a device knows and wants, without sockets or clocks: replies and pushes in, requests out.
//!
//! It does what docs/protocol.md asks of a client and no more. It never syncs on its own because time has passed: what the
//! server's pushes and resyncs do not bring stays missing, and shows.
//!
//! **Invariant:** deeds are sent in the order in which they were asked for; one that has no answer yet is sent again on the
//! next connection with the same key. One pull per conversation is in flight.

use super::deed::{Act, Deed, Outcome};
use super::timeline::{Timeline, is_message};
use skein_protocol::error::{ErrorCode, Retry};
use skein_protocol::{Push, Reply, Request, v1};
use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};
use std::time::{Duration, Instant};

/// As docs/protocol.md asks before a gap is pulled.
const GAP_PATIENCE: Duration = Duration::from_millis(200);
const RETRY_PAUSE: Duration = Duration::from_millis(20);
const RETRY_PAUSE_MAX: Duration = Duration::from_millis(500);
/// A request without an answer for so long ends the connection.
const ANSWER_PATIENCE: Duration = Duration::from_secs(10);
const SENDS_IN_FLIGHT_MAX: usize = 8;
const TRIES_MAX: u32 = 200;
/// Lines of the history kept; older ones are dropped and the drop is told.
const HISTORY_LINES_MAX: usize = 20_000;

#[derive(Debug, Clone, PartialEq, Eq)]
enum Asked {
    Sync,
    Pull(i64),
    View(i64),
    Deed(String),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Sync {
    Idle,
    WantedAt(Instant),
    Running,
}

/// What an answer or a push asks of the socket's owner.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wish {
    Nothing,
    /// Connect anew after so long.
    Reconnect(Duration),
}

#[derive(Debug, Default, Clone, Copy)]
pub struct Tally {
    pub acks: u64,
    pub retries: u64,
    pub resyncs: u64,
    pub pages: u64,
    pub pulls: u64,
    pub connections: u64,
}

pub struct Mind {
    pub label: String,
    pub uid: i64,
    pub timelines: BTreeMap<i64, Timeline>,
    /// Deeds with a known end, in order.
    pub done: Vec<Deed>,
    /// What the server did wrong.
    pub offences: Vec<String>,
    /// Codes of the errors deeds were answered with, and how often.
    pub refusals: BTreeMap<String, u64>,
    pub tally: Tally,
    pub history: VecDeque<String>,
    outbox: VecDeque<Deed>,
    cursor: String,
    epoch: u64,
    online: bool,
    sync: Sync,
    /// A resync that came while a sync was under way is done after it: that sync may have read before the loss.
    resync_at: Option<Instant>,
    asked: HashMap<i32, (Asked, Instant)>,
    pulling: HashSet<i64>,
    gaps_since: HashMap<i64, Instant>,
    not_before: Option<Instant>,
    began: Instant,
    /// Moves with everything that brings the device forward.
    progress: u64,
}

impl Mind {
    pub fn new(label: String, uid: i64, now: Instant) -> Self {
        Self {
            label,
            uid,
            timelines: BTreeMap::new(),
            done: Vec::new(),
            offences: Vec::new(),
            refusals: BTreeMap::new(),
            tally: Tally::default(),
            history: VecDeque::new(),
            outbox: VecDeque::new(),
            cursor: String::new(),
            epoch: 0,
            online: false,
            sync: Sync::Idle,
            resync_at: None,
            asked: HashMap::new(),
            pulling: HashSet::new(),
            gaps_since: HashMap::new(),
            not_before: None,
            began: now,
            progress: 0,
        }
    }

    // === what is asked of it ===

    pub fn want(&mut self, deed: Deed) {
        self.outbox.push_back(deed);
    }

    /// Gives up the deeds that are on their way and meant to be forgotten.
    pub fn forget_sent(&mut self) -> bool {
        let Some(at) = self.outbox.iter().position(|deed| deed.in_flight && matches!(deed.act, Act::SendAndForget { .. })) else {
            return false;
        };
        if let Some(deed) = self.outbox.remove(at) {
            self.finish(deed, Outcome::Forgotten);
        }
        true
    }

    pub fn progress(&self) -> u64 {
        self.progress
    }

    pub fn is_online(&self) -> bool {
        self.online
    }

    /// What keeps it from being settled.
    pub fn unsettled(&self) -> Option<String> {
        if !self.online {
            return Some("offline".to_owned());
        }
        if let Some(deed) = self.outbox.front() {
            return Some(format!("{} waits, tried {} times", deed.key, deed.tries));
        }
        (self.sync != Sync::Idle || self.resync_at.is_some()).then(|| "syncing".to_owned())
    }

    /// The server named a time to sync, to spread the load, and it has not come.
    pub fn is_put_off(&self, now: Instant) -> bool {
        self.resync_at.is_some_and(|at| at > now)
    }

    // === connection ===

    pub fn connected(&mut self, hello: &v1::Hello, now: Instant) {
        self.tally.connections += 1;
        self.online = true;
        self.progress += 1;
        if self.epoch != 0 && self.epoch != hello.epoch {
            self.offences.push("the epoch changed".to_owned());
            self.cursor.clear();
        }
        self.epoch = hello.epoch;
        self.sync = Sync::WantedAt(now);
        self.resync_at = None;
        self.note(now, format_args!("connected"));
    }

    pub fn disconnected(&mut self, why: &str, now: Instant) {
        if !self.online {
            return;
        }
        self.online = false;
        self.sync = Sync::Idle;
        self.asked.clear();
        self.pulling.clear();
        self.not_before = None;
        for deed in &mut self.outbox {
            deed.in_flight = false;
        }
        self.note(now, format_args!("disconnected: {why}"));
    }

    /// A request that has waited too long.
    pub fn is_stuck(&self, now: Instant) -> bool {
        self.asked.values().any(|(_, since)| now.duration_since(*since) > ANSWER_PATIENCE)
    }

    // === requests ===

    /// The next request to send, if any is due; call until there is none.
    pub fn next_request(&mut self, now: Instant) -> Option<Request> {
        self.next_sync(now).or_else(|| self.next_pull(now)).or_else(|| self.next_deed(now))
    }

    /// Under this number the request just taken was sent.
    pub fn sent(&mut self, seq: i32, request: &Request, now: Instant) {
        let asked = match request {
            Request::Sync(_) => Asked::Sync,
            Request::Pull(pull) => Asked::Pull(pull.conversation),
            Request::GetConversation(get) => Asked::View(get.conversation),
            _ => match self.outbox.iter_mut().rfind(|deed| deed.in_flight) {
                Some(deed) => Asked::Deed(deed.key.clone()),
                None => return,
            },
        };
        self.note(now, format_args!("asks #{seq} {}{}", request.name(), described(request)));
        self.asked.insert(seq, (asked, now));
    }

    fn next_sync(&mut self, now: Instant) -> Option<Request> {
        let wanted_at = match self.sync {
            Sync::Running => return None,
            Sync::WantedAt(at) => at,
            Sync::Idle => self.resync_at?,
        };
        if wanted_at > now {
            return None;
        }
        if self.sync == Sync::Idle {
            self.resync_at = None;
        }
        self.sync = Sync::Running;
        Some(Request::Sync(v1::Sync { cursor: self.cursor.clone() }))
    }

    fn next_pull(&mut self, now: Instant) -> Option<Request> {
        if self.sync == Sync::Running {
            return None;
        }
        let due = |id: &i64| self.gaps_since.get(id).is_some_and(|since| now >= *since + GAP_PATIENCE) && !self.pulling.contains(id);
        let id = *self.gaps_since.keys().filter(|id| due(id)).min()?;
        self.pulling.insert(id);
        self.tally.pulls += 1;
        let timeline = self.timelines.entry(id).or_default();
        if !timeline.is_described() {
            return Some(Request::GetConversation(v1::GetConversation { conversation: id }));
        }
        let (from, to) = timeline.gap().unwrap_or((1, 1));
        Some(Request::Pull(v1::Pull { conversation: id, from, to }))
    }

    fn next_deed(&mut self, now: Instant) -> Option<Request> {
        if !self.online || self.sync != Sync::Idle || self.not_before.is_some_and(|at| at > now) {
            return None;
        }
        let in_flight = self.outbox.iter().filter(|deed| deed.in_flight).count();
        let at = self.outbox.iter().position(|deed| !deed.in_flight)?;
        let joins_others = self.outbox[at].act.is_pipelined() && self.outbox.iter().take(at).all(|deed| deed.act.is_pipelined());
        // Those in flight stand before it: a later one never overtakes one that has to be sent again.
        if in_flight != at || (in_flight > 0 && !joins_others) || in_flight >= SENDS_IN_FLIGHT_MAX {
            return None;
        }
        if self.outbox[at].tries == 0 {
            self.decide(at);
        }
        if self.outbox[at].outcome == Outcome::Skipped {
            if let Some(deed) = self.outbox.remove(at) {
                self.finish(deed, Outcome::Skipped);
            }
            return self.next_deed(now);
        }
        let conversation = self.outbox[at].conversation;
        if self.outbox[at].act.is_pipelined() {
            let before = self.outbox.iter().take(at).rfind(|deed| deed.conversation == conversation);
            self.outbox[at].after = before.map(|deed| deed.key.clone());
        }
        let deed = &mut self.outbox[at];
        deed.tries += 1;
        deed.in_flight = true;
        self.tally.retries += u64::from(deed.tries > 1);
        deed.to_send()
    }

    fn decide(&mut self, at: usize) {
        let (conversation, act) = (self.outbox[at].conversation, self.outbox[at].act.clone());
        let timeline = self.timelines.get(&conversation);
        let target = match act {
            Act::Edit { pick, .. } | Act::Recall { pick } => self.pick(conversation, pick, Some(self.uid)),
            Act::React { pick, .. } => self.pick(conversation, pick, None),
            _ => None,
        };
        let newest = timeline.map_or(0, |timeline| timeline.applied().max(timeline.head()));
        let is_earlier =
            |deed: &&Deed| deed.conversation == conversation && deed.act.is_send() && matches!(deed.outcome, Outcome::Acked(_));
        let earlier = self.done.iter().rfind(is_earlier).cloned();
        self.outbox[at].decide(target, newest, earlier.as_ref());
    }

    /// A message on the screen that is not recalled.
    fn pick(&self, conversation: i64, pick: u32, author: Option<i64>) -> Option<i64> {
        let lines = self.timelines.get(&conversation)?.lines();
        let fits = |uid: i64| author.is_none_or(|author| author == uid);
        let seqs: Vec<i64> = lines.iter().filter(|(_, line)| fits(line.author) && line.text.is_some()).map(|(seq, _)| *seq).collect();
        let at = (pick as usize).checked_rem(seqs.len())?;
        Some(seqs[at])
    }

    // === answers ===

    pub fn answered(&mut self, seq: i32, reply: Reply, now: Instant) -> Wish {
        let Some((asked, _)) = self.asked.remove(&seq) else {
            self.offences.push(format!("an answer to request {seq}, which waits for none"));
            return Wish::Nothing;
        };
        self.note(now, format_args!("hears #{seq} {}", summary(&reply)));
        match (asked, reply) {
            (Asked::Deed(key), reply) => return self.deed_answered(&key, reply, now),
            (Asked::Sync, Reply::SyncPage(page)) => self.page(page, now),
            (Asked::Sync, Reply::Error(error)) => return self.refused_read(&error, now),
            (Asked::Pull(id), Reply::Entries(entries)) => self.pulled(id, entries, now),
            (Asked::View(id), Reply::ConversationReply(reply)) => {
                self.pulling.remove(&id);
                self.view(&reply.conversation.unwrap_or_default(), now.checked_sub(GAP_PATIENCE).unwrap_or(now));
            }
            (Asked::Pull(id) | Asked::View(id), Reply::Error(error)) => {
                self.pulling.remove(&id);
                self.gaps_since.insert(id, now);
                return wish_of(&error);
            }
            (asked, reply) => self.offences.push(format!("{asked:?} answered by {}", summary(&reply))),
        }
        Wish::Nothing
    }

    fn refused_read(&mut self, error: &v1::Error, now: Instant) -> Wish {
        self.sync = Sync::WantedAt(now + pause_of(error));
        if retry_of(error) == Retry::Never {
            self.offences.push(format!("sync refused: {} {}", error.code, error.message));
        }
        wish_of(error)
    }

    fn page(&mut self, page: v1::SyncPage, now: Instant) {
        self.tally.pages += 1;
        self.progress += 1;
        if page.reset {
            self.offences.push("sync said reset, and nothing was restored".to_owned());
            self.timelines.clear();
        }
        self.cursor = page.cursor;
        // Gaps that a sync leaves are filled at once: nothing else is on its way.
        let at_once = now.checked_sub(GAP_PATIENCE).unwrap_or(now);
        for change in page.conversations {
            let view = change.conversation.unwrap_or_default();
            self.view(&view, at_once);
            for entry in change.entries {
                self.entry(view.id, entry, at_once);
            }
        }
        for event in page.events {
            self.user_event(event, now);
        }
        self.sync = if page.more { Sync::WantedAt(now) } else { Sync::Idle };
    }

    fn pulled(&mut self, id: i64, reply: v1::Entries, now: Instant) {
        self.pulling.remove(&id);
        let before = self.timelines.get(&id).map_or(0, Timeline::applied);
        for entry in reply.entries {
            self.entry(id, entry, now);
        }
        let timeline = self.timelines.entry(id).or_default();
        timeline.note_end(reply.head);
        if timeline.applied() > before && timeline.gap().is_some() {
            self.gaps_since.insert(id, now.checked_sub(GAP_PATIENCE).unwrap_or(now));
        } else if timeline.gap().is_some() {
            self.gaps_since.insert(id, now);
        } else {
            self.gaps_since.remove(&id);
        }
    }

    fn deed_answered(&mut self, key: &str, reply: Reply, now: Instant) -> Wish {
        let Some(at) = self.outbox.iter().position(|deed| deed.key == key) else { return Wish::Nothing };
        let act = self.outbox[at].act.clone();
        let outcome = match reply {
            Reply::Ack(ack) => {
                self.tally.acks += 1;
                self.judge_ack(at, &ack);
                Outcome::Acked(ack.seq)
            }
            Reply::MembershipReply(reply) => {
                self.timelines.entry(reply.conversation).or_default().note_read(reply.me.unwrap_or_default().read);
                Outcome::Done
            }
            Reply::ConversationReply(reply) => {
                self.view(&reply.conversation.unwrap_or_default(), now.checked_sub(GAP_PATIENCE).unwrap_or(now));
                Outcome::Done
            }
            Reply::Error(error) => {
                *self.refusals.entry(error.code.clone()).or_default() += 1;
                let is_final = retry_of(&error) == Retry::Never
                    || matches!(act, Act::SendOutOfOrder { .. }) && error.code == ErrorCode::OutOfOrder.as_str();
                if !is_final && self.outbox[at].tries < TRIES_MAX {
                    self.outbox[at].in_flight = false;
                    self.not_before = Some(now + pause_of(&error));
                    return wish_of(&error);
                }
                Outcome::Refused(error.code)
            }
            other => Outcome::Refused(format!("answered by {}", summary(&other))),
        };
        if let Some(deed) = self.outbox.remove(at) {
            self.finish(deed, outcome);
        }
        Wish::Nothing
    }

    fn judge_ack(&mut self, at: usize, ack: &v1::Ack) {
        let deed = &self.outbox[at];
        if ack.conversation != deed.conversation {
            self.offences.push(format!("the ack of {} names conversation {}", deed.key, ack.conversation));
        }
        if ack.epoch != self.epoch {
            self.offences.push(format!("the ack of {} is of another epoch", deed.key));
        }
        if let Act::SendAgain = deed.act {
            let first = self.done.iter().find(|done| done.key == ack.key).map(|done| done.outcome.clone());
            if first != Some(Outcome::Acked(ack.seq)) {
                self.offences.push(format!("{} was {first:?} and is seq {} when sent again", ack.key, ack.seq));
            }
        }
    }

    fn finish(&mut self, mut deed: Deed, outcome: Outcome) {
        self.progress += 1;
        deed.in_flight = false;
        deed.outcome = outcome;
        self.done.push(deed);
    }

    // === pushes ===

    pub fn pushed(&mut self, push: Push, now: Instant) -> Wish {
        match push {
            Push::ServerMessages(messages) => {
                self.note(now, format_args!("pushed {} {:?}", messages.conversation, seqs(&messages.entries)));
                for entry in messages.entries {
                    self.entry(messages.conversation, entry, now);
                }
            }
            Push::UserEvents(events) => events.events.into_iter().for_each(|event| self.user_event(event, now)),
            Push::Resync(resync) => {
                self.note(now, format_args!("resync after {} ms", resync.after_ms));
                self.tally.resyncs += 1;
                self.progress += 1;
                self.resync_at = Some(now + millis(resync.after_ms));
            }
            Push::GoAway(away) => return Wish::Reconnect(millis(away.after_ms)),
            _ => {}
        }
        Wish::Nothing
    }

    fn entry(&mut self, id: i64, entry: v1::Entry, gap_since: Instant) {
        let (seq, is_own) = (entry.seq, entry.author == self.uid && is_message(&entry));
        let mine = self.uid;
        let timeline = self.timelines.entry(id).or_default();
        let offences = timeline.offences.len();
        if timeline.hear(mine, entry) {
            self.progress += 1;
        }
        if is_own {
            timeline.note_read(seq);
        }
        if timeline.offences.len() > offences {
            let told = timeline.offences[offences..].iter().map(|offence| format!("conversation {id}: {offence}"));
            self.offences.extend(told);
        }
        self.note_gap(id, gap_since);
    }

    fn view(&mut self, view: &v1::Conversation, gap_since: Instant) {
        self.timelines.entry(view.id).or_default().learn(view);
        self.note_gap(view.id, gap_since);
    }

    fn note_gap(&mut self, id: i64, since: Instant) {
        let timeline = self.timelines.entry(id).or_default();
        if timeline.is_described() && timeline.gap().is_none() {
            self.gaps_since.remove(&id);
        } else {
            let known = self.gaps_since.entry(id).or_insert(since);
            *known = (*known).min(since);
        }
    }

    fn user_event(&mut self, event: v1::UserEvent, now: Instant) {
        use v1::user_event::Event as Of;
        match event.event {
            Some(Of::Membership(reply)) => {
                let me = reply.me.unwrap_or_default();
                self.note(now, format_args!("membership of {}: read {} unread {}", reply.conversation, me.read, me.unread));
                self.progress += 1;
                self.timelines.entry(reply.conversation).or_default().note_read(me.read);
            }
            Some(Of::Conversation(view)) => {
                self.note(now, format_args!("conversation {} head {}", view.id, view.head));
                self.progress += 1;
                self.view(&view, now);
            }
            _ => {}
        }
    }

    // === time ===

    /// When there may be something to do although nothing was heard.
    pub fn next_wake(&self, now: Instant) -> Option<Instant> {
        let sync = match self.sync {
            Sync::WantedAt(at) => Some(at),
            Sync::Idle => self.resync_at,
            Sync::Running => None,
        };
        let gaps = self.gaps_since.iter().filter(|(id, _)| !self.pulling.contains(id)).map(|(_, since)| *since + GAP_PATIENCE);
        let oldest = self.asked.values().map(|(_, since)| *since + ANSWER_PATIENCE);
        let waiting = self.not_before.filter(|at| *at > now);
        sync.into_iter().chain(gaps).chain(oldest).chain(waiting).min()
    }

    fn note(&mut self, now: Instant, line: std::fmt::Arguments<'_>) {
        if self.history.len() == HISTORY_LINES_MAX {
            self.history.pop_front();
        }
        let at = now.duration_since(self.began);
        self.history.push_back(format!("{:>8.3} {line}", at.as_secs_f64()));
    }
}

fn retry_of(error: &v1::Error) -> Retry {
    error.code.parse::<ErrorCode>().map_or(Retry::After, ErrorCode::retry)
}

fn pause_of(error: &v1::Error) -> Duration {
    millis(error.retry_after_ms).clamp(RETRY_PAUSE, RETRY_PAUSE_MAX)
}

fn wish_of(error: &v1::Error) -> Wish {
    if retry_of(error) == Retry::Reconnect { Wish::Reconnect(RETRY_PAUSE) } else { Wish::Nothing }
}

fn millis(ms: i64) -> Duration {
    Duration::from_millis(u64::try_from(ms).unwrap_or(0))
}

fn seqs(entries: &[v1::Entry]) -> Vec<i64> {
    entries.iter().map(|entry| entry.seq).collect()
}

fn described(request: &Request) -> String {
    match request {
        Request::Send(send) => format!(" {} key {} after {:?}", send.conversation, send.key, send.after),
        Request::Edit(edit) => format!(" {} key {} target {}", edit.conversation, edit.key, edit.target),
        Request::Recall(recall) => format!(" {} key {} target {}", recall.conversation, recall.key, recall.target),
        Request::React(react) => format!(" {} key {} target {}", react.conversation, react.key, react.target),
        Request::Pull(pull) => format!(" {} {}..={}", pull.conversation, pull.from, pull.to),
        Request::MarkRead(mark) => format!(" {} seq {}", mark.conversation, mark.seq),
        Request::Invite(invite) => format!(" {} key {} uids {:?}", invite.conversation, invite.key, invite.uids),
        Request::RemoveMember(remove) => format!(" {} key {} uid {}", remove.conversation, remove.key, remove.uid),
        _ => String::new(),
    }
}

fn summary(reply: &Reply) -> String {
    match reply {
        Reply::Ack(ack) => format!("ack {} key {} seq {}", ack.conversation, ack.key, ack.seq),
        Reply::Error(error) => format!("error {} ({})", error.code, error.message),
        Reply::SyncPage(page) => {
            let changes = page.conversations.iter().map(|change| {
                let head = change.conversation.as_ref().map_or((0, 0), |view| (view.id, view.head));
                format!("{}@{} {:?}{}", head.0, head.1, seqs(&change.entries), if change.limited { " limited" } else { "" })
            });
            format!("page [{}] more {}", changes.collect::<Vec<_>>().join(", "), page.more)
        }
        Reply::Entries(entries) => format!("entries {} {:?} head {}", entries.conversation, seqs(&entries.entries), entries.head),
        Reply::MembershipReply(reply) => {
            format!("membership of {} {:?}", reply.conversation, reply.me.as_ref().map(|me| (me.read, me.unread)))
        }
        Reply::ConversationReply(reply) => format!("conversation {:?}", reply.conversation.as_ref().map(|view| (view.id, view.head))),
        other => format!("{other:?}").chars().take(120).collect(),
    }
}
