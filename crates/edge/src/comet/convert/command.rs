//! What a client asks, as a command.

use super::parts::{body_from, role_from};
use skein_domain::account::ProfileChange;
use skein_domain::command::{Command, SearchBy};
use skein_domain::conversation::{Role, SettingsChange};
use skein_domain::entry::EntryEvent;
use skein_domain::id::{ConversationId, IdempotencyKey, Millis, RequestId, Seq, Uid};
use skein_domain::live::RoomName;
use skein_domain::{Code, Error, Result};
use skein_protocol::{Request, v1};

/// Where a request goes: to Logic, or no further than the connection.
pub(in crate::comet) enum Asked {
    Command(Command),
    /// The room directory, and whether this connection wants to hear of changes.
    ListRooms {
        command: Command,
        watch: bool,
    },
    /// Heartbeat and log-in: Logic has no command for them.
    OfTheConnection,
}

/// `me` asks. Refused: `bad_request` for what cannot be a domain value, `bad_body` for a segment without a part.
pub(in crate::comet) fn command(request: Request, me: Uid) -> Result<Asked> {
    let command = match request {
        Request::Heartbeat(_) | Request::Auth(_) | Request::AcceptOperations(_) => return Ok(Asked::OfTheConnection),
        Request::ListRooms(ask) => {
            let command = Command::ListRooms { cursor: ask.cursor, count: count(ask.count)? };
            return Ok(Asked::ListRooms { command, watch: ask.watch });
        }

        Request::Send(send) => Command::Send {
            conversation: conversation(send.conversation),
            key: IdempotencyKey::parse(&send.key)?,
            body: body_from(send.body)?,
            reply_to: seq_or_none(send.reply_to)?,
            after: if send.after.is_empty() { None } else { Some(IdempotencyKey::parse(&send.after)?) },
        },
        Request::Edit(edit) => {
            change(edit.conversation, &edit.key, EntryEvent::Edited { target: Seq(edit.target), body: Some(body_from(edit.body)?) })?
        }
        Request::Recall(recall) => change(recall.conversation, &recall.key, EntryEvent::Recalled { target: Seq(recall.target) })?,
        Request::React(react) => {
            let event = EntryEvent::Reacted { target: Seq(react.target), emoji: react.emoji, on: react.on };
            change(react.conversation, &react.key, event)?
        }

        Request::MarkRead(mark) => Command::MarkRead { conversation: conversation(mark.conversation), seq: Seq(mark.seq) },
        Request::MarkDelivered(mark) => Command::MarkDelivered { conversation: conversation(mark.conversation), seq: Seq(mark.seq) },
        Request::Typing(typing) => Command::Typing { conversation: conversation(typing.conversation) },
        Request::ChangeSettings(v1::ChangeSettings { conversation: id, pinned, muted, draft }) => {
            Command::ChangeSettings { conversation: conversation(id), change: SettingsChange { pinned, muted, draft } }
        }

        Request::Sync(sync) => Command::Sync { cursor: sync.cursor },
        Request::RequestHistory(ask) => Command::History {
            conversation: conversation(ask.conversation),
            before: seq_or_none(ask.first_message_id)?,
            after: seq_or_none(ask.last_message_id)?,
            count: count(ask.count)?,
        },
        Request::Pull(pull) => Command::Pull { conversation: conversation(pull.conversation), from: Seq(pull.from), to: Seq(pull.to) },

        Request::OpenDirect(ask) => Command::OpenDirect { uid: Uid(ask.uid) },
        Request::CreateGroup(ask) => Command::CreateGroup { key: IdempotencyKey::parse(&ask.key)?, title: ask.title, uids: uids(ask.uids) },
        Request::CreateRoom(ask) => {
            let title = if ask.room_name.is_empty() { ask.title } else { ask.room_name };
            Command::CreateRoom { key: IdempotencyKey::parse(&ask.key)?, title }
        }
        Request::GetConversation(ask) => Command::GetConversation { conversation: conversation(ask.conversation) },
        Request::ChangeInfo(v1::ChangeInfo { conversation, key, title, announcement, muted_all }) => {
            change(conversation, &key, EntryEvent::InfoChanged { title, announcement, muted_all })?
        }
        Request::Invite(ask) => change(ask.conversation, &ask.key, EntryEvent::Joined { uids: uids(ask.uids) })?,
        Request::RemoveMember(ask) => change(ask.conversation, &ask.key, EntryEvent::Left { uid: Uid(ask.uid) })?,
        Request::Leave(ask) => change(ask.conversation, &ask.key, EntryEvent::Left { uid: me })?,
        Request::Transfer(ask) => change(ask.conversation, &ask.key, EntryEvent::RoleChanged { uid: Uid(ask.uid), role: Role::Owner })?,
        Request::ChangeRole(ask) => {
            let event = EntryEvent::RoleChanged { uid: Uid(ask.uid), role: role_from(ask.role)? };
            change(ask.conversation, &ask.key, event)?
        }
        Request::Silence(ask) => {
            change(ask.conversation, &ask.key, EntryEvent::Silenced { uid: Uid(ask.uid), until: Millis(ask.until_ms) })?
        }
        // Joining twice is joining once: the domain needs no key for it.
        Request::JoinRoom(ask) => Command::JoinRoom { conversation: conversation(ask.conversation) },
        Request::ListMembers(ask) => {
            Command::ListMembers { conversation: conversation(ask.conversation), cursor: ask.cursor, count: count(ask.count)? }
        }

        Request::Search(ask) => search(ask)?,
        Request::Apply(ask) => Command::Apply { uid: Uid(ask.uid), greeting: ask.greeting },
        Request::ListRequests(ask) => Command::ListRequests { cursor: ask.cursor },
        Request::Answer(ask) => Command::Answer { request: RequestId(ask.request), accept: ask.accept },
        Request::ChangeRemark(ask) => Command::ChangeRemark { uid: Uid(ask.uid), remark: ask.remark },
        Request::DeleteFriend(ask) => Command::DeleteFriend { uid: Uid(ask.uid) },
        Request::Block(ask) => Command::Block { uid: Uid(ask.uid), on: ask.on },
        Request::ListFriends(ask) => Command::ListFriends { cursor: ask.cursor, count: count(ask.count)? },
        Request::ListBlocked(ask) => Command::ListBlocked { cursor: ask.cursor, count: count(ask.count)? },

        Request::JoinLive(ask) => Command::JoinLive { room: RoomName::parse(&ask.room)?, presence: ask.presence },
        Request::LeaveLive(ask) => Command::LeaveLive { room: RoomName::parse(&ask.room)? },
        Request::LiveHistory(ask) => {
            Command::LiveHistory { room: RoomName::parse(&ask.room)?, before: seq_or_none(ask.first_message_id)?, count: count(ask.count)? }
        }

        Request::GetProfiles(ask) => Command::GetProfiles { uids: uids(ask.uids) },
        Request::ChangeProfile(v1::ChangeProfile { nickname, signature, findable_by_email }) => {
            Command::ChangeProfile { change: ProfileChange { nickname, signature, findable_by_email } }
        }
    };
    Ok(Asked::Command(command))
}

