//! What a [`skein_domain::port::ContactStore`] must keep.

use super::world::{NOW, code};
use super::{Backend, World};
use skein_domain::Code;
use skein_domain::contact::RequestState;
use skein_domain::conversation::Standing;
use skein_domain::delivery::UserEvent;
use skein_domain::id::{RequestId, Revision, Uid};
use skein_domain::port::ContactStore;

const MAX: u32 = 5_000;

async fn standing(contacts: &dyn ContactStore, uid: Uid, other: Uid) -> Standing {
    contacts.standings(uid, &[other]).await.expect("standings")[0]
}

pub async fn an_accepted_request_makes_both_friends(backend: &dyn Backend) {
    let world = World::on(backend).await;
    let (ann, bob) = (world.user("ann").await, world.user("bob").await);
    let contacts = &world.ports.contacts;
    let request = contacts.apply(ann, bob, "hello".into(), NOW, MAX).await.expect("apply");
    assert_eq!((request.state, request.nickname.as_str()), (RequestState::Pending, "bob"));
    let received = contacts.requests(bob, None, 10).await.expect("requests");
    assert_eq!((received[0].greeting.as_str(), received[0].nickname.as_str()), ("hello", "ann"));
    let accepted = contacts.answer(bob, request.id, true, NOW.plus(5), MAX).await.expect("accept");
    assert_eq!((accepted.state, accepted.nickname.as_str()), (RequestState::Accepted, "ann"));

    for (uid, peer, name) in [(ann, bob, "bob"), (bob, ann, "ann")] {
        let friends = contacts.friends(uid, Uid(0), 10).await.expect("friends");
        assert_eq!((friends.len(), friends[0].uid, friends[0].nickname.as_str(), friends[0].since), (1, peer, name, NOW.plus(5)));
        let direct = friends[0].conversation.expect("accepting opens the conversation");
        assert_eq!(world.view(direct, uid).await.peer, Some(peer));
        let items = world.ports.conversations.user_log(uid, Revision(0), 100).await.expect("user log");
        assert!(items.iter().any(|(_, item)| matches!(item, UserEvent::Friend { friend } if friend.uid == peer && friend.friend)));
        assert!(items.iter().any(|(_, item)| matches!(item, UserEvent::Request { request } if request.state == RequestState::Accepted)));
    }
    let standing = standing(&*world.ports.contacts, ann, bob).await;
    assert!(standing.friends && !standing.blocked);
    assert_eq!(code(contacts.apply(ann, bob, String::new(), NOW, MAX).await), Code::AlreadyMember);
    assert_eq!(code(contacts.apply(ann, ann, String::new(), NOW, MAX).await), Code::NotSelf);
    assert_eq!(code(contacts.apply(ann, Uid(99_999), String::new(), NOW, MAX).await), Code::NotFound);
}

pub async fn a_pending_request_is_renewed(backend: &dyn Backend) {
    let world = World::on(backend).await;
    let (ann, bob) = (world.user("ann").await, world.user("bob").await);
    let contacts = &world.ports.contacts;
    let first = contacts.apply(ann, bob, "hello".into(), NOW, MAX).await.expect("apply");
    let again = contacts.apply(ann, bob, "please".into(), NOW.plus(1), MAX).await.expect("apply again");
    assert_eq!((again.id, again.greeting.as_str()), (first.id, "please"));
    assert_eq!(contacts.requests(bob, None, 10).await.expect("requests").len(), 1);
    contacts.answer(bob, first.id, false, NOW, MAX).await.expect("decline");
    let later = contacts.apply(ann, bob, "still".into(), NOW, MAX).await.expect("apply after a decline");
    assert!(later.id > first.id && later.state == RequestState::Pending);
}

pub async fn applying_to_an_applicant_accepts(backend: &dyn Backend) {
    let world = World::on(backend).await;
    let (ann, bob) = (world.user("ann").await, world.user("bob").await);
    let contacts = &world.ports.contacts;
    let request = contacts.apply(ann, bob, String::new(), NOW, MAX).await.expect("apply");
    let answer = contacts.apply(bob, ann, String::new(), NOW, MAX).await.expect("apply back");
    assert_eq!((answer.id, answer.state, answer.nickname.as_str()), (request.id, RequestState::Accepted, "ann"));
    assert!(standing(&*world.ports.contacts, ann, bob).await.friends);
    assert_eq!(contacts.requests(bob, None, 10).await.expect("requests").len(), 1);
}

