//! Who may do what in a conversation: pure judgements of one command from the facts of one `policy_version`.
//!
//! **Invariant:** whoever is not a member, or no more, is answered `not_member` before anything else is looked at; in a
//! direct conversation a block and a missing friendship are answered alike (`not_accepted`), so that neither is told.
//!
//! Leaves to others: reading the facts, and friendships of people who are invited (the caller asks the contacts).

use crate::body::Body;
use crate::conversation::{Conversation, Kind, Member, Role, SettingsChange, Snapshot};
use crate::entry::{EntryEvent, MessageState};
use crate::id::{Millis, Seq, Uid};
use crate::{Code, Error, Limits, Result};
use std::collections::HashSet;

pub const TITLE_CHARS_MAX: usize = 64;
pub const ANNOUNCEMENT_CHARS_MAX: usize = 2_000;
pub const EMOJI_BYTES_MAX: usize = 32;
/// Different emoji on one message. With [`REACTIONS_MAX`] it bounds a message's state: below 24 KiB of reactions as JSON.
pub const EMOJI_PER_MESSAGE_MAX: i64 = 20;
/// Reactions on one message in all: emoji times users. Judged by the store, which alone knows what is there.
pub const REACTIONS_MAX: i64 = 1_000;
pub const DRAFT_BYTES_MAX: usize = 4 * 1024;

/// The facts about one command.
#[derive(Debug, Clone, Copy)]
pub struct Case<'a> {
    pub snapshot: &'a Snapshot,
    pub author: Uid,
    /// Rooms only, whose snapshot has no members: the rows this command is about (the author's, the subject's).
    pub room_members: &'a [Member],
    pub limits: &'a Limits,
    pub now: Millis,
}

impl<'a> Case<'a> {
    /// A new message.
    pub fn may_send(&self, body: &Body, reply_to: Option<Seq>) -> Result<()> {
        let me = self.me()?;
        self.may_speak(me)?;
        if reply_to.is_some_and(|seq| !me.sees(seq)) {
            return Err(Error::new(Code::NotFound, "the message replied to is not there"));
        }
        body.check(self.limits.text_bytes)
    }

    /// Everything that is an entry but not a new message. `target`: the message an edit, recall or reaction is about.
    pub fn may_change(&self, event: &EntryEvent, target: Option<&MessageState>) -> Result<()> {
        let me = self.me()?;
        match event {
            EntryEvent::Message { .. } => Err(bad("a message is sent, not changed")),
            EntryEvent::Edited { body, .. } => self.may_edit(me, body.as_ref(), target),
            EntryEvent::Recalled { .. } => self.may_recall(me, target),
            EntryEvent::Reacted { emoji, on, .. } => self.may_react(me, emoji, *on, target),
            EntryEvent::Joined { uids } => self.may_invite(uids),
            EntryEvent::Left { uid } if *uid == self.author => self.may_leave(me),
            EntryEvent::Left { uid } => self.may_rule_over(me, *uid),
            EntryEvent::RoleChanged { uid, .. } => self.may_change_role(me, *uid),
            EntryEvent::InfoChanged { title, announcement, muted_all } => {
                self.may_change_info(me, title.as_deref(), announcement.as_deref(), *muted_all)
            }
            EntryEvent::Silenced { uid, until } => {
                if until.0 < 0 {
                    return Err(bad("a time is not negative"));
                }
                self.may_rule_over(me, *uid)
            }
        }
    }

