//! Runs the chat screen: what is typed and what the SDK tells go into the state, its intents go to the SDK.
//!
//! One loop owns the state and the terminal. Requests run beside it and come back as updates, so a slow network never
//! stops a key; messages are put into the outbox in the loop itself, in the order they were written.
//!
//! Bounds: [`UPDATES_MAX`] updates wait for the loop, then their requests do. The screen is drawn at most once per
//! [`REFRESH`], however much happens.

use std::collections::HashSet;
use std::process::ExitCode;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result};
use crossterm::event::Event as Typed;
use skein_sdk::{Client, Error, Event, Item, v1};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::{Instant, MissedTickBehavior, sleep_until, timeout};

use super::ChatArgs;
use super::account::{self, Use};
use super::app::App;
use super::intent::{Intent, Link, Update};
use super::screen::Screen;
use super::time::Zone;
use super::{perform, view};

const UPDATES_MAX: usize = 256;
const REFRESH: Duration = Duration::from_millis(33);
/// Lines of a conversation that are shown at first.
pub(super) const FIRST_COUNT: usize = 50;
/// What a last draft or read mark is given on the way out.
const LAST_WORDS: Duration = Duration::from_secs(2);

pub async fn run(args: ChatArgs) -> Result<ExitCode> {
    let client = match args.register {
        true => account::register(&args.account).await?,
        false => account::open(&args.account, Use::Chat).await?.client,
    };
    let app = App::new(args.account.lang(), Zone::of_system());
    let (mut screen, keys) = Screen::enter()?;
    let outcome = Chat::new(client.clone(), app).run(&mut screen, keys).await;
    drop(screen);
    client.close().await;
    outcome
}

struct Chat {
    client: Client,
    app: App,
    tasks: JoinSet<()>,
    updates: mpsc::Receiver<Update>,
    /// For tasks to tell.
    told: mpsc::Sender<Update>,
    /// People whose names were asked for.
    asked: HashSet<i64>,
    list_is_stale: bool,
    lines_are_stale: bool,
    draw_at: Option<Instant>,
    is_over: bool,
}

impl Chat {
    fn new(client: Client, app: App) -> Self {
        let (told, updates) = mpsc::channel(UPDATES_MAX);
        Self {
            client,
            app,
            tasks: JoinSet::new(),
            updates,
            told,
            asked: HashSet::new(),
            list_is_stale: true,
            lines_are_stale: false,
            draw_at: Some(Instant::now()),
            is_over: false,
        }
    }

    async fn run(mut self, screen: &mut Screen, mut keys: mpsc::Receiver<Typed>) -> Result<ExitCode> {
        let mut events = self.client.events();
        let mut ends = [end(SignalKind::terminate())?, end(SignalKind::hangup())?];
        let [terminated, hung_up] = &mut ends;
        let mut clock = tokio::time::interval(Duration::from_secs(1));
        clock.set_missed_tick_behavior(MissedTickBehavior::Delay);
        self.begin().await?;
        while !self.is_over {
            let draw_at = self.draw_at.unwrap_or_else(|| Instant::now() + Duration::from_secs(3_600));
            // Every arm is cancel-safe; what it took is handled before the next turn.
            tokio::select! {
                typed = keys.recv() => match typed {
                    Some(typed) => self.typed(&typed).await,
                    None => break,
                },
                event = events.next() => match event {
                    Some(event) => self.heard(event).await,
                    None => break,
                },
                Some(update) = self.updates.recv() => self.apply(update).await,
                Some(_) = self.tasks.join_next() => continue,
                _ = clock.tick() => {}
                _ = terminated.recv() => self.leave().await,
                _ = hung_up.recv() => self.leave().await,
                () = sleep_until(draw_at) => {
                    self.refresh().await?;
                    screen.terminal.draw(|frame| view::draw(frame, &mut self.app)).context("draw")?;
                    self.draw_at = None;
                    continue;
                }
            }
            self.app.now_ms = now_ms();
            self.draw_at.get_or_insert_with(|| Instant::now() + REFRESH);
        }
        self.finish().await;
        Ok(ExitCode::SUCCESS)
    }

    /// What is stored here shows before anything is heard.
    async fn begin(&mut self) -> Result<()> {
        self.app.now_ms = now_ms();
        if let Some(account) = self.client.account().await? {
            let link = if account.is_logged_in() { Link::Connecting } else { Link::Ended { code: "unauthorized".to_owned() } };
            self.apply(Update::Link(link)).await;
            self.apply(Update::Me { uid: account.uid, nickname: account.nickname }).await;
        }
        // The session may have come up before its events were listened to.
        if self.client.is_online() {
            self.apply(Update::Link(Link::Updating)).await;
        }
        let (client, told) = (self.client.clone(), self.told.clone());
        self.tasks.spawn(async move {
            if client.synced().await.is_ok() {
                drop(told.send(Update::Synced).await);
            }
        });
        self.refresh().await
    }