fn change(id: i64, key: &str, event: EntryEvent) -> Result<Command> {
    Ok(Command::Change { conversation: conversation(id), key: IdempotencyKey::parse(key)?, event })
}

fn search(ask: v1::Search) -> Result<Command> {
    let by = match (ask.uid, ask.email, ask.nickname) {
        (uid, email, nickname) if uid != 0 && email.is_empty() && nickname.is_empty() => SearchBy::Uid(Uid(uid)),
        (0, email, nickname) if !email.is_empty() && nickname.is_empty() => SearchBy::Email(email),
        (0, email, nickname) if email.is_empty() && !nickname.is_empty() => SearchBy::NicknamePrefix(nickname),
        _ => return Err(Error::new(Code::BadRequest, "search by one of uid, email and nickname")),
    };
    Ok(Command::Search { by, cursor: ask.cursor })
}

fn conversation(id: i64) -> ConversationId {
    ConversationId(id)
}

fn uids(uids: Vec<i64>) -> Vec<Uid> {
    uids.into_iter().map(Uid).collect()
}

fn seq_or_none(seq: i64) -> Result<Option<Seq>> {
    match seq {
        0 => Ok(None),
        1.. => Ok(Some(Seq(seq))),
        _ => Err(Error::new(Code::BadRequest, "a seq is not negative")),
    }
}