    /// The author, who must be a member now.
    pub fn me(&self) -> Result<&'a Member> {
        self.present(self.author).ok_or_else(not_member)
    }

    /// Whether a push of the author's may reach the others (typing).
    pub fn may_be_heard(&self) -> bool {
        self.me().is_ok_and(|me| self.may_speak(me).is_ok())
    }

    fn conversation(&self) -> &'a Conversation {
        &self.snapshot.conversation
    }

    fn present(&self, uid: Uid) -> Option<&'a Member> {
        let rows = if self.conversation().kind == Kind::Room { self.room_members } else { &self.snapshot.members };
        rows.iter().find(|member| member.uid == uid && member.is_in())
    }

    fn members(&self) -> usize {
        match self.conversation().kind {
            Kind::Room => self.conversation().members as usize,
            Kind::Direct | Kind::Group | Kind::Notice => self.snapshot.members.iter().filter(|member| member.is_in()).count(),
        }
    }

    fn may_speak(&self, me: &Member) -> Result<()> {
        if self.conversation().kind == Kind::Direct {
            let standing = self.snapshot.standing.unwrap_or_default();
            let accepted = !standing.blocked && (standing.friends || !self.limits.direct_needs_friendship);
            return if accepted { Ok(()) } else { Err(not_accepted()) };
        }
        if self.conversation().kind == Kind::Notice && me.role != Role::Owner {
            return Err(forbidden("only the app speaks here"));
        }
        let silenced = me.silenced_until > self.now || (self.conversation().muted_all && me.role < Role::Admin);
        if silenced { Err(Error::new(Code::Silenced, "you may not speak here now")) } else { Ok(()) }
    }

    fn may_edit(&self, me: &Member, body: Option<&Body>, target: Option<&MessageState>) -> Result<()> {
        self.may_speak(me)?;
        let target = visible(me, target)?;
        if target.author != self.author {
            return Err(forbidden("only the author edits a message"));
        }
        if target.body.is_none() {
            return Err(recalled());
        }
        let body = body.ok_or_else(|| Error::new(Code::BadBody, "an edit needs a body; to take a message back, recall it"))?;
        body.check(self.limits.text_bytes)
    }

    fn may_recall(&self, me: &Member, target: Option<&MessageState>) -> Result<()> {
        let target = visible(me, target)?;
        let rules = self.conversation().kind != Kind::Direct && me.role >= Role::Admin;
        // Recalling again is the same as once, however late.
        if rules || (target.author == self.author && target.body.is_none()) {
            return Ok(());
        }
        if target.author != self.author {
            return Err(forbidden("only its author or an admin recalls a message"));
        }
        if self.now > target.at.plus(self.limits.recall_window_ms) {
            return Err(Error::new(Code::RecallWindow, "too late to recall this message"));
        }
        Ok(())
    }

    fn may_react(&self, me: &Member, emoji: &str, on: bool, target: Option<&MessageState>) -> Result<()> {
        if on {
            self.may_speak(me)?;
        }
        if !is_emoji(emoji) {
            return Err(bad("a reaction is one emoji of at most 32 bytes"));
        }
        let target = visible(me, target)?;
        if target.body.is_none() { Err(recalled()) } else { Ok(()) }
    }

    fn may_invite(&self, uids: &[Uid]) -> Result<()> {
        if self.conversation().kind != Kind::Group {
            return Err(bad("people are invited to groups only"));
        }
        let distinct: HashSet<Uid> = uids.iter().copied().collect();
        if distinct.is_empty() || distinct.len() != uids.len() {
            return Err(bad("name each user once, and at least one"));
        }
        if uids.iter().any(|uid| self.present(*uid).is_some()) {
            return Err(Error::new(Code::AlreadyMember, "is a member already"));
        }
        if self.members() + uids.len() > self.limits.group_members as usize {
            return Err(group_full(self.limits));
        }
        Ok(())
    }

    fn may_leave(&self, me: &Member) -> Result<()> {
        if matches!(self.conversation().kind, Kind::Direct | Kind::Notice) {
            return Err(bad("a conversation of two is not left; mute it"));
        }
        if me.role == Role::Owner && self.members() > 1 {
            return Err(forbidden("pass the ownership on before leaving"));
        }
        Ok(())
    }

    /// Removing and silencing: owner and admins, over those of a lower role.
    fn may_rule_over(&self, me: &Member, uid: Uid) -> Result<()> {
        if self.conversation().kind == Kind::Direct {
            return Err(bad("nobody rules over a direct conversation"));
        }
        let subject = self.subject(uid)?;
        if me.role < Role::Admin || me.role <= subject.role {
            return Err(forbidden("this needs a higher role"));
        }
        Ok(())
    }

    fn may_change_role(&self, me: &Member, uid: Uid) -> Result<()> {
        if self.conversation().kind == Kind::Direct {
            return Err(bad("a direct conversation has no roles"));
        }
        if me.role != Role::Owner {
            return Err(forbidden("only the owner gives roles"));
        }
        if uid == self.author {
            return Err(bad("pass the ownership to somebody else"));
        }
        self.subject(uid).map(|_| ())
    }

    fn may_change_info(&self, me: &Member, title: Option<&str>, announcement: Option<&str>, muted_all: Option<bool>) -> Result<()> {
        if self.conversation().kind == Kind::Direct {
            return Err(bad("a direct conversation has no title"));
        }
        if me.role < Role::Admin {
            return Err(forbidden("only owner and admins change this"));
        }
        if title.is_none() && announcement.is_none() && muted_all.is_none() {
            return Err(bad("say what is to change"));
        }
        title.map_or(Ok(()), check_title)?;
        announcement.map_or(Ok(()), check_announcement)
    }

    fn subject(&self, uid: Uid) -> Result<&'a Member> {
        self.present(uid).ok_or_else(|| Error::new(Code::NotFound, "no such member"))
    }
}

