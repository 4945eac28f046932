//! What commands and choices in lists do: from words to intents, with names resolved. Pure.

use skein_sdk::{EchoState, Item, v1};

use super::app::{App, Notice, Panel};
use super::command::{self, Command, Target, Wrong};
use super::intent::Intent;

type Acted = Result<Vec<Intent>, String>;

impl App {
    /// What Enter does with the written line.
    pub fn submit(&mut self) -> Vec<Intent> {
        let text = self.input.text().trim().to_owned();
        if text.is_empty() {
            return self.choose();
        }
        self.choices.clear();
        self.notice = None;
        let acted = match text.strip_prefix("//") {
            // Two slashes say one.
            Some(rest) => self.say(&format!("/{rest}")),
            None if text.starts_with('/') => self.command(&text),
            None => self.say(&text),
        };
        match acted {
            Ok(intents) => intents,
            Err(problem) => {
                // The line stays: it was work.
                self.notice = Some(Notice::Error(problem));
                Vec::new()
            }
        }
    }

    fn say(&mut self, text: &str) -> Acted {
        let conversation = self.here()?;
        self.input.take();
        self.panel = None;
        if let Some(open) = self.open.as_mut() {
            (open.scroll, open.selected) = (0, None);
            // What I answer I have read.
            open.read_before = i64::MAX;
        }
        Ok(vec![Intent::Send { conversation, body: self.compose(text), reply_to: 0 }])
    }

    fn command(&mut self, line: &str) -> Acted {
        let command = command::parse(line).map_err(|wrong| self.wrong(&wrong))?;
        let intents = self.act(command)?;
        // Opening another conversation has put its draft there.
        if self.input.text().trim() == line {
            self.input.take();
        }
        Ok(intents)
    }

    fn wrong(&self, wrong: &Wrong) -> String {
        match wrong {
            Wrong::Unknown(name) => format!("{}: /{name} · /help", self.lang.pick("没有这个命令", "no such command")),
            Wrong::Usage(help) => format!("{}: {}", self.lang.pick("用法", "usage"), help.usage()),
        }
    }

    fn act(&mut self, command: Command) -> Acted {
        let one = |intent| Ok(vec![intent]);
        match command {
            Command::Help => {
                (self.panel, self.row) = (Some(Panel::Help), 0);
                Ok(Vec::new())
            }
            Command::Quit => {
                self.input.clear();
                let mut intents = self.put_draft_away();
                intents.push(Intent::Quit);
                Ok(intents)
            }
            Command::Logout => one(Intent::Logout),
            Command::Open(title) => self.open_titled(&title),
            Command::Chat(who) => self.who(&who).map(|uid| vec![Intent::OpenDirect(uid)]),
            Command::Friends => one(Intent::ShowFriends),
            Command::Requests => one(Intent::ShowRequests),
            Command::Blocked => one(Intent::ShowBlocked),
            Command::Find(text) => one(Intent::Find(search(&text))),
            Command::Add(who, greeting) => one(match self.who(&who) {
                Ok(uid) => Intent::Apply { uid, greeting },
                Err(_) => Intent::FindAndApply { search: search(&who), greeting },
            }),
            Command::Accept(who) => self.answer(who.as_deref(), true),
            Command::Decline(who) => self.answer(who.as_deref(), false),
            Command::Remark(who, remark) => self.who(&who).map(|uid| vec![Intent::Remark { uid, remark }]),
            Command::Unfriend(who) => self.who(&who).map(|uid| vec![Intent::Unfriend(uid)]),
            Command::Block(who) => self.who(&who).map(|uid| vec![Intent::Block { uid, on: true }]),
            Command::Unblock(who) => self.who(&who).map(|uid| vec![Intent::Block { uid, on: false }]),
            Command::Group(_, who) if who.is_empty() => {
                Err(self.lang.pick("群里还要有别人：/group 标题 好友…", "a group needs somebody else: /group <title> <who…>").to_owned())
            }
            Command::Group(title, who) => one(Intent::CreateGroup { title, uids: self.everyone(&who)? }),
            Command::Invite(who) => one(Intent::Invite { conversation: self.here()?, uids: self.everyone(&who)? }),
            Command::Remove(who) => one(Intent::Remove { conversation: self.here()?, uid: self.who(&who)? }),
            Command::Members => self.here().map(|conversation| vec![Intent::ShowMembers(conversation)]),
            Command::Leave => self.here().map(|conversation| vec![Intent::Leave(conversation)]),
            Command::Title(title) => one(Intent::Title { conversation: self.here()?, title }),
            Command::Announce(text) => one(Intent::Announce { conversation: self.here()?, text }),
            Command::Hush(on) => one(Intent::Hush { conversation: self.here()?, on }),
            Command::Transfer(who) => one(Intent::Transfer { conversation: self.here()?, uid: self.who(&who)? }),
            Command::Admin(who, on) => {
                let role = if on { v1::Role::Admin } else { v1::Role::Member };
                one(Intent::Role { conversation: self.here()?, uid: self.who(&who)?, role })
            }
            Command::Silence(who, minutes) => one(Intent::Silence { conversation: self.here()?, uid: self.who(&who)?, minutes }),
            Command::Rooms => one(Intent::ShowRooms),
            Command::Room(name) => one(Intent::CreateRoom(name)),
            Command::Join(room) => self.room(&room).map(|room| vec![Intent::JoinRoom(room)]),
            Command::Reply(target, text) => {
                let (conversation, reply_to) = (self.here()?, self.target(target, Whose::Others)?);
                self.deselect();
                one(Intent::Send { conversation, body: self.compose(&text), reply_to })
            }
            Command::Edit(target, text) => {
                let (conversation, target) = (self.here()?, self.target(target, Whose::Mine)?);
                self.deselect();
                one(Intent::Edit { conversation, target, body: self.compose(&text) })
            }
            Command::Recall(target) => {
                let (conversation, target) = (self.here()?, self.target(target, Whose::Mine)?);
                self.deselect();
                one(Intent::Recall { conversation, target })
            }
            Command::React(target, emoji) => {
                one(Intent::React { conversation: self.here()?, target: self.target(target, Whose::Others)?, emoji, on: true })
            }
            Command::Unreact(target, emoji) => {
                one(Intent::React { conversation: self.here()?, target: self.target(target, Whose::Others)?, emoji, on: false })
            }
            Command::Retry => self.failed().map(|keys| keys.into_iter().map(Intent::Retry).collect()),
            Command::Discard => self.failed().map(|keys| keys.into_iter().map(Intent::Discard).collect()),
            Command::Pin(on) => one(Intent::Pin { conversation: self.here()?, on }),
            Command::Mute(on) => one(Intent::Mute { conversation: self.here()?, on }),
            Command::Nick(name) => one(Intent::Nick(name)),
            Command::Signature(text) => one(Intent::Signature(text)),
            Command::Devices => one(Intent::ShowDevices),
            Command::End(session) => one(Intent::EndDevice(session)),
        }
    }

