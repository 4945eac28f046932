//! The log on this device against a model of the server: random loss, order, repetition, limited pages, late history.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;
use skein_protocol::v1::entry::Event;
use tokio::time::Instant;

use super::*;
use crate::client::{text, text_of};
use crate::timeline::{Applied, Timeline};

const CONVERSATION: i64 = 5;
const ME: i64 = 1;
/// As the server's 100 and 50, but small.
const LIMITED_ABOVE: i64 = 8;
const LIMITED_TO: i64 = 4;

/// What the server would say; the log grows as far as `head`.
struct Server {
    log: Vec<v1::Entry>,
    head: i64,
    read: i64,
    /// Where the device's sync cursor is.
    cursor: i64,
}

impl Server {
    /// Kinds 0 to 4 are messages, the others change one that is not recalled.
    fn new(recipe: &[(u8, u8, u8)]) -> Self {
        let mut log: Vec<v1::Entry> = Vec::new();
        let (mut count, mut alive) = (0, Vec::new());
        for (at, (kind, author, pick)) in recipe.iter().enumerate() {
            let seq = at as i64 + 1;
            let target = alive.get(usize::from(*pick) % alive.len().max(1)).copied();
            let event = match (kind % 9, target) {
                (5, Some(target)) => Event::Edited(v1::Edited { target, body: Some(text(format!("edit {seq}"))) }),
                (6, Some(target)) => Event::Reacted(v1::Reacted { target, emoji: "👍".into(), on: pick % 2 == 0 }),
                (7, Some(target)) => {
                    alive.retain(|seq| *seq != target);
                    Event::Recalled(v1::Recalled { target })
                }
                (8, _) => Event::Info(v1::InfoChanged { title: Some(format!("title {seq}")), ..v1::InfoChanged::default() }),
                _ => {
                    alive.push(seq);
                    count += 1;
                    Event::Message(v1::Message { body: Some(text(format!("message {seq}"))), reply_to: 0 })
                }
            };
            let author = i64::from(author % 3) + 1;
            log.push(v1::Entry { conversation: CONVERSATION, seq, at_ms: seq, author, count, key: format!("k{seq}"), event: Some(event) });
        }
        Self { log, head: 0, read: 0, cursor: 0 }
    }

    fn grow(&mut self, by: i64) -> Vec<v1::Entry> {
        let from = self.head;
        self.head = (self.head + by).min(self.log.len() as i64);
        let grown = self.log[from as usize..self.head as usize].to_vec();
        for own in grown.iter().filter(|entry| entry.author == ME && is_message(entry)) {
            self.read = own.seq;
        }
        grown
    }

    /// Recalls blank bodies in the log too.
    fn entries(&self, from: i64, to: i64) -> Vec<v1::Entry> {
        let recalled: BTreeSet<i64> = self.known().iter().filter_map(recalled_by).collect();
        let range = self.known().iter().filter(|entry| (from..=to).contains(&entry.seq));
        range
            .cloned()
            .map(|mut entry| {
                match &mut entry.event {
                    Some(Event::Message(message)) if recalled.contains(&entry.seq) => message.body = None,
                    Some(Event::Edited(edited)) if recalled.contains(&edited.target) => edited.body = None,
                    _ => {}
                }
                entry
            })
            .collect()
    }

    fn known(&self) -> &[v1::Entry] {
        &self.log[..self.head as usize]
    }

    fn count_at(&self, seq: i64) -> i64 {
        if seq == 0 { 0 } else { self.log[seq as usize - 1].count }
    }

    fn membership(&self) -> v1::Membership {
        let unread = self.count_at(self.head) - self.count_at(self.read);
        v1::Membership { visible_from: 1, read: self.read, unread, ..v1::Membership::default() }
    }

    fn page(&mut self) -> v1::ConversationChange {
        let limited = self.head - self.cursor > LIMITED_ABOVE;
        let from = if limited { self.head - LIMITED_TO + 1 } else { self.cursor + 1 };
        self.cursor = self.head;
        let conversation = v1::Conversation {
            id: CONVERSATION,
            head: self.head,
            count: self.count_at(self.head),
            me: Some(self.membership()),
            title: self.title(),
            ..v1::Conversation::default()
        };
        v1::ConversationChange { conversation: Some(conversation), entries: self.entries(from, self.head), limited }
    }