pub async fn answering_twice_is_answering_once(backend: &dyn Backend) {
    let world = World::on(backend).await;
    let (ann, bob, cid) = (world.user("ann").await, world.user("bob").await, world.user("cid").await);
    let contacts = &world.ports.contacts;
    let request = contacts.apply(ann, bob, String::new(), NOW, MAX).await.expect("apply");
    for stranger in [ann, cid] {
        assert_eq!(code(contacts.answer(stranger, request.id, true, NOW, MAX).await), Code::NotFound);
    }
    let declined = contacts.answer(bob, request.id, false, NOW, MAX).await.expect("decline");
    let revisions = world.ports.messages.revisions().await.expect("revisions");
    assert_eq!(contacts.answer(bob, request.id, false, NOW, MAX).await.expect("decline again"), declined);
    assert_eq!(code(contacts.answer(bob, request.id, true, NOW, MAX).await), Code::NotFound);
    assert_eq!(code(contacts.answer(bob, RequestId(99_999), true, NOW, MAX).await), Code::NotFound);
    assert_eq!(world.ports.messages.revisions().await.expect("revisions"), revisions);
    assert!(!standing(&*world.ports.contacts, ann, bob).await.friends);
}

pub async fn a_block_is_never_told(backend: &dyn Backend) {
    let world = World::on(backend).await;
    let (ann, bob) = (world.user("ann").await, world.user("bob").await);
    let contacts = &world.ports.contacts;
    let blocked = contacts.block(bob, ann, true, NOW).await.expect("block");
    assert!(blocked.blocked && !blocked.friend);
    let request = contacts.apply(ann, bob, "hello".into(), NOW, MAX).await.expect("apply");
    assert_eq!(request.state, RequestState::Pending);
    assert_eq!(contacts.requests(ann, None, 10).await.expect("requests"), std::slice::from_ref(&request));
    assert_eq!(contacts.requests(bob, None, 10).await.expect("requests"), []);
    let of_bob = world.ports.conversations.user_log(bob, Revision(0), 100).await.expect("user log");
    assert!(of_bob.iter().all(|(_, item)| !matches!(item, UserEvent::Request { .. })));
    assert_eq!(code(contacts.answer(bob, request.id, true, NOW, MAX).await), Code::NotFound);
    assert!(standing(&*world.ports.contacts, ann, bob).await.blocked);
    let of_ann = world.ports.conversations.user_log(ann, Revision(0), 100).await.expect("user log");
    assert!(of_ann.iter().all(|(_, item)| !matches!(item, UserEvent::Friend { .. })), "the blocked side learns nothing");
    // Once the block is lifted, applying again reaches the other side under the same id.
    contacts.block(bob, ann, false, NOW).await.expect("unblock");
    let again = contacts.apply(ann, bob, "hello again".into(), NOW, MAX).await.expect("apply again");
    assert_eq!(again.id, request.id);
    assert_eq!(contacts.requests(bob, None, 10).await.expect("requests").len(), 1);
}

pub async fn a_full_list_takes_no_more(backend: &dyn Backend) {
    let world = World::on(backend).await;
    let uids = world.users(4).await;
    let contacts = &world.ports.contacts;
    world.befriend(uids[0], uids[1]).await;
    assert_eq!(code(contacts.apply(uids[0], uids[2], String::new(), NOW, 1).await), Code::FriendsFull);
    let request = contacts.apply(uids[2], uids[0], String::new(), NOW, 1).await.expect("apply");
    assert_eq!(code(contacts.answer(uids[0], request.id, true, NOW, 1).await), Code::FriendsFull);
    world.befriend(uids[2], uids[3]).await;
    assert_eq!(code(contacts.answer(uids[0], request.id, true, NOW, 1).await), Code::FriendsFull);
    assert_eq!(contacts.friends(uids[2], Uid(0), 10).await.expect("friends").len(), 1, "all or nothing");
    contacts.answer(uids[0], request.id, true, NOW, 2).await.expect("accept");
}