/// 0 leaves it to Logic, which also knows the maximum.
fn count(count: i32) -> Result<u32> {
    u32::try_from(count).map_err(|_| Error::new(Code::BadRequest, "a count is not negative"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(request: Request) -> Result<Command> {
        match command(request, Uid(1))? {
            Asked::Command(command) => Ok(command),
            _ => Err(Error::internal()),
        }
    }

    #[test]
    fn a_room_is_named_by_title_or_room_name() {
        for (room_name, title, wanted) in [("plaza", "", "plaza"), ("", "plaza", "plaza"), ("plaza", "other", "plaza")] {
            let ask = v1::CreateRoom { key: "k".into(), room_name: room_name.into(), title: title.into() };
            let Ok(Command::CreateRoom { title, .. }) = asked(Request::CreateRoom(ask)) else { panic!("not a room") };
            assert_eq!(title, wanted);
        }
        let text = br#"{"type":"clientCreateRoom","seq":1,"payload":{"key":"k","title":"plaza"}}"#;
        let read = skein_protocol::Envelope::parse(text).and_then(|envelope| envelope.request()).expect("reads");
        let Ok(Command::CreateRoom { title, .. }) = asked(read) else { panic!("not a room") };
        assert_eq!(title, "plaza");
    }

    #[test]
    fn a_send_names_key_order_and_reply() {
        let body = v1::Body {
            kind: "text".into(),
            segments: vec![v1::Segment { part: Some(v1::segment::Part::Mention(v1::Mention { uid: 0 })) }],
            ..Default::default()
        };
        let send = v1::Send { conversation: 5, key: "k2".into(), body: Some(body), reply_to: 3, after: "k1".into() };
        let Ok(Command::Send { conversation, key, body, reply_to, after }) = asked(Request::Send(send)) else {
            panic!("not a send");
        };
        assert_eq!((conversation, key.as_str(), reply_to), (ConversationId(5), "k2", Some(Seq(3))));
        assert_eq!(after.unwrap().as_str(), "k1");
        assert_eq!(body.segments, [skein_domain::body::Segment::Mention(None)]);
    }

    #[test]
    fn leaving_is_the_callers_own_departure() {
        let leave = Request::Leave(v1::Leave { conversation: 5, key: "k".into() });
        let wanted = EntryEvent::Left { uid: Uid(1) };
        assert!(matches!(asked(leave), Ok(Command::Change { event, .. }) if event == wanted));
    }

    #[test]
    fn what_cannot_be_a_domain_value_is_refused() {
        let bad = [
            Request::Send(v1::Send { key: "two words".into(), ..Default::default() }),
            Request::Send(v1::Send { key: "k".into(), ..Default::default() }),
            Request::RequestHistory(v1::RequestHistory { first_message_id: -1, ..Default::default() }),
            Request::ListFriends(v1::ListFriends { count: -1, ..Default::default() }),
            Request::Search(v1::Search::default()),
            Request::Search(v1::Search { uid: 1, nickname: "ann".into(), ..Default::default() }),
            Request::ChangeRole(v1::ChangeRole { key: "k".into(), role: 3, ..Default::default() }),
            Request::ChangeRole(v1::ChangeRole { key: "k".into(), role: 99, ..Default::default() }),
        ];
        for request in bad {
            let name = request.name();
            assert!(asked(request).is_err(), "{name}");
        }
    }
}