    fn title(&self) -> String {
        let mut titles = self.known().iter().filter_map(|entry| match &entry.event {
            Some(Event::Info(info)) => info.title.clone(),
            _ => None,
        });
        titles.next_back().unwrap_or_default()
    }

    fn history(&self, before: i64, count: usize) -> v1::HistoryPage {
        let states = self.states();
        let shown: Vec<i64> = self.known().iter().filter(|entry| entry.seq < before && !is_effect(entry)).map(|entry| entry.seq).collect();
        let page = &shown[shown.len().saturating_sub(count)..];
        v1::HistoryPage {
            conversation: CONVERSATION,
            messages: page.iter().filter_map(|seq| states.get(seq).cloned()).collect(),
            events: page.iter().filter(|seq| !states.contains_key(seq)).map(|seq| self.log[*seq as usize - 1].clone()).collect(),
            has_more_messages: page.len() < shown.len(),
            floor: 0,
        }
    }

    /// Messages as they are now, worked out without the code under test.
    fn states(&self) -> BTreeMap<i64, v1::MessageState> {
        let mut states = BTreeMap::new();
        for entry in self.known() {
            match entry.event.clone().expect("an event") {
                Event::Message(message) => {
                    let (seq, author, key) = (entry.seq, entry.author, entry.key.clone());
                    let state = v1::MessageState {
                        conversation: CONVERSATION,
                        seq,
                        at_ms: seq,
                        author,
                        count: entry.count,
                        key,
                        body: message.body,
                        ..Default::default()
                    };
                    states.insert(seq, state);
                }
                Event::Edited(edited) => {
                    let state = states.get_mut(&edited.target).expect("a target");
                    (state.body, state.edited_at_ms) = (edited.body, entry.at_ms);
                }
                Event::Recalled(recalled) => {
                    let state = states.get_mut(&recalled.target).expect("a target");
                    (state.recalled, state.body, state.reactions) = (true, None, Vec::new());
                }
                Event::Reacted(reacted) => {
                    let state = states.get_mut(&reacted.target).expect("a target");
                    let mut uids: Vec<i64> = state.reactions.first().map_or_else(Vec::new, |reaction| reaction.uids.clone());
                    uids.retain(|uid| *uid != entry.author || reacted.on);
                    if reacted.on && !uids.contains(&entry.author) {
                        uids.push(entry.author);
                    }
                    state.reactions = if uids.is_empty() { Vec::new() } else { vec![v1::Reaction { emoji: reacted.emoji, uids }] };
                }
                _ => {}
            }
        }
        states
    }
}

fn is_message(entry: &v1::Entry) -> bool {
    matches!(entry.event, Some(Event::Message(_)))
}

fn is_effect(entry: &v1::Entry) -> bool {
    matches!(entry.event, Some(Event::Edited(_) | Event::Recalled(_) | Event::Reacted(_)))
}

fn recalled_by(entry: &v1::Entry) -> Option<i64> {
    match &entry.event {
        Some(Event::Recalled(recalled)) => Some(recalled.target),
        _ => None,
    }
}

struct Device {
    store: Store,
    timeline: Timeline,
    history: Option<(v1::HistoryPage, i64, i64)>,
}

impl Device {
    async fn keep(&mut self, info: Option<v1::Conversation>, applied: Applied) {
        let Applied { restart, ready } = applied;
        let (from, position) = (self.timeline.from(), self.timeline.position());
        let advance = Advance { conversation: CONVERSATION, info, restart, from, position, ready };
        self.store.apply(Page { advances: vec![advance], ..Page::default() }, ME).await.expect("applies");
    }

    async fn sync(&mut self, server: &mut Server) {
        let change = server.page();
        let info = change.conversation.clone();
        let applied = self.timeline.page(change, Instant::now());
        self.keep(info, applied).await;
    }