pub async fn deleting_ends_it_for_both(backend: &dyn Backend) {
    let world = World::on(backend).await;
    let (ann, bob) = (world.user("ann").await, world.user("bob").await);
    let contacts = &world.ports.contacts;
    world.befriend(ann, bob).await;
    contacts.delete_friend(ann, bob).await.expect("delete");
    for uid in [ann, bob] {
        assert_eq!(contacts.friends(uid, Uid(0), 10).await.expect("friends"), []);
        let items = world.ports.conversations.user_log(uid, Revision(0), 100).await.expect("user log");
        assert!(items.iter().any(|(_, item)| matches!(item, UserEvent::Friend { friend } if !friend.friend)));
    }
    let revisions = world.ports.messages.revisions().await.expect("revisions");
    contacts.delete_friend(ann, bob).await.expect("delete again");
    assert_eq!(world.ports.messages.revisions().await.expect("revisions"), revisions);
    world.befriend(bob, ann).await;
    assert!(standing(&*world.ports.contacts, ann, bob).await.friends);
}

pub async fn standings_come_in_the_order_asked_for(backend: &dyn Backend) {
    let world = World::on(backend).await;
    let (ann, bob, cid) = (world.user("ann").await, world.user("bob").await, world.user("cid").await);
    let contacts = &world.ports.contacts;
    let request = contacts.apply(bob, ann, String::new(), NOW, MAX).await.expect("apply");
    contacts.answer(ann, request.id, true, NOW, MAX).await.expect("accept");
    contacts.block(cid, ann, true, NOW).await.expect("block");
    let standings = contacts.standings(ann, &[cid, Uid(99_999), bob, cid]).await.expect("standings");
    let blocked = Standing { friends: false, blocked: true };
    assert_eq!(standings, [blocked, Standing::default(), Standing { friends: true, blocked: false }, blocked]);
    assert_eq!(contacts.standings(ann, &[]).await.expect("standings"), []);
}

pub async fn every_change_of_standing_moves_the_policy(backend: &dyn Backend) {
    let world = World::on(backend).await;
    let (ann, bob) = (world.user("ann").await, world.user("bob").await);
    let contacts = &world.ports.contacts;
    let direct = world.ports.conversations.open_direct(ann, bob, NOW).await.expect("open");
    let mut policy = world.policy(direct).await;
    let mut moved = async |what: &str| {
        let now = world.policy(direct).await;
        assert!(now > policy, "{what}");
        policy = now;
    };
    world.befriend(ann, bob).await;
    moved("befriend").await;
    contacts.block(bob, ann, true, NOW).await.expect("block");
    moved("block").await;
    let snapshot = world.ports.conversations.snapshot(direct).await.expect("snapshot").expect("exists");
    assert_eq!(snapshot.standing.map(|standing| (standing.friends, standing.blocked)), Some((true, true)));
    contacts.block(bob, ann, false, NOW).await.expect("unblock");
    moved("unblock").await;
    contacts.delete_friend(bob, ann).await.expect("delete");
    moved("delete").await;
}

pub async fn remarks_are_per_side(backend: &dyn Backend) {
    let world = World::on(backend).await;
    let (ann, bob, cid) = (world.user("ann").await, world.user("bob").await, world.user("cid").await);
    let contacts = &world.ports.contacts;
    world.befriend(ann, bob).await;
    assert_eq!(contacts.change_remark(ann, bob, "plumber".into()).await.expect("remark").remark, "plumber");
    assert_eq!(contacts.friends(ann, Uid(0), 10).await.expect("friends")[0].remark, "plumber");
    assert_eq!(contacts.friends(bob, Uid(0), 10).await.expect("friends")[0].remark, "");
    assert_eq!(code(contacts.change_remark(ann, cid, "who".into()).await), Code::NotFound);
}

pub async fn lists_page(backend: &dyn Backend) {
    let world = World::on(backend).await;
    let uids = world.users(6).await;
    let contacts = &world.ports.contacts;
    for peer in &uids[1..] {
        world.befriend(uids[0], *peer).await;
        contacts.block(uids[0], *peer, true, NOW).await.expect("block");
    }
    let page = contacts.friends(uids[0], uids[2], 2).await.expect("friends");
    assert_eq!(page.iter().map(|friend| friend.uid).collect::<Vec<_>>(), uids[3..5]);
    let page = contacts.blocked(uids[0], uids[4], 2).await.expect("blocked");
    assert_eq!(page.iter().map(|friend| friend.uid).collect::<Vec<_>>(), uids[5..]);
    let first = contacts.requests(uids[0], None, 3).await.expect("requests");
    let rest = contacts.requests(uids[0], Some(first[2].id), 3).await.expect("requests");
    let tos: Vec<_> = first.iter().chain(&rest).map(|request| request.to).collect();
    assert_eq!(tos, uids[1..].iter().rev().copied().collect::<Vec<_>>());
}
