//! Values that appear in requests, replies and pushes alike.

use skein_domain::account::Profile;
use skein_domain::body::{Body, Segment};
use skein_domain::contact::{Friend, FriendRequest, RequestState};
use skein_domain::conversation::{ConversationView, Kind, Member, Role, RoomInfo};
use skein_domain::delivery::UserEvent;
use skein_domain::entry::{Entry, EntryEvent, MessageState, Reaction};
use skein_domain::id::{Seq, Uid};
use skein_domain::live::{LiveMessage, Somebody};
use skein_domain::{Code, Error, Result};
use skein_protocol::v1;
use skein_protocol::v1::segment::Part;

pub(super) fn body_from(body: Option<v1::Body>) -> Result<Body> {
    let body = body.ok_or_else(|| Error::new(Code::BadRequest, "the body is missing"))?;
    let segments = body.segments.into_iter().map(segment_from).collect::<Result<Vec<_>>>()?;
    Ok(Body { kind: body.kind, segments, fallback: body.fallback, payload: body.payload })
}

fn segment_from(segment: v1::Segment) -> Result<Segment> {
    match segment.part {
        Some(Part::Text(text)) => Ok(Segment::Text(text)),
        Some(Part::Mention(v1::Mention { uid: 0 })) => Ok(Segment::Mention(None)),
        Some(Part::Mention(v1::Mention { uid })) => Ok(Segment::Mention(Some(Uid(uid)))),
        Some(Part::Link(link)) => Ok(Segment::Link(link)),
        None => Err(Error::new(Code::BadBody, "a segment is a text, a mention or a link")),
    }
}

/// Ownership passes by a request of its own.
pub(super) fn role_from(role: i32) -> Result<Role> {
    match v1::Role::try_from(role) {
        Ok(v1::Role::Member) => Ok(Role::Member),
        Ok(v1::Role::Admin) => Ok(Role::Admin),
        Ok(v1::Role::Owner | v1::Role::Unspecified) | Err(_) => {
            Err(Error::new(Code::BadRequest, "the role is member or admin; transfer passes ownership"))
        }
    }
}

pub(super) fn body(body: Body) -> v1::Body {
    let segments = body.segments.into_iter().map(|segment| v1::Segment { part: Some(part(segment)) }).collect();
    v1::Body { kind: body.kind, segments, fallback: body.fallback, payload: body.payload }
}

fn part(segment: Segment) -> Part {
    match segment {
        Segment::Text(text) => Part::Text(text),
        Segment::Mention(uid) => Part::Mention(v1::Mention { uid: uid_or_zero(uid) }),
        Segment::Link(link) => Part::Link(link),
    }
}

pub(super) fn role(role: Role) -> i32 {
    let role = match role {
        Role::Member => v1::Role::Member,
        Role::Admin => v1::Role::Admin,
        Role::Owner => v1::Role::Owner,
    };
    role.into()
}

pub(super) fn uids(uids: Vec<Uid>) -> Vec<i64> {
    uids.into_iter().map(|uid| uid.0).collect()
}

pub(super) fn uid_or_zero(uid: Option<Uid>) -> i64 {
    uid.map_or(0, |uid| uid.0)
}

fn seq_or_zero(seq: Option<Seq>) -> i64 {
    seq.map_or(0, |seq| seq.0)
}

pub(super) fn entries(entries: Vec<Entry>) -> Vec<v1::Entry> {
    entries.into_iter().map(entry).collect()
}

fn entry(entry: Entry) -> v1::Entry {
    v1::Entry {
        conversation: entry.conversation.0,
        seq: entry.seq.0,
        at_ms: entry.at.0,
        author: entry.author.0,
        count: entry.count.0,
        key: entry.key.as_str().to_owned(),
        event: Some(event(entry.event)),
    }
}

fn event(event: EntryEvent) -> v1::entry::Event {
    use v1::entry::Event;
    match event {
        EntryEvent::Message { body: said, reply_to } => {
            Event::Message(v1::Message { body: said.map(body), reply_to: seq_or_zero(reply_to) })
        }
        EntryEvent::Edited { target, body: said } => Event::Edited(v1::Edited { target: target.0, body: said.map(body) }),
        EntryEvent::Recalled { target } => Event::Recalled(v1::Recalled { target: target.0 }),
        EntryEvent::Reacted { target, emoji, on } => Event::Reacted(v1::Reacted { target: target.0, emoji, on }),
        EntryEvent::Joined { uids: joined } => Event::Joined(v1::MembersJoined { uids: uids(joined) }),
        EntryEvent::Left { uid } => Event::Left(v1::MemberLeft { uid: uid.0 }),
        EntryEvent::RoleChanged { uid, role: new } => Event::Role(v1::RoleChanged { uid: uid.0, role: role(new) }),
        EntryEvent::InfoChanged { title, announcement, muted_all } => Event::Info(v1::InfoChanged { title, announcement, muted_all }),
        EntryEvent::Silenced { uid, until } => Event::Muted(v1::MemberMuted { uid: uid.0, until_ms: until.0 }),
    }
}