    async fn pull(&mut self, server: &Server) -> bool {
        let Some(range) = self.timeline.pull_at().and_then(|at| self.timeline.pull(at)) else {
            return false;
        };
        let entries = server.entries(*range.start(), *range.end());
        let applied = self.timeline.pulled(Some(v1::Entries { entries, head: server.head, ..Default::default() }), Instant::now());
        self.keep(None, applied).await;
        true
    }

    /// The answer is of now, and arrives later.
    async fn ask_history(&mut self, server: &Server) {
        if let Some((window, _)) = self.store.window(CONVERSATION).await.expect("reads") {
            self.history = Some((server.history(window.from, 3), window.from, window.position));
        }
    }

    async fn hear_history(&mut self) {
        if let Some((page, before, asked_at)) = self.history.take() {
            self.store.prepend(page, before, asked_at, ME).await.expect("prepends");
        }
    }

    /// Nothing shows twice, and nothing is missing between the lines.
    async fn check(&self) {
        let view = self.store.timeline(CONVERSATION, 0, usize::MAX).await.expect("reads");
        let seqs: Vec<i64> = view.items.iter().filter_map(Item::seq).collect();
        assert!(seqs.windows(2).all(|pair| pair[0] < pair[1]), "{seqs:?}");
        let mut keys = BTreeSet::new();
        for item in &view.items {
            let key = match item {
                Item::Message(message) => &message.key,
                Item::Pending(echo) => &echo.key,
                Item::Event(_) => continue,
            };
            assert!(keys.insert(key.clone()), "{key} shows twice");
        }
    }
}

#[derive(Clone, Debug)]
enum Step {
    Grow { by: i64, acked: bool },
    Push { back: i64, len: i64, reversed: bool },
    Pull,
    Sync,
    AskHistory,
    HearHistory,
    MarkRead { back: i64 },
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (1..12_i64, any::<bool>()).prop_map(|(by, acked)| Step::Grow { by, acked }),
        6 => (0..15_i64, 1..8_i64, any::<bool>()).prop_map(|(back, len, reversed)| Step::Push { back, len, reversed }),
        2 => Just(Step::Pull),
        2 => Just(Step::Sync),
        2 => Just(Step::AskHistory),
        2 => Just(Step::HearHistory),
        1 => (0..6_i64).prop_map(|back| Step::MarkRead { back }),
    ]
}

async fn take(step: Step, server: &mut Server, device: &mut Device) {
    match step {
        Step::Grow { by, acked } => {
            for own in server.grow(by).iter().filter(|entry| entry.author == ME && is_message(entry)) {
                let send = v1::Send { conversation: CONVERSATION, key: own.key.clone(), ..v1::Send::default() };
                device.store.enqueue(&send, 0).await.expect("enqueues");
                if acked {
                    ack(&device.store, &own.key).await;
                }
            }
        }
        Step::Push { back, len, reversed } => {
            let from = (server.head - back).max(1);
            let mut entries = server.entries(from, from + len);
            if reversed {
                entries.reverse();
            }
            // As the session: who does not know the conversation syncs instead.
            if device.timeline.position() > 0 {
                let applied = device.timeline.push(entries, Instant::now());
                device.keep(None, applied).await;
            }
        }
        Step::Pull => drop(device.pull(server).await),
        Step::Sync => device.sync(server).await,
        Step::AskHistory => device.ask_history(server).await,
        Step::HearHistory => device.hear_history().await,
        Step::MarkRead { back } => {
            server.read = server.read.max(device.timeline.position() - back);
            device.store.apply_membership(CONVERSATION, server.membership()).await.expect("applies");
        }
    }
}

async fn ack(store: &Store, key: &str) {
    let seq = key[1..].parse().expect("keys tell their seq");
    store.acked(&v1::Ack { conversation: CONVERSATION, key: key.to_owned(), seq, ..v1::Ack::default() }).await.expect("acks");
}

