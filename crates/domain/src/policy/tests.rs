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
    let react = |emoji: &str| table.changes(MEMBER, Reacted { target: Seq(3), emoji: emoji.into(), on: true }, Some(&message(OWNER, NOW)));
    let england = "🏴\u{e0067}\u{e0062}\u{e0065}\u{e006e}\u{e0067}\u{e007f}";
    let good = ["👍", "👍🏽", "❤️", "❤", "👩‍👩‍👧‍👦", "❤️‍🔥", "🏳️‍🌈", "🇫🇷", "1️⃣", "#⃣", "✅", "☀️", "©️", "Ⓜ️", "⬆️", "🀄", "🫶", england];
    for emoji in good {
        assert_eq!(react(emoji), None, "{emoji:?}");
    }
    let bad = ["", "a b", "\n", "x", "+1", "12", "1", "ok👍", "é", "ж", "好", "ا", "👍👍", "👍\u{200d}", "\u{200d}👍", "\u{fe0f}"];
    let worse = ["\u{202e}", "👍\u{202e}", "🇫", "🇫🇷🇫🇷", "12\u{20e3}", "\u{20e3}", "👍\u{301}", &"x".repeat(33), &"👩\u{200d}".repeat(9)];
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