/// One picture, as far as its characters tell without a table of all emoji: a keycap, a flag, or pictures joined to one,
/// each with its marks (skin tone, variation selector, tags).
fn is_emoji(text: &str) -> bool {
    if text.len() > EMOJI_BYTES_MAX {
        return false;
    }
    if let Some(key) = text.strip_suffix('\u{20e3}') {
        let key = key.strip_suffix('\u{fe0f}').unwrap_or(key);
        return key.len() == 1 && key.chars().all(|c| matches!(c, '#' | '*' | '0'..='9'));
    }
    if text.chars().any(is_regional) {
        return text.chars().count() == 2 && text.chars().all(is_regional);
    }
    text.split('\u{200d}').all(|part| {
        let mut chars = part.chars();
        chars.next().is_some_and(is_picture) && chars.all(is_mark)
    })
}

fn is_regional(c: char) -> bool {
    matches!(c, '\u{1f1e6}'..='\u{1f1ff}')
}

/// The blocks that emoji are taken from; they hold symbols, and no letters of any script but enclosed ones.
fn is_picture(c: char) -> bool {
    matches!(c,
        '\u{a9}' | '\u{ae}' | '\u{203c}' | '\u{2049}' | '\u{2122}' | '\u{2139}' | '\u{2190}'..='\u{21ff}' | '\u{2300}'..='\u{23ff}'
        | '\u{24c2}' | '\u{25a0}'..='\u{27bf}' | '\u{2900}'..='\u{297f}' | '\u{2b00}'..='\u{2bff}' | '\u{3030}' | '\u{303d}'
        | '\u{3297}' | '\u{3299}' | '\u{1f000}'..='\u{1faff}')
}

fn is_mark(c: char) -> bool {
    matches!(c, '\u{fe0f}' | '\u{1f3fb}'..='\u{1f3ff}' | '\u{e0020}'..='\u{e007f}')
}

/// Titles of groups and rooms: 1 to 64 characters on one line.
pub fn check_title(title: &str) -> Result<()> {
    if title.trim().is_empty() || title.chars().count() > TITLE_CHARS_MAX || title.chars().any(char::is_control) {
        return Err(bad("a title has 1 to 64 characters on one line"));
    }
    Ok(())
}

fn check_announcement(text: &str) -> Result<()> {
    if text.chars().count() > ANNOUNCEMENT_CHARS_MAX {
        return Err(Error::new(Code::TooLarge, "an announcement has at most 2000 characters"));
    }
    Ok(())
}

pub fn check_settings(change: &SettingsChange) -> Result<()> {
    if change.draft.as_ref().is_some_and(|draft| draft.len() > DRAFT_BYTES_MAX) {
        return Err(Error::new(Code::TooLarge, "a draft has at most 4096 bytes"));
    }
    Ok(())
}

/// The first members of a group, besides its owner; each once, the owner left out.
pub fn first_members(owner: Uid, uids: &[Uid], limits: &Limits) -> Result<Vec<Uid>> {
    if uids.len() > limits.group_members as usize {
        return Err(group_full(limits));
    }
    let mut others: Vec<Uid> = uids.iter().copied().filter(|uid| *uid != owner).collect();
    others.sort_unstable();
    others.dedup();
    if others.is_empty() {
        return Err(bad("a group needs somebody else"));
    }
    if others.len() + 1 > limits.group_members as usize {
        return Err(group_full(limits));
    }
    Ok(others)
}