async fn run(recipe: Vec<(u8, u8, u8)>, steps: Vec<Step>) {
    let mut server = Server::new(&recipe);
    let store = Store::open(None).await.expect("opens");
    let mut device = Device { store, timeline: Timeline::new(1, 0), history: None };
    for step in steps {
        take(step, &mut server, &mut device).await;
        device.check().await;
    }
    // Quiet: what has no ack is sent again, one sync, its gaps, and all of history.
    server.grow(1);
    for send in device.store.waiting().await.expect("reads") {
        ack(&device.store, &send.key).await;
    }
    device.sync(&mut server).await;
    while device.pull(&server).await {}
    device.hear_history().await;
    for _ in 0..recipe.len() + 1 {
        device.ask_history(&server).await;
        device.hear_history().await;
    }
    device.check().await;

    let view = device.store.timeline(CONVERSATION, 0, usize::MAX).await.expect("reads");
    let states = server.states();
    let shown: BTreeMap<i64, v1::MessageState> = view
        .items
        .iter()
        .filter_map(|item| match item {
            Item::Message(message) => Some((message.seq, message.clone())),
            _ => None,
        })
        .collect();
    let sorted = |states: BTreeMap<i64, v1::MessageState>| -> Vec<v1::MessageState> {
        states
            .into_values()
            .map(|mut state| {
                state.reactions.iter_mut().for_each(|reaction| reaction.uids.sort_unstable());
                state
            })
            .collect()
    };
    assert_eq!(sorted(shown), sorted(states));
    assert!(!view.has_more);
    assert_eq!(view.items.iter().filter(|item| matches!(item, Item::Pending(_))).count(), 0, "no echo is left");
    let conversation = device.store.conversation(CONVERSATION).await.expect("reads").expect("known");
    assert_eq!(conversation.me.expect("me").unread, server.membership().unread);
    assert_eq!((conversation.head, conversation.title), (server.head, server.title()));
}

fn block_on<F: Future>(work: F) -> F::Output {
    tokio::runtime::Builder::new_current_thread().enable_time().build().expect("a runtime").block_on(work)
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_device_ends_as_the_server_whatever_was_lost_repeated_or_late(
        recipe in prop::collection::vec(any::<(u8, u8, u8)>(), 1..80),
        steps in prop::collection::vec(step(), 0..40),
    ) {
        block_on(run(recipe, steps));
    }
}

fn send(conversation: i64, key: &str) -> v1::Send {
    v1::Send { conversation, key: key.to_owned(), body: Some(text(format!("body of {key}"))), ..v1::Send::default() }
}

fn change(conversation: i64, seqs: std::ops::RangeInclusive<i64>) -> Advance {
    let entry = |seq| v1::Entry {
        conversation,
        seq,
        at_ms: seq,
        author: 2,
        count: seq,
        key: format!("k{seq}"),
        event: Some(Event::Message(v1::Message { body: Some(text(format!("message {seq}"))), reply_to: 0 })),
    };
    let me = v1::Membership { visible_from: 1, unread: *seqs.end(), ..v1::Membership::default() };
    let info = v1::Conversation { id: conversation, head: *seqs.end(), count: *seqs.end(), me: Some(me), ..v1::Conversation::default() };
    Advance { conversation, info: Some(info), restart: true, from: *seqs.start(), position: *seqs.end(), ready: seqs.map(entry).collect() }
}

