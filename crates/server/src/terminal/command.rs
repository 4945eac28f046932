//! Slash commands: what can be typed, and what it means. Pure.

use super::lang::Lang;

/// Somebody as typed: `@`-less name, uid or e-mail address.
pub type Who = String;
/// The number of a message as shown when it is selected; `None` is the selected one, else the newest that fits.
pub type Target = Option<i64>;

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    Help,
    Quit,
    Logout,
    Open(String),
    Chat(Who),
    Friends,
    Requests,
    Blocked,
    Find(String),
    Add(Who, String),
    Accept(Option<String>),
    Decline(Option<String>),
    Remark(Who, String),
    Unfriend(Who),
    Block(Who),
    Unblock(Who),
    Group(String, Vec<Who>),
    Invite(Vec<Who>),
    Remove(Who),
    Members,
    Leave,
    Title(String),
    Announce(String),
    Transfer(Who),
    Admin(Who, bool),
    Silence(Who, i64),
    Hush(bool),
    Rooms,
    Room(String),
    Join(String),
    Reply(Target, String),
    Edit(Target, String),
    Recall(Target),
    React(Target, String),
    Unreact(Target, String),
    Retry,
    Discard,
    Pin(bool),
    Mute(bool),
    Nick(String),
    Signature(String),
    Devices,
    End(i64),
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Wrong {
    Unknown(String),
    /// How it is used.
    Usage(&'static Help),
}

#[derive(Debug, PartialEq, Eq)]
pub struct Help {
    pub name: &'static str,
    pub arguments: &'static str,
    pub zh: &'static str,
    pub en: &'static str,
}

const fn help(name: &'static str, arguments: &'static str, zh: &'static str, en: &'static str) -> Help {
    Help { name, arguments, zh, en }
}

/// In the order of the help page.
pub const TABLE: &[Help] = &[
    help("open", "<title>", "打开会话", "open a conversation"),
    help("chat", "<who>", "与好友聊天", "chat with a friend"),
    help("friends", "", "好友列表", "my friends"),
    help("requests", "", "好友申请", "friend requests"),
    help("find", "<uid|email|name>", "查找用户", "find people"),
    help("add", "<who> [greeting]", "申请加好友", "ask for friendship"),
    help("accept", "[who]", "接受申请", "accept a request"),
    help("decline", "[who]", "拒绝申请", "decline a request"),
    help("remark", "<who> [name]", "设置备注", "name a friend for yourself"),
    help("unfriend", "<who>", "删除好友", "end a friendship"),
    help("block", "<who>", "拉黑", "block somebody"),
    help("unblock", "<who>", "取消拉黑", "unblock somebody"),
    help("blocked", "", "黑名单", "whom I have blocked"),
    help("group", "<title> <who…>", "创建群聊（标题可加引号）", "create a group (quote a title with spaces)"),
    help("invite", "<who…>", "邀请成员", "add members"),
    help("remove", "<who>", "移出成员", "remove a member"),
    help("members", "", "成员列表", "who is here"),
    help("leave", "", "退出群聊或房间", "leave this group or room"),
    help("title", "<text>", "修改标题", "rename this group"),
    help("announce", "[text]", "群公告", "set the announcement"),
    help("transfer", "<who>", "转让群主", "make somebody the owner"),
    help("admin", "<who>", "设为管理员", "make somebody an admin"),
    help("unadmin", "<who>", "取消管理员", "make an admin a member"),
    help("silence", "<who> <minutes>", "禁言（0 为解除）", "forbid somebody to send (0 lifts it)"),
    help("hush", "on|off", "全员禁言", "forbid all members to send"),
    help("rooms", "", "房间目录", "the public rooms"),
    help("room", "<name>", "创建房间", "create a public room"),
    help("join", "<name|number>", "加入房间", "join a room"),
    help("reply", "[#number] <text>", "回复消息", "reply to a message"),
    help("edit", "[#number] <text>", "编辑自己的消息", "edit a message of yours"),
    help("recall", "[#number]", "撤回自己的消息", "take a message back"),
    help("react", "[#number] <emoji>", "表态", "react to a message"),
    help("unreact", "[#number] <emoji>", "取消表态", "take a reaction back"),
    help("retry", "", "重发失败的消息", "send failed messages again"),
    help("discard", "", "丢弃失败的消息", "discard failed messages"),
    help("pin", "", "置顶会话", "pin this conversation"),
    help("unpin", "", "取消置顶", "unpin it"),
    help("mute", "", "消息免打扰", "mute this conversation"),
    help("unmute", "", "取消免打扰", "unmute it"),
    help("nick", "<name>", "修改昵称", "change your nickname"),
    help("signature", "[text]", "修改签名", "change your signature"),
    help("devices", "", "登录的设备", "your devices"),
    help("end", "<device>", "下线一台设备", "end a device's session"),
    help("logout", "", "退出登录并清除本机记录", "log out and forget this history here"),
    help("help", "", "帮助", "this page"),
    help("quit", "", "退出程序", "leave the program"),
];

impl Help {
    pub fn meaning(&self, lang: Lang) -> &'static str {
        lang.pick(self.zh, self.en)
    }

    pub fn usage(&self) -> String {
        format!("/{} {}", self.name, self.arguments).trim_end().to_owned()
    }
}

