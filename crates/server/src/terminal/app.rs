//! What the chat screen knows. Pure: keys and updates go in, intents come out, and the view draws what is here.
//!
//! **Invariant:** nothing here touches the network, the store, the clock or the terminal; the driver does.
//!
//! **Invariant:** texts of others are kept as they came and made harmless where they are drawn.
//!
//! Bound: [`ITEMS_MAX`] lines of the open conversation; scrolling further back drops none, asking for more stops there.

use std::collections::{HashMap, HashSet};

use skein_sdk::{Device, Item, Person, v1};

use super::command::TABLE;
use super::input::Input;
use super::intent::{DISABLED, Intent, Link, Update};
use super::lang::Lang;
use super::time::Zone;

pub const ITEMS_MAX: usize = 5_000;
/// Failures that end with the next connection.
const OFFLINE: [&str; 3] = ["not_connected", "network", "timeout"];
/// One is typing for as long.
const TYPING_SHOWN_MS: i64 = 6_000;
/// The others are told so often.
pub(super) const TYPING_TOLD_MS: i64 = 3_000;

#[derive(Clone, Debug, PartialEq)]
pub enum Notice {
    Info(String),
    Error(String),
}

/// The conversation on screen.
#[derive(Clone, Debug, Default)]
pub struct Open {
    pub id: i64,
    pub items: Vec<Item>,
    pub has_more: bool,
    pub position: i64,
    /// What was read when it was opened: the "new messages" line stands behind it.
    pub read_before: i64,
    /// Lines scrolled up from the end.
    pub scroll: usize,
    /// Seq of the message that commands are about.
    pub selected: Option<i64>,
    pub is_loading: bool,
    marked: i64,
}

/// A list or page over the timeline.
#[derive(Clone, Debug)]
pub enum Panel {
    Help,
    Friends(Vec<v1::Friend>),
    Requests(Vec<v1::FriendRequest>),
    Blocked(Vec<v1::Friend>),
    Rooms(Vec<v1::RoomInfo>),
    Members { conversation: i64, members: Vec<v1::Member> },
    Found(Vec<v1::Profile>),
    Devices(Vec<Device>),
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Focus {
    #[default]
    Input,
    /// The list of conversations.
    List,
}

#[derive(Debug, Default)]
pub struct App {
    pub lang: Lang,
    pub zone: Zone,
    pub now_ms: i64,
    pub me: i64,
    pub nickname: String,
    pub link: Link,
    pub conversations: Vec<v1::Conversation>,
    pub people: HashMap<i64, Person>,
    /// Conversations with an unread message that mentions me.
    pub mentioned: HashSet<i64>,
    pub open: Option<Open>,
    pub panel: Option<Panel>,
    /// The row of the panel, or the line help begins with.
    pub row: usize,
    pub focus: Focus,
    /// The row of the list of conversations.
    pub list_row: usize,
    pub input: Input,
    pub choices: Vec<String>,
    pub notice: Option<Notice>,
    pub(super) requests: Vec<v1::FriendRequest>,
    pub(super) rooms: Vec<v1::RoomInfo>,
    pub(super) typing: HashMap<i64, (i64, i64)>,
    pub(super) typing_told_ms: i64,
}

impl App {
    pub fn new(lang: Lang, zone: Zone) -> Self {
        Self { lang, zone, ..Self::default() }
    }

    pub fn update(&mut self, update: Update) -> Vec<Intent> {
        match update {
            Update::Me { uid, nickname } => (self.me, self.nickname) = (uid, nickname),
            Update::Link(link) => self.link = link,
            Update::Synced => self.synced(),
            Update::Done => self.notice.take_if(|notice| matches!(notice, Notice::Error(_))).map_or((), drop),
            Update::LoggedOut => return vec![Intent::Quit],
            Update::Conversations(conversations) => self.conversations_changed(conversations),
            Update::People(people) => self.people.extend(people.into_iter().map(|person| (person.uid, person))),
            Update::Lines { conversation, items, has_more, position } => {
                return self.lines_changed(conversation, items, has_more, position);
            }
            Update::Arrived(message) => self.arrived(&message),
            Update::Typing { conversation, uid } => drop(self.typing.insert(conversation, (uid, self.now_ms + TYPING_SHOWN_MS))),
            Update::Friends(friends) => {
                self.people.extend(friends.iter().map(|friend| (friend.uid, friend.into())));
                self.show_or_refresh(Panel::Friends(friends));
            }
            Update::Requests(requests) => {
                self.requests.clone_from(&requests);
                self.show_or_refresh(Panel::Requests(requests));
            }
            Update::Blocked(friends) => self.show_or_refresh(Panel::Blocked(friends)),
            Update::Rooms(rooms) => {
                self.rooms.clone_from(&rooms);
                self.show_or_refresh(Panel::Rooms(rooms));
            }
            Update::Members { conversation, members } => {
                self.show_or_refresh(Panel::Members { conversation, members });
            }
            Update::Found(profiles) => self.show_or_refresh(Panel::Found(profiles)),
            Update::Devices(devices) => self.show_or_refresh(Panel::Devices(devices)),
            Update::Opened(conversation) => {
                let id = conversation.id;
                if self.conversation(id).is_none() {
                    self.conversations.insert(0, *conversation);
                }
                self.panel = None;
                return self.open(id);
            }
            Update::Left(conversation) => {
                self.conversations.retain(|known| known.id != conversation);
                if self.open.as_ref().is_some_and(|open| open.id == conversation) {
                    self.open = None;
                }
            }
            Update::Notice(text) => self.notice = Some(Notice::Info(text)),
            Update::Failed { code, message } => {
                self.notice = Some(Notice::Error(self.reason(&code, &message)));
                if let Some(open) = self.open.as_mut() {
                    open.is_loading = false;
                }
            }
        }
        Vec::new()
    }