    async fn typed(&mut self, typed: &Typed) {
        let intents = match typed {
            Typed::Key(key) => self.app.key(*key),
            Typed::Paste(text) => self.app.paste(text),
            _ => Vec::new(),
        };
        self.perform(intents).await;
    }

    async fn apply(&mut self, update: Update) {
        let is_change = matches!(update, Update::Friends(_) | Update::Opened(_) | Update::Left(_) | Update::Synced);
        let intents = self.app.update(update);
        self.list_is_stale |= is_change;
        self.perform(intents).await;
    }

    async fn perform(&mut self, intents: Vec<Intent>) {
        for intent in intents {
            match intent {
                Intent::Quit => self.is_over = true,
                Intent::Load(conversation) => self.load(conversation).await,
                Intent::Send { conversation, body, reply_to } => {
                    if let Err(error) = self.client.send(conversation, body, reply_to).await {
                        self.failed(&error);
                    }
                    self.lines_are_stale = true;
                }
                other => self.ask(other),
            }
        }
    }

    /// Beside the loop.
    fn ask(&mut self, intent: Intent) {
        let (client, told, lang) = (self.client.clone(), self.told.clone(), self.app.lang);
        let done = intent.is_asked_for().then_some(Update::Done);
        self.tasks.spawn(async move {
            let updates = match perform::perform(&client, intent, lang).await {
                Ok(updates) => done.into_iter().chain(updates).collect(),
                Err(Error::ClientClosed) => Vec::new(),
                Err(error) => vec![Update::Failed { code: error.code().to_owned(), message: message(&error) }],
            };
            for update in updates {
                // The loop has ended: nobody looks any more.
                if told.send(update).await.is_err() {
                    return;
                }
            }
        });
    }

    fn failed(&mut self, error: &Error) {
        drop(self.app.update(Update::Failed { code: error.code().to_owned(), message: message(error) }));
    }

    /// At once from here, then from the server as far as there is little here.
    async fn load(&mut self, conversation: i64) {
        self.lines_are_stale = true;
        match self.client.timeline(conversation).await {
            Ok(view) => {
                let wants_more = view.has_more && view.items.len() < FIRST_COUNT;
                self.lines(conversation, view).await;
                if wants_more {
                    self.ask(Intent::LoadOlder { conversation, count: FIRST_COUNT });
                }
            }
            Err(error) => self.failed(&error),
        }
    }

    async fn lines(&mut self, conversation: i64, view: skein_sdk::TimelineView) {
        let skein_sdk::TimelineView { items, has_more, position } = view;
        self.learn_names(uids_of(&items)).await;
        let intents = self.app.update(Update::Lines { conversation, items, has_more, position });
        for intent in intents {
            self.ask(intent);
        }
    }

    async fn heard(&mut self, event: Event) {
        match event {
            Event::Connected => self.app.link = Link::Updating,
            Event::Disconnected { retry_in, reason } => {
                let retry_at_ms = now_ms() + i64::try_from(retry_in.as_millis()).unwrap_or(i64::MAX / 2);
                self.app.link = Link::Offline { retry_at_ms, reason };
            }
            Event::Synced => {
                drop(self.app.update(Update::Synced));
                (self.list_is_stale, self.lines_are_stale) = (true, true);
            }
            Event::ConversationChanged(conversation) => {
                self.list_is_stale = true;
                self.lines_are_stale |= self.is_open(conversation);
            }
            Event::Message(message) => {
                self.learn_names([message.author].into()).await;
                drop(self.app.update(Update::Arrived(message)));
            }
            Event::SendFailed { code, .. } => {
                self.lines_are_stale = true;
                drop(
                    self.app
                        .update(Update::Failed {
                            code, message: self.app.lang.pick("消息没有发出", "message was not sent").to_owned()
                        }),
                );
            }
            Event::FriendRequest(request) => self.heard_request(&request),
            Event::FriendChanged(friend) => {
                drop(self.app.update(Update::People(vec![(&friend).into()])));
                self.list_is_stale = true;
            }
            Event::Typing { conversation, uid } => {
                self.learn_names([uid].into()).await;
                drop(self.app.update(Update::Typing { conversation, uid }));
            }
            Event::RoomsChanged(_) => self.heard_rooms(),
            Event::Notice(notice) => drop(self.app.update(Update::Notice(format!("{}: {}", notice.title, notice.text)))),
            Event::LoggedOut { code, .. } | Event::Stopped { code, .. } => self.app.link = Link::Ended { code },
            Event::StoreFailed(reason) => drop(self.app.update(Update::Failed { code: "store".to_owned(), message: reason })),
            Event::Lagged => (self.list_is_stale, self.lines_are_stale) = (true, true),
        }
    }

