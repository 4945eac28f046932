//! Who may do what in a conversation: pure judgements of one command from the facts of one `policy_version`.
//!
//! **Invariant:** whoever is not a member, or no more, is answered `not_member` before anything else is looked at; in a
//! direct conversation a block and a missing friendship are answered alike (`not_accepted`), so that neither is told.
//!
//! Leaves to others: reading the facts, and friendships of people who are invited (the caller asks the contacts).

mod emoji;
mod text;

pub use emoji::EMOJI_BYTES_MAX;
pub use text::{NICKNAME_CHARS_MAX, checked_greeting, checked_nickname, checked_remark, checked_signature, checked_title};

use crate::body::Body;
use crate::conversation::{Conversation, Kind, Member, Role, SettingsChange, Snapshot};
use crate::entry::{EntryEvent, MessageState};
use crate::id::{Millis, Seq, Uid};
use crate::{Code, Error, Limits, Result};
use emoji::is_emoji;
use std::collections::HashSet;

pub const ANNOUNCEMENT_CHARS_MAX: usize = 2_000;
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
        title.map_or(Ok(()), |title| checked_title(title).map(drop))?;
        announcement.map_or(Ok(()), check_announcement)
    }

    fn subject(&self, uid: Uid) -> Result<&'a Member> {
        self.present(uid).ok_or_else(|| Error::new(Code::NotFound, "no such member"))
    }
}

fn check_announcement(text: &str) -> Result<()> {
    if text.chars().count() > ANNOUNCEMENT_CHARS_MAX {
        return Err(Error::new(Code::TooLarge, "an announcement has at most 2000 characters"));
    }
    Ok(())
}

/// A title is stored as [`checked_title`] gives it; this is its half that cannot fail, for an event not yet judged.
pub fn without_outer_space(mut event: EntryEvent) -> EntryEvent {
    if let EntryEvent::InfoChanged { title: Some(title), .. } = &mut event {
        *title = title.trim().to_owned();
    }
    event
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
mod tests;
