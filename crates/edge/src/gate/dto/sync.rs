//! Pages of sync.

use super::account::Profile;
use super::all;
use super::contact::{Friend, FriendRequest};
use super::conversation::{Conversation, MembershipOf};
use super::entry::Entry;
use serde::Serialize;
use skein_domain::{command, delivery};
use utoipa::ToSchema;

/// What changed since a cursor.
#[derive(Serialize, ToSchema)]
pub struct SyncPage {
    /// To ask with next time.
    pub cursor: String,
    /// Ask again at once.
    pub more: bool,
    /// The cursor was of another epoch or too old: drop what is kept and take this as the beginning.
    pub reset: bool,
    pub conversations: Vec<ConversationChange>,
    pub events: Vec<UserEvent>,
}

impl From<command::SyncPage> for SyncPage {
    fn from(page: command::SyncPage) -> Self {
        Self { cursor: page.cursor, more: page.more, reset: page.reset, conversations: all(page.conversations), events: all(page.events) }
    }
}

#[derive(Serialize, ToSchema)]
pub struct ConversationChange {
    pub conversation: Conversation,
    pub entries: Vec<Entry>,
    /// The entries are the newest ones only; before them lies a hole.
    pub limited: bool,
}

impl From<command::ConversationChange> for ConversationChange {
    fn from(change: command::ConversationChange) -> Self {
        Self { conversation: change.view.into(), entries: all(change.entries), limited: change.limited }
    }
}

/// A change that is in no conversation: one of these fields is there.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum UserEvent {
    Request(FriendRequest),
    Friend(Friend),
    Membership(MembershipOf),
    Profile(Profile),
    Conversation(Box<Conversation>),
}

impl From<delivery::UserEvent> for UserEvent {
    fn from(event: delivery::UserEvent) -> Self {
        use delivery::UserEvent as E;
        match event {
            E::Request { request } => UserEvent::Request(request.into()),
            E::Friend { friend } => UserEvent::Friend(friend.into()),
            E::Membership { member, unread } => UserEvent::Membership(MembershipOf::new(member, unread)),
            E::Profile { profile } => UserEvent::Profile(profile.into()),
            E::Conversation { view } => UserEvent::Conversation(Box::new((*view).into())),
        }
    }
}