    fn heard_request(&mut self, request: &v1::FriendRequest) {
        if self.app.is_for_me(request) {
            let said = self.app.lang.pick("想加你为好友：/accept 或 F3", "asks for friendship: /accept or F3");
            drop(self.app.update(Update::Notice(format!("{} {said}  {}", request.nickname, request.greeting))));
        }
        // An accepted one has made a friend and a conversation.
        self.list_is_stale = true;
        self.app.learn_request(request);
    }

    fn heard_rooms(&mut self) {
        if matches!(self.app.panel, Some(super::app::Panel::Rooms(_))) {
            self.ask(Intent::ShowRooms);
        }
    }

    fn is_open(&self, conversation: i64) -> bool {
        self.app.open.as_ref().is_some_and(|open| open.id == conversation)
    }

    /// Reads again what has changed, once for many events.
    async fn refresh(&mut self) -> Result<()> {
        if std::mem::take(&mut self.list_is_stale) {
            let conversations = self.client.conversations().await?;
            let people = conversations.iter().flat_map(|known| [known.peer, known.last.as_ref().map_or(0, |last| last.author)]);
            self.learn_names(people.filter(|uid| *uid > 0).collect()).await;
            self.apply(Update::Conversations(conversations)).await;
        }
        if std::mem::take(&mut self.lines_are_stale)
            && let Some((id, shown)) = self.app.open.as_ref().map(|open| (open.id, open.items.len()))
        {
            match shown {
                0..=FIRST_COUNT => {
                    let view = self.client.timeline(id).await?;
                    self.lines(id, view).await;
                }
                // If not all of them are here any more, it asks the server: not in the loop.
                _ => self.ask(Intent::LoadOlder { conversation: id, count: shown }),
            }
        }
        Ok(())
    }

    /// From here at once; what is not known here is asked for, once.
    async fn learn_names(&mut self, uids: HashSet<i64>) {
        let mut unknown = Vec::new();
        let mut people = Vec::new();
        for uid in uids.into_iter().filter(|uid| *uid != self.app.me && !self.app.people.contains_key(uid)).collect::<Vec<_>>() {
            match self.client.person(uid).await {
                Ok(Some(person)) => people.push(person),
                Ok(None) if self.client.is_online() && self.asked.insert(uid) => unknown.push(uid),
                Ok(None) | Err(_) => {}
            }
        }
        drop(self.app.update(Update::People(people)));
        if !unknown.is_empty() {
            let (client, told) = (self.client.clone(), self.told.clone());
            self.tasks.spawn(async move {
                if let Ok(found) = client.profiles(&unknown).await {
                    let people = found.profiles.iter().map(Into::into).collect();
                    drop(told.send(Update::People(people)).await);
                }
            });
        }
    }

    async fn leave(&mut self) {
        let intents = self.app.put_draft_away();
        self.perform(intents).await;
        self.is_over = true;
    }

    /// Drafts and read marks on their way get a moment.
    async fn finish(&mut self) {
        self.updates.close();
        let last_words = async { while self.tasks.join_next().await.is_some() {} };
        // Off line none of them gets anywhere.
        if self.client.is_online() && timeout(LAST_WORDS, last_words).await.is_err() {
            tracing::debug!("left before every request was answered");
        }
    }
}

fn end(kind: SignalKind) -> Result<Signal> {
    signal(kind).context("hear signals")
}

fn uids_of(items: &[Item]) -> HashSet<i64> {
    use v1::entry::Event;
    let mut uids = HashSet::new();
    for item in items {
        match item {
            Item::Message(message) => {
                uids.insert(message.author);
                uids.extend(message.body.iter().flat_map(|body| &body.segments).filter_map(|segment| match segment.part {
                    Some(v1::segment::Part::Mention(mention)) if mention.uid > 0 => Some(mention.uid),
                    _ => None,
                }));
            }
            Item::Event(entry) => {
                uids.insert(entry.author);
                match &entry.event {
                    Some(Event::Joined(joined)) => uids.extend(&joined.uids),
                    Some(Event::Left(left)) => drop(uids.insert(left.uid)),
                    Some(Event::Role(role)) => drop(uids.insert(role.uid)),
                    Some(Event::Muted(muted)) => drop(uids.insert(muted.uid)),
                    _ => {}
                }
            }
            Item::Pending(_) => {}
        }
    }
    uids
}

fn message(error: &Error) -> String {
    match error {
        Error::Refused { message, .. } => message.clone(),
        other => other.to_string(),
    }
}

fn now_ms() -> i64 {
    let since_1970 = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since_1970.as_millis()).unwrap_or(i64::MAX)
}