fn visible<'a>(me: &Member, target: Option<&'a MessageState>) -> Result<&'a MessageState> {
    target.filter(|state| me.sees(state.seq)).ok_or_else(|| Error::new(Code::NotFound, "no such message"))
}

pub fn not_member() -> Error {
    Error::new(Code::NotMember, "you are not a member of this conversation")
}

/// One answer for a block and for strangers.
pub fn not_accepted() -> Error {
    Error::new(Code::NotAccepted, "this user does not accept that from you")
}

fn group_full(limits: &Limits) -> Error {
    Error::new(Code::GroupFull, format!("a group has at most {} members", limits.group_members))
}

fn recalled() -> Error {
    Error::new(Code::Recalled, "this message was recalled")
}

fn forbidden(message: &'static str) -> Error {
    Error::new(Code::Forbidden, message)
}

fn bad(message: &'static str) -> Error {
    Error::new(Code::BadRequest, message)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::conversation::Standing;
    use crate::id::{ConversationId, CountNo, IdempotencyKey, PolicyVersion, Revision, Shard};
    use EntryEvent::*;

    const OWNER: Uid = Uid(1);
    const ADMIN: Uid = Uid(2);
    const MEMBER: Uid = Uid(3);
    const REMOVED: Uid = Uid(4);
    const STRANGER: Uid = Uid(5);
    const NOW: Millis = Millis(1_000_000);

    fn member(uid: Uid, role: Role) -> Member {
        Member {
            conversation: ConversationId(1),
            uid,
            role,
            visible_from: Seq(1),
            visible_to: None,
            join_count: CountNo(0),
            read: Seq(0),
            read_count: CountNo(0),
            delivered: Seq(0),
            pinned: false,
            muted: false,
            draft: String::new(),
            silenced_until: Millis(0),
            revision: Revision(1),
        }
    }

    fn snapshot(kind: Kind, members: Vec<Member>) -> Snapshot {
        let conversation = Conversation {
            id: ConversationId(1),
            shard: Shard(0),
            kind,
            title: "t".into(),
            announcement: String::new(),
            owner: Some(OWNER),
            head: Seq(9),
            head_revision: Revision(9),
            head_at: NOW,
            count: CountNo(9),
            floor: Seq(0),
            policy_version: PolicyVersion(1),
            muted_all: false,
            members: members.iter().filter(|m| m.is_in()).count() as u32,
            created_at: Millis(0),
        };
        Snapshot { conversation, members, standing: None }
    }

    fn group() -> Snapshot {
        let removed = Member { visible_to: Some(Seq(5)), ..member(REMOVED, Role::Member) };
        let members = vec![member(OWNER, Role::Owner), member(ADMIN, Role::Admin), member(MEMBER, Role::Member), removed];
        snapshot(Kind::Group, members)
    }

    fn direct(standing: Standing) -> Snapshot {
        let members = vec![member(OWNER, Role::Member), member(MEMBER, Role::Member)];
        Snapshot { standing: Some(standing), ..snapshot(Kind::Direct, members) }
    }

    fn message(author: Uid, at: Millis) -> MessageState {
        MessageState {
            conversation: ConversationId(1),
            seq: Seq(3),
            count: CountNo(3),
            at,
            author,
            key: IdempotencyKey::parse("k").unwrap(),
            body: Some(Body::text("hi")),
            reply_to: None,
            edited_at: None,
            reactions: Vec::new(),
        }
    }

    struct Table {
        snapshot: Snapshot,
        room_members: Vec<Member>,
        limits: Limits,
    }

    impl Table {
        fn of(snapshot: Snapshot) -> Self {
            Self { snapshot, room_members: Vec::new(), limits: Limits::default() }
        }

        fn case(&self, author: Uid) -> Case<'_> {
            Case { snapshot: &self.snapshot, author, room_members: &self.room_members, limits: &self.limits, now: NOW }
        }

        fn sends(&self, author: Uid) -> Option<Code> {
            self.case(author).may_send(&Body::text("hi"), None).err().map(|e| e.code)
        }

        fn changes(&self, author: Uid, event: EntryEvent, target: Option<&MessageState>) -> Option<Code> {
            self.case(author).may_change(&event, target).err().map(|e| e.code)
        }
    }

    #[test]
    fn members_send_and_others_do_not() {
        let table = Table::of(group());
        for uid in [OWNER, ADMIN, MEMBER] {
            assert_eq!(table.sends(uid), None, "{uid}");
        }
        for uid in [REMOVED, STRANGER] {
            assert_eq!(table.sends(uid), Some(Code::NotMember), "{uid}");
            assert_eq!(table.changes(uid, Recalled { target: Seq(3) }, Some(&message(uid, NOW))), Some(Code::NotMember));
        }
    }

    #[test]
    fn blocked_and_strangers_hear_the_same() {
        let case = |friends, blocked, needs| {
            let mut table = Table::of(direct(Standing { friends, blocked }));
            table.limits.direct_needs_friendship = needs;
            table.case(OWNER).may_send(&Body::text("hi"), None)
        };
        assert!(case(true, false, true).is_ok());
        assert!(case(false, false, false).is_ok());
        let strangers = case(false, false, true).unwrap_err();
        assert_eq!(strangers.code, Code::NotAccepted);
        assert_eq!(case(true, true, true).unwrap_err(), strangers);
        assert_eq!(case(false, true, false).unwrap_err(), strangers);
    }

    #[test]
    fn the_silenced_may_not_speak_but_may_take_back() {
        let mut table = Table::of(group());
        table.snapshot.members[2].silenced_until = NOW.plus(1);
        let own = message(MEMBER, NOW);
        let edit = || Edited { target: Seq(3), body: Some(Body::text("x")) };
        let react = |on| Reacted { target: Seq(3), emoji: "👍".into(), on };
        assert_eq!(table.sends(MEMBER), Some(Code::Silenced));
        assert_eq!(table.changes(MEMBER, edit(), Some(&own)), Some(Code::Silenced));
        assert_eq!(table.changes(MEMBER, react(true), Some(&own)), Some(Code::Silenced));
        assert_eq!(table.changes(MEMBER, react(false), Some(&own)), None);
        assert_eq!(table.changes(MEMBER, Recalled { target: Seq(3) }, Some(&own)), None);
        table.snapshot.members[2].silenced_until = NOW;
        assert_eq!(table.sends(MEMBER), None, "silence ends");
        table.snapshot.conversation.muted_all = true;
        assert_eq!(table.sends(MEMBER), Some(Code::Silenced));
        assert_eq!(table.sends(ADMIN), None);
    }

    #[test]
    fn bodies_are_checked_and_replies_must_be_visible() {
        let mut table = Table::of(group());
        table.limits.text_bytes = 4;
        table.snapshot.members[2].visible_from = Seq(3);
        let sends = |text: &str, reply| table.case(MEMBER).may_send(&Body::text(text), reply).err().map(|e| e.code);
        assert_eq!(sends("12345", None), Some(Code::TooLarge));
        assert_eq!(sends(" ", None), Some(Code::BadBody));
        assert_eq!(sends("1", Some(Seq(2))), Some(Code::NotFound));
        assert_eq!(sends("1", Some(Seq(3))), None);
    }

    #[test]
    fn only_the_author_edits() {
        let table = Table::of(group());
        let edit = || Edited { target: Seq(3), body: Some(Body::text("x")) };
        let blank = MessageState { body: None, ..message(MEMBER, NOW) };
        assert_eq!(table.changes(MEMBER, edit(), Some(&message(MEMBER, Millis(0)))), None, "editing has no window");
        assert_eq!(table.changes(OWNER, edit(), Some(&message(MEMBER, NOW))), Some(Code::Forbidden));
        assert_eq!(table.changes(MEMBER, edit(), Some(&blank)), Some(Code::Recalled));
        assert_eq!(table.changes(MEMBER, edit(), None), Some(Code::NotFound));
        assert_eq!(table.changes(MEMBER, Edited { target: Seq(3), body: None }, Some(&message(MEMBER, NOW))), Some(Code::BadBody));
        assert_eq!(table.changes(MEMBER, Message { body: None, reply_to: None }, None), Some(Code::BadRequest));
    }

    #[test]
    fn recall_has_a_window_for_authors_and_none_for_admins() {
        let table = Table::of(group());
        let recall = || Recalled { target: Seq(3) };
        let aged = |ms: i64| message(MEMBER, NOW.plus(-ms));
        assert_eq!(table.changes(MEMBER, recall(), Some(&aged(120_000))), None);
        assert_eq!(table.changes(MEMBER, recall(), Some(&aged(120_001))), Some(Code::RecallWindow));
        assert_eq!(table.changes(ADMIN, recall(), Some(&aged(999_999))), None);
        assert_eq!(table.changes(MEMBER, recall(), Some(&message(OWNER, NOW))), Some(Code::Forbidden));
        let again = MessageState { body: None, ..aged(999_999) };
        assert_eq!(table.changes(MEMBER, recall(), Some(&again)), None, "a retry is no new recall");
        let direct = Table::of(direct(Standing::default()));
        assert_eq!(direct.changes(OWNER, recall(), Some(&message(MEMBER, NOW))), Some(Code::Forbidden));
    }

    #[test]
    fn what_lies_outside_my_range_is_not_there() {
        let mut table = Table::of(group());
        table.snapshot.members[2].visible_from = Seq(4);
        let react = Reacted { target: Seq(3), emoji: "👍".into(), on: true };
        assert_eq!(table.changes(MEMBER, react, Some(&message(OWNER, NOW))), Some(Code::NotFound));
    }

    #[test]
    fn a_reaction_is_one_emoji_and_no_text() {
        let table = Table::of(group());
        let react =
            |emoji: &str| table.changes(MEMBER, Reacted { target: Seq(3), emoji: emoji.into(), on: true }, Some(&message(OWNER, NOW)));
        let england = "🏴\u{e0067}\u{e0062}\u{e0065}\u{e006e}\u{e0067}\u{e007f}";
        let good = ["👍", "👍🏽", "❤️", "❤", "👩‍👩‍👧‍👦", "❤️‍🔥", "🏳️‍🌈", "🇫🇷", "1️⃣", "#⃣", "✅", "☀️", "©️", "Ⓜ️", "⬆️", "🀄", "🫶", england];
        for emoji in good {
            assert_eq!(react(emoji), None, "{emoji:?}");
        }
        let bad = ["", "a b", "\n", "x", "+1", "12", "1", "ok👍", "é", "ж", "好", "ا", "👍👍", "👍\u{200d}", "\u{200d}👍", "\u{fe0f}"];
        let worse =
            ["\u{202e}", "👍\u{202e}", "🇫", "🇫🇷🇫🇷", "12\u{20e3}", "\u{20e3}", "👍\u{301}", &"x".repeat(33), &"👩\u{200d}".repeat(9)];
        for emoji in bad.into_iter().chain(worse) {
            assert_eq!(react(emoji), Some(Code::BadRequest), "{emoji:?}");
        }
    }

    #[test]
    fn members_invite_until_the_group_is_full() {
        let mut table = Table::of(group());
        table.limits.group_members = 5;
        let invite = |uids: &[i64]| table.changes(MEMBER, Joined { uids: uids.iter().copied().map(Uid).collect() }, None);
        assert_eq!(invite(&[5, 6]), None);
        assert_eq!(invite(&[4]), None, "a former member may come back");
        assert_eq!(invite(&[5, 6, 7]), Some(Code::GroupFull));
        assert_eq!(invite(&[1]), Some(Code::AlreadyMember));
        assert_eq!(invite(&[5, 5]), Some(Code::BadRequest));
        assert_eq!(invite(&[]), Some(Code::BadRequest));
    }

    #[test]
    fn removing_and_silencing_need_a_higher_role() {
        let table = Table::of(group());
        for event in [|uid| Left { uid }, |uid| Silenced { uid, until: NOW }] {
            assert_eq!(table.changes(ADMIN, event(MEMBER), None), None);
            assert_eq!(table.changes(OWNER, event(ADMIN), None), None);
            assert_eq!(table.changes(ADMIN, event(OWNER), None), Some(Code::Forbidden));
            assert_eq!(table.changes(MEMBER, event(ADMIN), None), Some(Code::Forbidden));
            assert_eq!(table.changes(OWNER, event(REMOVED), None), Some(Code::NotFound));
        }
    }

    #[test]
    fn the_owner_passes_the_ownership_on_before_leaving() {
        let mut table = Table::of(group());
        assert_eq!(table.changes(OWNER, Left { uid: OWNER }, None), Some(Code::Forbidden));
        assert_eq!(table.changes(MEMBER, Left { uid: MEMBER }, None), None);
        let role = |uid, role| RoleChanged { uid, role };
        assert_eq!(table.changes(OWNER, role(ADMIN, Role::Owner), None), None);
        assert_eq!(table.changes(ADMIN, role(MEMBER, Role::Admin), None), Some(Code::Forbidden));
        assert_eq!(table.changes(OWNER, role(OWNER, Role::Member), None), Some(Code::BadRequest));
        table.snapshot.members.retain(|m| m.uid == OWNER);
        assert_eq!(table.changes(OWNER, Left { uid: OWNER }, None), None, "the last one may go");
    }

    #[test]
    fn owner_and_admins_change_the_info() {
        let table = Table::of(group());
        let info =
            |title: Option<&str>, announcement: Option<String>| InfoChanged { title: title.map(Into::into), announcement, muted_all: None };
        assert_eq!(table.changes(ADMIN, info(Some("new"), None), None), None);
        assert_eq!(table.changes(MEMBER, info(Some("new"), None), None), Some(Code::Forbidden));
        assert_eq!(table.changes(ADMIN, info(None, None), None), Some(Code::BadRequest));
        assert_eq!(table.changes(ADMIN, info(Some(" "), None), None), Some(Code::BadRequest));
        assert_eq!(table.changes(ADMIN, info(Some(&"标".repeat(64)), None), None), None);
        assert_eq!(table.changes(ADMIN, info(Some(&"标".repeat(65)), None), None), Some(Code::BadRequest));
        assert_eq!(table.changes(ADMIN, info(None, Some("x".repeat(2_001))), None), Some(Code::TooLarge));
    }

    #[test]
    fn a_direct_conversation_has_no_roles_and_no_way_out() {
        let table = Table::of(direct(Standing { friends: true, blocked: false }));
        let events = [
            Left { uid: OWNER },
            Left { uid: MEMBER },
            Joined { uids: vec![STRANGER] },
            RoleChanged { uid: MEMBER, role: Role::Admin },
            Silenced { uid: MEMBER, until: NOW },
            InfoChanged { title: Some("x".into()), announcement: None, muted_all: None },
        ];
        for event in events {
            assert_eq!(table.changes(OWNER, event.clone(), None), Some(Code::BadRequest), "{event:?}");
        }
    }

    #[test]
    fn rooms_are_judged_by_the_rows_that_come_along() {
        let mut table = Table::of(snapshot(Kind::Room, Vec::new()));
        assert_eq!(table.sends(MEMBER), Some(Code::NotMember));
        table.room_members = vec![member(MEMBER, Role::Member), member(OWNER, Role::Owner)];
        assert_eq!(table.sends(MEMBER), None);
        assert_eq!(table.changes(OWNER, Left { uid: MEMBER }, None), None);
        assert_eq!(table.changes(OWNER, Joined { uids: vec![STRANGER] }, None), Some(Code::BadRequest));
    }

    #[test]
    fn a_group_begins_with_somebody_else() {
        let limits = Limits { group_members: 3, ..Limits::default() };
        let first = |uids: &[i64]| first_members(OWNER, &uids.iter().copied().map(Uid).collect::<Vec<_>>(), &limits).map_err(|e| e.code);
        assert_eq!(first(&[3, 2, 3, 1]), Err(Code::GroupFull), "refused by length before anything is sorted");
        assert_eq!(first(&[3, 1, 3]), Ok(vec![Uid(3)]));
        assert_eq!(first(&[1]), Err(Code::BadRequest));
        assert_eq!(first(&[2, 3, 4]), Err(Code::GroupFull));
    }

    #[test]
    fn drafts_are_short() {
        let draft = |n| check_settings(&SettingsChange { draft: Some("x".repeat(n)), ..SettingsChange::default() });
        assert!(draft(4_096).is_ok());
        assert_eq!(draft(4_097).unwrap_err().code, Code::TooLarge);
    }
}