    /// Also forgets a failure that came of being off line.
    fn synced(&mut self) {
        if !matches!(self.link, Link::Ended { .. }) {
            self.link = Link::Online;
        }
        let was_offline = OFFLINE.map(|code| self.reason(code, ""));
        self.notice.take_if(|notice| matches!(notice, Notice::Error(text) if was_offline.contains(text)));
    }

    fn conversations_changed(&mut self, conversations: Vec<v1::Conversation>) {
        let under_cursor = self.conversations.get(self.list_row).map(|conversation| conversation.id);
        self.conversations = conversations;
        if let Some(row) = self.conversations.iter().position(|conversation| Some(conversation.id) == under_cursor) {
            self.list_row = row;
        }
        self.list_row = self.list_row.min(self.conversations.len().saturating_sub(1));
        for conversation in &self.conversations {
            let unread = unread(conversation);
            let mentions_me = conversation.last.as_ref().is_some_and(|last| mentions(last, self.me));
            match (unread, mentions_me) {
                (0, _) => drop(self.mentioned.remove(&conversation.id)),
                (_, true) => drop(self.mentioned.insert(conversation.id)),
                (_, false) => {}
            }
        }
    }

    fn lines_changed(&mut self, conversation: i64, items: Vec<Item>, has_more: bool, position: i64) -> Vec<Intent> {
        let Some(open) = self.open.as_mut().filter(|open| open.id == conversation) else {
            return Vec::new();
        };
        (open.items, open.has_more, open.position, open.is_loading) = (items, has_more, position, false);
        if open.selected.is_some_and(|seq| !open.items.iter().any(|item| item.seq() == Some(seq))) {
            open.selected = None;
        }
        self.mark_read()
    }

    /// What is at the end of the screen was seen.
    pub(super) fn mark_read(&mut self) -> Vec<Intent> {
        let Some(open) = self.open.as_mut() else {
            return Vec::new();
        };
        if open.scroll > 0 || open.position <= open.marked {
            return Vec::new();
        }
        open.marked = open.position;
        self.mentioned.remove(&open.id);
        vec![Intent::MarkRead { conversation: open.id, seq: open.position }]
    }

    fn arrived(&mut self, message: &v1::MessageState) {
        self.typing.remove(&message.conversation);
        let is_on_screen = self.open.as_ref().is_some_and(|open| open.id == message.conversation && open.scroll == 0);
        if !is_on_screen && mentions(message, self.me) && message.author != self.me {
            self.mentioned.insert(message.conversation);
        }
    }

    /// Told live: in front of those that are known.
    pub fn learn_request(&mut self, request: &v1::FriendRequest) {
        self.requests.retain(|known| known.id != request.id);
        self.requests.insert(0, request.clone());
        if let Some(Panel::Requests(rows)) = &mut self.panel {
            rows.clone_from(&self.requests);
        }
    }

    fn show_or_refresh(&mut self, panel: Panel) {
        let is_same = self.panel.as_ref().is_some_and(|shown| std::mem::discriminant(shown) == std::mem::discriminant(&panel));
        if !is_same {
            self.row = 0;
        }
        self.panel = Some(panel);
        self.row = self.row.min(self.rows().saturating_sub(1));
        self.focus = Focus::Input;
    }

    pub fn rows(&self) -> usize {
        match &self.panel {
            None => 0,
            Some(Panel::Help) => TABLE.len(),
            Some(Panel::Friends(rows) | Panel::Blocked(rows)) => rows.len(),
            Some(Panel::Requests(rows)) => rows.len(),
            Some(Panel::Rooms(rows)) => rows.len(),
            Some(Panel::Members { members, .. }) => members.len(),
            Some(Panel::Found(rows)) => rows.len(),
            Some(Panel::Devices(rows)) => rows.len(),
        }
    }