/// Reads a line that begins with a slash.
pub fn parse(line: &str) -> Result<Command, Wrong> {
    let line = line.strip_prefix('/').unwrap_or(line);
    let (name, rest) = line.split_once(char::is_whitespace).unwrap_or((line, ""));
    let name = name.to_lowercase();
    let Some(help) = TABLE.iter().find(|help| help.name == name) else {
        return Err(Wrong::Unknown(name));
    };
    command(help.name, rest.trim()).ok_or(Wrong::Usage(help))
}

/// `None`: the arguments do not fit.
fn command(name: &str, rest: &str) -> Option<Command> {
    let some = || (!rest.is_empty()).then(|| rest.to_owned());
    let who_and_rest = || word(rest).map(|(who, rest)| (who, rest.to_owned()));
    Some(match name {
        "open" => Command::Open(some()?),
        "chat" => Command::Chat(some()?),
        "friends" => Command::Friends,
        "requests" => Command::Requests,
        "blocked" => Command::Blocked,
        "find" => Command::Find(some()?),
        "add" => who_and_rest().map(|(who, greeting)| Command::Add(who, greeting))?,
        "accept" => Command::Accept(some()),
        "decline" => Command::Decline(some()),
        "remark" => who_and_rest().map(|(who, remark)| Command::Remark(who, remark))?,
        "unfriend" => Command::Unfriend(some()?),
        "block" => Command::Block(some()?),
        "unblock" => Command::Unblock(some()?),
        "group" => word(rest).map(|(title, rest)| Command::Group(title, words(rest)))?,
        "invite" => Command::Invite(Some(words(rest)).filter(|who| !who.is_empty())?),
        "remove" => Command::Remove(some()?),
        "members" => Command::Members,
        "leave" => Command::Leave,
        "title" => Command::Title(some()?),
        "announce" => Command::Announce(rest.to_owned()),
        "transfer" => Command::Transfer(some()?),
        "admin" => Command::Admin(some()?, true),
        "unadmin" => Command::Admin(some()?, false),
        "silence" => {
            let (who, minutes) = who_and_rest()?;
            Command::Silence(who, minutes.parse().ok().filter(|minutes| (0..=525_600).contains(minutes))?)
        }
        "hush" => Command::Hush(switch(rest)?),
        "rooms" => Command::Rooms,
        "room" => Command::Room(some()?),
        "join" => Command::Join(some()?),
        "reply" => targeted(rest).and_then(|(target, text)| (!text.is_empty()).then_some(Command::Reply(target, text)))?,
        "edit" => targeted(rest).and_then(|(target, text)| (!text.is_empty()).then_some(Command::Edit(target, text)))?,
        "recall" => targeted(rest).and_then(|(target, text)| text.is_empty().then_some(Command::Recall(target)))?,
        "react" => targeted(rest).and_then(|(target, emoji)| (!emoji.is_empty()).then_some(Command::React(target, emoji)))?,
        "unreact" => targeted(rest).and_then(|(target, emoji)| (!emoji.is_empty()).then_some(Command::Unreact(target, emoji)))?,
        "retry" => Command::Retry,
        "discard" => Command::Discard,
        "pin" => Command::Pin(true),
        "unpin" => Command::Pin(false),
        "mute" => Command::Mute(true),
        "unmute" => Command::Mute(false),
        "nick" => Command::Nick(some()?),
        "signature" => Command::Signature(rest.to_owned()),
        "devices" => Command::Devices,
        "end" => Command::End(rest.parse().ok()?),
        "logout" => Command::Logout,
        "help" => Command::Help,
        "quit" => Command::Quit,
        _ => return None,
    })
}

/// `#12 text`, or only the text. `None`: what follows the `#` is no number.
fn targeted(rest: &str) -> Option<(Target, String)> {
    let Some(numbered) = rest.strip_prefix('#') else {
        return Some((None, rest.to_owned()));
    };
    let (number, text) = numbered.split_once(char::is_whitespace).unwrap_or((numbered, ""));
    Some((Some(number.parse().ok().filter(|number| *number > 0)?), text.trim().to_owned()))
}

/// The first word, or what stands in quotes, and what follows.
fn word(text: &str) -> Option<(String, &str)> {
    let text = text.trim_start();
    for (open, close) in [('"', '"'), ('“', '”'), ('「', '」')] {
        if let Some((quoted, rest)) = text.strip_prefix(open).and_then(|text| text.split_once(close)) {
            return Some((quoted.to_owned(), rest.trim_start()));
        }
    }
    let (word, rest) = text.split_once(char::is_whitespace).unwrap_or((text, ""));
    (!word.is_empty()).then(|| (word.to_owned(), rest.trim_start()))
}

fn words(mut text: &str) -> Vec<String> {
    let mut words = Vec::new();
    while let Some((next, rest)) = word(text) {
        words.push(next);
        text = rest;
    }
    words
}