#[tokio::test]
async fn a_reopened_store_shows_what_was_kept_and_sends_what_waited_in_order() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("ann.skein");
    let place = Place { epoch: u64::MAX, cursor: "c-1".to_owned() };
    {
        let store = Store::open(Some(path.clone())).await.expect("opens");
        let page = Page { reset: false, place: Some(place.clone()), advances: vec![change(7, 1..=3)] };
        store.apply(page, ME).await.expect("applies");
        for key in ["b", "a", "c"] {
            store.enqueue(&send(7, key), 0).await.expect("enqueues");
        }
        store.failed("a", "too_large").await.expect("fails");
        assert_eq!(store.enqueue(&send(7, "b"), 0).await.expect_err("taken").code(), "key_in_use");
    }
    let store = Store::open(Some(path)).await.expect("opens again");
    assert_eq!(store.place().await.expect("reads"), place);
    assert_eq!(store.windows().await.expect("reads")[0].position, 3);
    let keys: Vec<String> = store.waiting().await.expect("reads").into_iter().map(|send| send.key).collect();
    assert_eq!(keys, ["b", "c"]);
    let view = store.timeline(7, 0, 50).await.expect("reads");
    let shown: Vec<String> = view
        .items
        .iter()
        .map(|item| match item {
            Item::Message(message) => text_of(message.body.as_ref().expect("a body")),
            Item::Pending(echo) => format!("{} {:?}", echo.key, echo.state),
            Item::Event(_) => String::new(),
        })
        .collect();
    let failed = r#"a Failed { code: "too_large" }"#;
    assert_eq!(shown, ["message 1", "message 2", "message 3", "b Waiting", failed, "c Waiting"]);
}

#[tokio::test]
async fn a_new_window_leaves_nothing_of_the_old_one() {
    let store = Store::open(None).await.expect("opens");
    for seqs in [1..=3, 10..=12] {
        store.apply(Page { advances: vec![change(7, seqs)], ..Page::default() }, ME).await.expect("applies");
    }
    let view = store.timeline(7, 0, 50).await.expect("reads");
    let seqs: Vec<i64> = view.items.iter().filter_map(Item::seq).collect();
    assert_eq!((seqs, view.has_more), (vec![10, 11, 12], true));
    let kept: i64 = store.call(|db| db.query_row("SELECT count(*) FROM line", [], |row| row.get(0))).await.expect("counts");
    assert_eq!(kept, 3, "what was recalled meanwhile would stay readable on disk");
}

#[tokio::test]
async fn retrying_moves_a_failed_message_behind_the_others() {
    let store = Store::open(None).await.expect("opens");
    for key in ["a", "b"] {
        store.enqueue(&send(7, key), 0).await.expect("enqueues");
    }
    assert_eq!(store.retry("a", 1).await.expect("reads"), None, "it has not failed");
    store.failed("a", "silenced").await.expect("fails");
    assert!(store.retry("a", 1).await.expect("retries").is_some());
    let keys: Vec<String> = store.waiting().await.expect("reads").into_iter().map(|send| send.key).collect();
    assert_eq!(keys, ["b", "a"]);
    assert!(store.discard("b").await.expect("discards").is_some());
    assert!(store.discard("b").await.expect("reads").is_none());
}

#[tokio::test]
async fn another_epoch_forgets_windows_and_sends_acked_messages_again() {
    let store = Store::open(None).await.expect("opens");
    store.apply(Page { advances: vec![change(7, 1..=3)], ..Page::default() }, ME).await.expect("applies");
    store.enqueue(&send(7, "a"), 0).await.expect("enqueues");
    store.acked(&v1::Ack { conversation: 7, key: "a".into(), seq: 4, ..v1::Ack::default() }).await.expect("acks");
    assert!(store.waiting().await.expect("reads").is_empty());
    store.apply(Page { reset: true, ..Page::default() }, ME).await.expect("applies");
    assert!(store.conversations().await.expect("reads").is_empty());
    assert_eq!(store.waiting().await.expect("reads").len(), 1);
}

#[cfg(unix)]
#[tokio::test]
async fn the_file_is_its_owners_alone_and_opened_once() {
    use std::os::unix::fs::PermissionsExt as _;
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("ann.skein");
    let store = Store::open(Some(path.clone())).await.expect("opens");
    store.enqueue(&send(7, "a"), 0).await.expect("enqueues");
    for file in std::fs::read_dir(folder.path()).expect("lists") {
        let file = file.expect("a file");
        let mode = file.metadata().expect("metadata").permissions().mode() & 0o777;
        assert_eq!(mode, 0o600, "{}", file.path().display());
    }
    let second = Store::open(Some(path)).await.err().map(|error| error.code().to_owned());
    assert_eq!(second.as_deref(), Some("store_in_use"));
}