pub(super) fn state(state: MessageState) -> v1::MessageState {
    v1::MessageState {
        conversation: state.conversation.0,
        seq: state.seq.0,
        at_ms: state.at.0,
        author: state.author.0,
        count: state.count.0,
        key: state.key.as_str().to_owned(),
        recalled: state.body.is_none(),
        body: state.body.map(body),
        reply_to: seq_or_zero(state.reply_to),
        edited_at_ms: state.edited_at.map_or(0, |at| at.0),
        reactions: state.reactions.into_iter().map(reaction).collect(),
    }
}

fn reaction(reaction: Reaction) -> v1::Reaction {
    v1::Reaction { emoji: reaction.emoji, uids: uids(reaction.uids) }
}

pub(super) fn membership(member: Member, unread: i64) -> v1::Membership {
    v1::Membership {
        role: role(member.role),
        visible_from: member.visible_from.0,
        visible_to: seq_or_zero(member.visible_to),
        read: member.read.0,
        unread,
        pinned: member.pinned,
        muted: member.muted,
        draft: member.draft,
        silenced_until_ms: member.silenced_until.0,
    }
}

pub(super) fn conversation(view: ConversationView) -> v1::Conversation {
    let kind = match view.conversation.kind {
        Kind::Direct => v1::ConversationKind::Direct,
        Kind::Group => v1::ConversationKind::Group,
        Kind::Room => v1::ConversationKind::Room,
        Kind::Notice => v1::ConversationKind::Notice,
    };
    let of = view.conversation;
    v1::Conversation {
        id: of.id.0,
        kind: kind.into(),
        title: of.title,
        announcement: of.announcement,
        owner: uid_or_zero(of.owner),
        peer: uid_or_zero(view.peer),
        head: of.head.0,
        count: of.count.0,
        floor: of.floor.0,
        members: i32::try_from(of.members).unwrap_or(i32::MAX),
        muted_all: of.muted_all,
        created_at_ms: of.created_at.0,
        me: Some(membership(view.me, view.unread)),
        last: view.last.map(state),
        peer_delivered: view.peer_delivered.0,
        peer_read: view.peer_read.0,
    }
}

pub(super) fn rooms(rooms: Vec<RoomInfo>) -> Vec<v1::RoomInfo> {
    let room = |room: RoomInfo| v1::RoomInfo {
        conversation: room.conversation.0,
        title: room.title,
        owner: uid_or_zero(room.owner),
        members: i32::try_from(room.members).unwrap_or(i32::MAX),
        created_at_ms: room.created_at.0,
    };
    rooms.into_iter().map(room).collect()
}

pub(super) fn profile(profile: Profile) -> v1::Profile {
    v1::Profile {
        uid: profile.uid.0,
        nickname: profile.nickname,
        signature: profile.signature,
        email: profile.email.unwrap_or_default(),
        findable_by_email: profile.findable_by_email,
    }
}

pub(super) fn request(request: FriendRequest) -> v1::FriendRequest {
    let state = match request.state {
        RequestState::Pending => v1::RequestState::Pending,
        RequestState::Accepted => v1::RequestState::Accepted,
        RequestState::Declined => v1::RequestState::Declined,
    };
    v1::FriendRequest {
        id: request.id.0,
        from: request.from.0,
        to: request.to.0,
        greeting: request.greeting,
        state: state.into(),
        at_ms: request.at.0,
        nickname: request.nickname,
    }
}

pub(super) fn friend(friend: Friend) -> v1::Friend {
    v1::Friend {
        uid: friend.uid.0,
        nickname: friend.nickname,
        remark: friend.remark,
        blocked: friend.blocked,
        since_ms: friend.since.0,
        conversation: friend.conversation.map_or(0, |id| id.0),
        friend: friend.friend,
    }
}

pub(super) fn user_event(event: UserEvent) -> v1::UserEvent {
    use v1::user_event::Event;
    let event = match event {
        UserEvent::Request { request: asked } => Event::Request(request(asked)),
        UserEvent::Friend { friend: of } => Event::Friend(friend(of)),
        UserEvent::Membership { member, unread } => {
            Event::Membership(v1::MembershipReply { conversation: member.conversation.0, me: Some(membership(member, unread)) })
        }
        UserEvent::Profile { profile: of } => Event::Profile(profile(of)),
        UserEvent::Conversation { view } => Event::Conversation(conversation(*view)),
    };
    v1::UserEvent { event: Some(event) }
}

pub(super) fn somebody(somebody: Somebody) -> v1::Somebody {
    use v1::somebody::Who;
    match somebody {
        Somebody::User { uid, class } => v1::Somebody { who: Some(Who::Uid(uid.0)), device: class.as_str().to_owned() },
        Somebody::Guest { mid } => v1::Somebody { who: Some(Who::Mid(mid.0)), device: String::new() },
    }
}

pub(super) fn live_message(message: LiveMessage) -> v1::LiveMessage {
    use v1::live_message::Content;
    let content = match String::from_utf8(message.body) {
        Ok(text) => Content::Text(text),
        Err(bytes) => Content::Body(bytes.into_bytes()),
    };
    v1::LiveMessage { operation: message.operation, content: Some(content) }
}