    pub fn conversation(&self, id: i64) -> Option<&v1::Conversation> {
        self.conversations.iter().find(|conversation| conversation.id == id)
    }

    pub fn current(&self) -> Option<&v1::Conversation> {
        self.open.as_ref().and_then(|open| self.conversation(open.id))
    }

    /// Opens a conversation; what was being written in the last one becomes its draft.
    pub fn open(&mut self, id: i64) -> Vec<Intent> {
        if self.open.as_ref().is_some_and(|open| open.id == id) {
            return vec![Intent::Load(id)];
        }
        let mut intents = self.put_draft_away();
        let me = self.conversation(id).and_then(|conversation| conversation.me.clone()).unwrap_or_default();
        self.open = Some(Open { id, read_before: me.read, is_loading: true, ..Open::default() });
        self.input.set(me.draft);
        self.list_row = self.conversations.iter().position(|conversation| conversation.id == id).unwrap_or(0);
        intents.push(Intent::Load(id));
        intents
    }

    /// Also on leaving the program. A half-written command is no draft.
    pub fn put_draft_away(&mut self) -> Vec<Intent> {
        let Some(conversation) = self.current() else {
            return Vec::new();
        };
        let kept = conversation.me.as_ref().map_or("", |me| me.draft.as_str());
        let text = if self.input.text().starts_with('/') { "" } else { self.input.text().trim_end() };
        if text == kept {
            return Vec::new();
        }
        let (id, text) = (conversation.id, text.to_owned());
        if let Some(me) = self.conversations.iter_mut().find(|known| known.id == id).and_then(|known| known.me.as_mut()) {
            me.draft.clone_from(&text);
        }
        vec![Intent::Draft { conversation: id, text }]
    }

    // === names ===

    /// Remark first, then nickname.
    pub fn name(&self, uid: i64) -> String {
        if uid == self.me {
            return self.lang.pick("我", "you").to_owned();
        }
        match self.people.get(&uid) {
            Some(person) if !person.name().is_empty() => person.name().to_owned(),
            _ => format!("#{uid}"),
        }
    }

    /// What was written, with those who can be mentioned here.
    pub(super) fn compose(&self, text: &str) -> v1::Body {
        let names = self.people.values().flat_map(|person| [(person.name().to_owned(), person.uid), (person.nickname.clone(), person.uid)]);
        super::compose::body(text, &names.collect::<Vec<_>>())
    }

    pub fn title(&self, conversation: &v1::Conversation) -> String {
        match conversation.kind() {
            v1::ConversationKind::Direct => self.name(conversation.peer),
            _ if conversation.title.is_empty() => format!("#{}", conversation.id),
            _ => conversation.title.clone(),
        }
    }

    /// Who is writing to me right now.
    pub fn typing_in(&self, conversation: i64) -> Option<String> {
        let (uid, until) = self.typing.get(&conversation)?;
        (*until > self.now_ms && *uid != self.me).then(|| self.name(*uid))
    }

    /// A failure in the words of the user.
    pub fn reason(&self, code: &str, message: &str) -> String {
        let told = match code {
            code if OFFLINE.contains(&code) => self.lang.pick("现在离线，稍后再试", "off line; try again later"),
            "not_accepted" => self.lang.pick("对方不接收你的消息（还不是好友？）", "they do not take your messages (not friends yet?)"),
            "not_found" => self.lang.pick("没有找到", "not found"),
            "forbidden" => self.lang.pick("你的角色不能这样做", "your role does not allow it"),
            "silenced" => self.lang.pick("你被禁言了", "you are silenced here"),
            "recall_window" => self.lang.pick("太晚了，已超过可撤回的时间", "too late, it can no longer be recalled"),
            "recalled" => self.lang.pick("消息已被撤回", "the message was taken back"),
            "disabled" => self.lang.pick(DISABLED.0, DISABLED.1),
            "rate_limited" | "busy" => self.lang.pick("太频繁，稍等片刻", "too fast; wait a moment"),
            "already_member" => self.lang.pick("已经是成员", "is a member already"),
            "not_self" => self.lang.pick("不能对自己这样做", "not to yourself"),
            "outbox_full" => self.lang.pick("待发消息太多", "too many messages wait to be sent"),
            _ => message,
        };
        format!("{told} ({code})")
    }
}

pub fn unread(conversation: &v1::Conversation) -> i64 {
    conversation.me.as_ref().map_or(0, |me| me.unread)
}

/// By uid, or by mentioning everybody.
pub fn mentions(message: &v1::MessageState, uid: i64) -> bool {
    let segments = message.body.iter().flat_map(|body| &body.segments);
    segments.filter_map(|segment| segment.part.as_ref()).any(|part| match part {
        v1::segment::Part::Mention(mention) => mention.uid == uid || mention.uid == 0,
        v1::segment::Part::Text(_) | v1::segment::Part::Link(_) => false,
    })
}