    /// Enter on an empty line: the row of the list in front.
    fn choose(&mut self) -> Vec<Intent> {
        let row = self.row;
        let intent = match &self.panel {
            None | Some(Panel::Help | Panel::Devices(_)) => None,
            Some(Panel::Friends(rows)) => rows.get(row).map(|friend| Intent::OpenDirect(friend.uid)),
            Some(Panel::Requests(rows)) => {
                rows.get(row).filter(|request| self.is_for_me(request)).map(|request| Intent::Answer { request: request.id, accept: true })
            }
            Some(Panel::Blocked(rows)) => rows.get(row).map(|friend| Intent::Block { uid: friend.uid, on: false }),
            Some(Panel::Rooms(rows)) => rows.get(row).map(|room| Intent::JoinRoom(room.conversation)),
            Some(Panel::Members { members, .. }) => {
                members.get(row).filter(|member| member.uid != self.me).map(|member| Intent::OpenDirect(member.uid))
            }
            Some(Panel::Found(rows)) => rows.get(row).map(|profile| Intent::Apply { uid: profile.uid, greeting: String::new() }),
        };
        intent.into_iter().collect()
    }

    /// Delete on an empty line.
    pub(super) fn refuse(&mut self) -> Vec<Intent> {
        match &self.panel {
            Some(Panel::Requests(rows)) => {
                let request = rows.get(self.row).filter(|request| self.is_for_me(request));
                request.map(|request| Intent::Answer { request: request.id, accept: false }).into_iter().collect()
            }
            _ => Vec::new(),
        }
    }

    pub fn is_for_me(&self, request: &v1::FriendRequest) -> bool {
        request.to == self.me && request.state() == v1::RequestState::Pending
    }

    // === what words stand for ===

    fn here(&self) -> Result<i64, String> {
        self.open.as_ref().map(|open| open.id).ok_or_else(|| self.nothing_open())
    }

    fn nothing_open(&self) -> String {
        self.lang.pick("先打开一个会话（Tab 选择，或 /open 标题）", "open a conversation first (Tab, or /open <title>)").to_owned()
    }

