//! What Logic answers, as messages.

use super::parts;
use skein_domain::command::{Reply as Answer, SyncPage};
use skein_domain::conversation::Member;
use skein_domain::{Code, Error};
use skein_protocol::{ErrorCode, Reply, v1};

/// `None`: an answer that no request of this protocol has.
pub(in crate::comet) fn reply(answer: Answer) -> Option<Reply> {
    let reply = match answer {
        Answer::Ack { conversation, key, seq, at, epoch } => {
            Reply::Ack(v1::Ack { conversation: conversation.0, key: key.as_str().to_owned(), seq: seq.0, at_ms: at.0, epoch: epoch.0 })
        }
        Answer::Done => Reply::Done(v1::Done {}),
        Answer::Membership { member, unread } => {
            Reply::MembershipReply(v1::MembershipReply { conversation: member.conversation.0, me: Some(parts::membership(member, unread)) })
        }
        Answer::Sync { page } => Reply::SyncPage(sync_page(page)),
        Answer::History { conversation, page } => Reply::HistoryPage(v1::HistoryPage {
            conversation: conversation.0,
            messages: page.messages.into_iter().map(parts::state).collect(),
            events: parts::entries(page.events),
            has_more_messages: page.has_more,
            floor: page.floor.0,
        }),
        Answer::Entries { conversation, entries, head, floor } => {
            Reply::Entries(v1::Entries { conversation: conversation.0, entries: parts::entries(entries), head: head.0, floor: floor.0 })
        }
        Answer::Conversation { view } => Reply::ConversationReply(v1::ConversationReply { conversation: Some(parts::conversation(*view)) }),
        Answer::Members { members, cursor } => {
            Reply::Members(v1::Members { members: members.into_iter().map(|(of, nickname)| member(of, nickname)).collect(), cursor })
        }
        Answer::Rooms { rooms, cursor } => Reply::Rooms(v1::Rooms { rooms: parts::rooms(rooms), cursor }),
        Answer::Profiles { profiles, cursor } => {
            Reply::Profiles(v1::Profiles { profiles: profiles.into_iter().map(parts::profile).collect(), cursor })
        }
        Answer::Request { request } => Reply::RequestReply(v1::RequestReply { request: Some(parts::request(request)) }),
        Answer::Requests { requests, cursor } => {
            Reply::FriendRequests(v1::FriendRequests { requests: requests.into_iter().map(parts::request).collect(), cursor })
        }
        Answer::Friend { friend } => Reply::FriendReply(v1::FriendReply { friend: Some(parts::friend(friend)) }),
        Answer::Friends { friends, cursor } => {
            Reply::Friends(v1::Friends { friends: friends.into_iter().map(parts::friend).collect(), cursor })
        }
        Answer::LiveRoom { room, count, conversation, people } => Reply::LiveRoomReply(v1::LiveRoomReply {
            room: room.as_str().to_owned(),
            count: i32::try_from(count).unwrap_or(i32::MAX),
            conversation: conversation.map_or(0, |id| id.0),
            has_presence: people.is_some(),
            people: people.unwrap_or_default().into_iter().map(parts::somebody).collect(),
        }),
        // Only public HTTP asks for devices.
        Answer::Devices { .. } => return None,
    };
    Some(reply)
}

fn sync_page(page: SyncPage) -> v1::SyncPage {
    let change = |change: skein_domain::command::ConversationChange| v1::ConversationChange {
        conversation: Some(parts::conversation(change.view)),
        entries: parts::entries(change.entries),
        limited: change.limited,
    };
    v1::SyncPage {
        cursor: page.cursor,
        more: page.more,
        reset: page.reset,
        conversations: page.conversations.into_iter().map(change).collect(),
        events: page.events.into_iter().map(parts::user_event).collect(),
    }
}

fn member(member: Member, nickname: String) -> v1::Member {
    v1::Member {
        uid: member.uid.0,
        nickname,
        role: parts::role(member.role),
        read: member.read.0,
        delivered: member.delivered.0,
        silenced_until_ms: member.silenced_until.0,
    }
}

/// `trace` finds the failure in the log; empty when the request never got that far.
pub(in crate::comet) fn error(error: Error, trace: &str) -> v1::Error {
    // Between logic and storage only: no client has a use for it.
    let code = if error.code == Code::PolicyMoved { Code::Busy } else { error.code };
    let code = code.as_str().parse::<ErrorCode>().unwrap_or(ErrorCode::Internal);
    let mut answer = v1::Error::new(code, error.message);
    answer.retry_after_ms = error.retry_after_ms.unwrap_or(0);
    answer.trace = trace.to_owned();
    answer
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_domain_code_is_a_code_of_the_protocol() {
        for code in Code::ALL {
            let told = error(Error::new(*code, "x").retry_after(7), "t");
            let wanted = if *code == Code::PolicyMoved { "busy" } else { code.as_str() };
            assert_eq!((told.code.as_str(), told.retry_after_ms, told.trace.as_str()), (wanted, 7, "t"));
        }
    }
}