fn switch(text: &str) -> Option<bool> {
    match text {
        "on" | "开" => Some(true),
        "off" | "关" => Some(false),
        _ => None,
    }
}

/// What Tab makes of a line, and the choices where there are several. `names` completes the last word of arguments.
pub fn complete(line: &str, names: &[String]) -> (String, Vec<String>) {
    let (head, stem) = match line.rfind(char::is_whitespace) {
        None => ("/", line.strip_prefix('/').unwrap_or(line)),
        Some(at) => line.split_at(at + line[at..].chars().next().map_or(1, char::len_utf8)),
    };
    let candidates: Vec<String> = match line.contains(char::is_whitespace) {
        false => TABLE.iter().map(|help| help.name.to_owned()).filter(|name| name.starts_with(stem)).collect(),
        true => {
            let stem = stem.to_lowercase();
            names.iter().filter(|name| !stem.is_empty() && name.to_lowercase().starts_with(&stem)).map(|name| quoted(name)).collect()
        }
    };
    match candidates.as_slice() {
        [] => (line.to_owned(), Vec::new()),
        [only] => (format!("{head}{only} "), Vec::new()),
        several => {
            let common = common_prefix(several);
            let longer = if common.chars().count() > stem.chars().count() { format!("{head}{common}") } else { line.to_owned() };
            (longer, candidates)
        }
    }
}

fn quoted(name: &str) -> String {
    if name.contains(char::is_whitespace) { format!("\"{name}\"") } else { name.to_owned() }
}

fn common_prefix(words: &[String]) -> String {
    let mut common: Vec<char> = words[0].chars().collect();
    for word in &words[1..] {
        let same = common.iter().zip(word.chars()).take_while(|(one, other)| **one == *other).count();
        common.truncate(same);
    }
    common.into_iter().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_mean_commands() {
        let text = str::to_owned;
        for (line, command) in [
            ("/quit", Command::Quit),
            ("/QUIT ", Command::Quit),
            ("/add bob@example.org 你好 bob", Command::Add(text("bob@example.org"), text("你好 bob"))),
            ("/add bob", Command::Add(text("bob"), text(""))),
            ("/group \"周末 爬山\" 小明 bob", Command::Group(text("周末 爬山"), vec![text("小明"), text("bob")])),
            ("/group “周末”", Command::Group(text("周末"), vec![])),
            ("/invite a  b", Command::Invite(vec![text("a"), text("b")])),
            ("/remark bob 老王", Command::Remark(text("bob"), text("老王"))),
            ("/remark bob", Command::Remark(text("bob"), text(""))),
            ("/reply #12 好的\n明天", Command::Reply(Some(12), text("好的\n明天"))),
            ("/reply ok", Command::Reply(None, text("ok"))),
            ("/edit #3 x", Command::Edit(Some(3), text("x"))),
            ("/recall", Command::Recall(None)),
            ("/recall #9", Command::Recall(Some(9))),
            ("/react 👍", Command::React(None, text("👍"))),
            ("/silence bob 10", Command::Silence(text("bob"), 10)),
            ("/hush on", Command::Hush(true)),
            ("/accept", Command::Accept(None)),
            ("/join 大厅", Command::Join(text("大厅"))),
            ("/end 7", Command::End(7)),
            ("/announce", Command::Announce(text(""))),
        ] {
            assert_eq!(parse(line), Ok(command), "{line}");
        }
    }

    #[test]
    fn what_does_not_fit_says_how_it_is_used() {
        for line in [
            "/add",
            "/group",
            "/invite",
            "/edit",
            "/edit #x y",
            "/edit #5",
            "/recall now",
            "/silence bob",
            "/silence bob -1",
            "/hush",
            "/end me",
            "/react",
        ] {
            assert!(matches!(parse(line), Err(Wrong::Usage(_))), "{line}");
        }
        assert_eq!(parse("/dance"), Err(Wrong::Unknown("dance".into())));
        assert_eq!(parse("/"), Err(Wrong::Unknown(String::new())));
    }

    #[test]
    fn every_command_of_the_help_page_can_be_typed() {
        for help in TABLE {
            let arguments = ["", "x", "#1 x", "x 1", "on", "1"];
            assert!(arguments.iter().any(|arguments| command(help.name, arguments).is_some()), "{}", help.name);
        }
    }

    #[test]
    fn tab_completes_commands_and_names() {
        let names = ["小明".to_owned(), "小红".to_owned(), "Bob Lee".to_owned()];
        assert_eq!(complete("/qu", &names), ("/quit ".into(), vec![]));
        assert_eq!(complete("/re", &names).1, ["requests", "remark", "remove", "reply", "recall", "react", "retry"]);
        assert_eq!(complete("/unf", &names).0, "/unfriend ");
        assert_eq!(complete("/chat b", &names).0, "/chat \"Bob Lee\" ");
        assert_eq!(complete("/chat 小", &names), ("/chat 小".into(), vec!["小明".into(), "小红".into()]));
        assert_eq!(complete("/chat 小明", &names).0, "/chat 小明 ");
        assert_eq!(complete("/zzz", &names), ("/zzz".into(), vec![]));
    }
}