    fn open_titled(&mut self, title: &str) -> Acted {
        let is_it = |conversation: &&v1::Conversation| self.title(conversation) == title || conversation.id.to_string() == title;
        let begins = |conversation: &&v1::Conversation| self.title(conversation).to_lowercase().starts_with(&title.to_lowercase());
        let found = self.conversations.iter().find(is_it).or_else(|| self.conversations.iter().find(begins)).map(|found| found.id);
        match found {
            Some(id) => {
                self.panel = None;
                self.input.clear();
                Ok(self.open(id))
            }
            None => Err(format!("{}: {title}", self.lang.pick("没有这个会话", "no such conversation"))),
        }
    }

    /// A uid as `#7`, a name that is known here, or a bare uid.
    fn who(&self, text: &str) -> Result<i64, String> {
        let text = text.strip_prefix('@').unwrap_or(text);
        if let Some(uid) = text.strip_prefix('#').and_then(|uid| uid.parse().ok()) {
            return Ok(uid);
        }
        let named: Vec<i64> =
            self.people.values().filter(|person| person.name() == text || person.nickname == text).map(|person| person.uid).collect();
        match (named.as_slice(), text.parse()) {
            ([uid], _) => Ok(*uid),
            ([], Ok(uid)) => Ok(uid),
            ([], Err(_)) => Err(format!("{}: {text} (/find)", self.lang.pick("不认识", "nobody known by this name"))),
            (several, _) => {
                let uids: Vec<String> = several.iter().map(|uid| format!("#{uid}")).collect();
                Err(format!("{}: {}", self.lang.pick("重名，请用编号", "several have this name, use the number"), uids.join(" ")))
            }
        }
    }

    fn everyone(&self, who: &[String]) -> Result<Vec<i64>, String> {
        who.iter().map(|who| self.who(who)).collect()
    }

    fn answer(&self, who: Option<&str>, accept: bool) -> Acted {
        let mut waiting = self.requests.iter().filter(|request| self.is_for_me(request));
        let request = match who {
            None => waiting.next(),
            Some(who) => {
                let number = who.trim_start_matches('#').parse::<i64>().ok();
                waiting.find(|request| request.nickname == who || self.name(request.from) == who || Some(request.from) == number)
            }
        };
        match request {
            Some(request) => Ok(vec![Intent::Answer { request: request.id, accept }]),
            None => Err(self.lang.pick("没有这样的好友申请（/requests）", "no such request waits (/requests)").to_owned()),
        }
    }

    fn room(&self, text: &str) -> Result<i64, String> {
        let by_title = self.rooms.iter().find(|room| room.title == text).map(|room| room.conversation);
        let by_number = || text.trim_start_matches('#').parse().ok();
        by_title.or_else(by_number).ok_or_else(|| format!("{}: {text} (/rooms)", self.lang.pick("没有这个房间", "no such room")))
    }

    fn target(&self, target: Target, whose: Whose) -> Result<i64, String> {
        let open = self.open.as_ref().ok_or_else(|| self.nothing_open())?;
        let newest = || {
            open.items.iter().rev().find_map(|item| match item {
                Item::Message(message) if !message.recalled && whose.fits(message.author == self.me) => Some(message.seq),
                _ => None,
            })
        };
        let target = target.or(open.selected).or_else(newest);
        target.ok_or_else(|| self.lang.pick("没有可以操作的消息", "there is no message for this").to_owned())
    }

    fn deselect(&mut self) {
        if let Some(open) = self.open.as_mut() {
            (open.selected, open.scroll) = (None, 0);
        }
    }

    fn failed(&self) -> Result<Vec<String>, String> {
        let items = self.open.iter().flat_map(|open| &open.items);
        let keys: Vec<String> = items
            .filter_map(|item| match item {
                Item::Pending(echo) if matches!(echo.state, EchoState::Failed { .. }) => Some(echo.key.clone()),
                _ => None,
            })
            .collect();
        if keys.is_empty() {
            return Err(self.lang.pick("这里没有失败的消息", "no failed message here").to_owned());
        }
        Ok(keys)
    }
}

#[derive(Clone, Copy)]
enum Whose {
    Mine,
    Others,
}

impl Whose {
    fn fits(self, is_mine: bool) -> bool {
        match self {
            Whose::Mine => is_mine,
            Whose::Others => !is_mine,
        }
    }
}

/// An e-mail address, a uid, or the beginning of a nickname.
fn search(text: &str) -> v1::Search {
    match text.trim_start_matches('#').parse() {
        Ok(uid) => v1::Search { uid, ..v1::Search::default() },
        Err(_) if text.contains('@') => v1::Search { email: text.to_owned(), ..v1::Search::default() },
        Err(_) => v1::Search { nickname: text.to_owned(), ..v1::Search::default() },
    }
}
