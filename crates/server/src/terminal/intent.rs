//! What the chat screen wants of the world outside, and what it is told of it.

use skein_sdk::{Device, Item, Person, v1};

use super::lang::Lang;

/// To whoever is barred; the operator alone can lift it.
pub(super) const DISABLED: (&str, &str) = ("账号已被停用，请联系管理员", "this account was disabled; ask the operator of the server");

/// What the user wants of the world outside.
#[derive(Clone, Debug, PartialEq)]
pub enum Intent {
    Quit,
    Logout,
    /// Show this conversation from its newest lines.
    Load(i64),
    LoadOlder {
        conversation: i64,
        count: usize,
    },
    MarkRead {
        conversation: i64,
        seq: i64,
    },
    Draft {
        conversation: i64,
        text: String,
    },
    Typing(i64),
    Send {
        conversation: i64,
        body: v1::Body,
        reply_to: i64,
    },
    Edit {
        conversation: i64,
        target: i64,
        body: v1::Body,
    },
    Recall {
        conversation: i64,
        target: i64,
    },
    React {
        conversation: i64,
        target: i64,
        emoji: String,
        on: bool,
    },
    Retry(String),
    Discard(String),
    Pin {
        conversation: i64,
        on: bool,
    },
    Mute {
        conversation: i64,
        on: bool,
    },
    ShowFriends,
    ShowRequests,
    ShowBlocked,
    ShowRooms,
    ShowMembers(i64),
    ShowDevices,
    Find(v1::Search),
    /// Somebody by e-mail address or name: found first, then applied to.
    FindAndApply {
        search: v1::Search,
        greeting: String,
    },
    Apply {
        uid: i64,
        greeting: String,
    },
    Answer {
        request: i64,
        accept: bool,
    },
    OpenDirect(i64),
    Remark {
        uid: i64,
        remark: String,
    },
    Unfriend(i64),
    Block {
        uid: i64,
        on: bool,
    },
    CreateGroup {
        title: String,
        uids: Vec<i64>,
    },
    Invite {
        conversation: i64,
        uids: Vec<i64>,
    },
    Remove {
        conversation: i64,
        uid: i64,
    },
    Leave(i64),
    Title {
        conversation: i64,
        title: String,
    },
    Announce {
        conversation: i64,
        text: String,
    },
    Hush {
        conversation: i64,
        on: bool,
    },
    Transfer {
        conversation: i64,
        uid: i64,
    },
    Role {
        conversation: i64,
        uid: i64,
        role: v1::Role,
    },
    Silence {
        conversation: i64,
        uid: i64,
        minutes: i64,
    },
    CreateRoom(String),
    JoinRoom(i64),
    Nick(String),
    Signature(String),
    EndDevice(i64),
}

impl Intent {
    /// By the user in so many words, and not on the way by the screen: only then is its success news.
    pub fn is_asked_for(&self) -> bool {
        !matches!(self, Intent::Load(_) | Intent::LoadOlder { .. } | Intent::MarkRead { .. } | Intent::Draft { .. } | Intent::Typing(_))
    }
}

/// What the world outside tells.
#[derive(Clone, Debug)]
pub enum Update {
    Me {
        uid: i64,
        nickname: String,
    },
    Link(Link),
    /// Everything that was missed is here.
    Synced,
    /// The session and what was kept of it are gone.
    LoggedOut,
    Conversations(Vec<v1::Conversation>),
    People(Vec<Person>),
    /// The lines of a conversation, in place of those shown.
    Lines {
        conversation: i64,
        items: Vec<Item>,
        has_more: bool,
        position: i64,
    },
    Arrived(v1::MessageState),
    Typing {
        conversation: i64,
        uid: i64,
    },
    Friends(Vec<v1::Friend>),
    Requests(Vec<v1::FriendRequest>),
    Blocked(Vec<v1::Friend>),
    Rooms(Vec<v1::RoomInfo>),
    Members {
        conversation: i64,
        members: Vec<v1::Member>,
    },
    Found(Vec<v1::Profile>),
    Devices(Vec<Device>),
    /// A conversation that was just made or joined.
    Opened(Box<v1::Conversation>),
    Left(i64),
    Notice(String),
    Failed {
        code: String,
        message: String,
    },
    /// What the user asked for was done: an older failure is no news any more.
    Done,
}

/// The truth about the connection.
#[derive(Clone, Debug, Default, PartialEq)]
pub enum Link {
    #[default]
    Connecting,
    Offline {
        retry_at_ms: i64,
        reason: String,
    },
    Updating,
    Online,
    /// No attempts any more, until the next log-in or start.
    Ended {
        code: String,
    },
}

impl Link {
    /// Why the session is over, and what one can do about it.
    pub fn advice(code: &str, lang: Lang) -> &'static str {
        match code {
            "disabled" => lang.pick(DISABLED.0, DISABLED.1),
            "logged_in_elsewhere" => lang.pick(
                "已在另一台同类设备登录；重新启动可在这里继续",
                "logged in on another device of this kind; start again to go on here",
            ),
            "replaced" => lang.pick("同一会话在别处连接了", "this session goes on in another window"),
            "too_big" | "protocol_error" | "unsupported_version" => {
                lang.pick("与服务器的协议不一致，请更新程序", "this program and the server do not understand each other; update it")
            }
            _ => lang.pick("会话已结束，请重新登录", "session ended, log in again"),
        }
    }
}
