//! Contacts: who is found by what, and what may be asked of whom.

use crate::world::{PASSWORD, World};
use skein_domain::Code;
use skein_domain::account::ProfileChange;
use skein_domain::command::SearchBy;
use skein_domain::contact::RequestState;
use skein_domain::door::Caller;
use skein_domain::id::{RequestId, Uid};
use skein_domain::port::Clock;

async fn ann_of(world: &World) -> Caller {
    world.user("ann").await;
    world.caller(&world.log_in("ann@example.org", PASSWORD).await.unwrap())
}

#[tokio::test]
async fn people_are_found_by_uid_and_never_with_their_address() {
    let world = World::new().await;
    let ann = ann_of(&world).await;
    let bob = world.user("bob").await;
    let (found, cursor) = world.contacts.search(&ann, SearchBy::Uid(bob), "").await.unwrap();
    assert_eq!((found.len(), found[0].uid, found[0].email.clone(), cursor), (1, bob, None, String::new()));
    let (own, _) = world.contacts.search(&ann, SearchBy::Uid(ann.uid), "").await.unwrap();
    assert_eq!(own[0].email, None);
    world.accounts.set_disabled(bob, true, "test").await.unwrap();
    assert!(world.contacts.search(&ann, SearchBy::Uid(bob), "").await.unwrap().0.is_empty());
}

#[tokio::test]
async fn by_address_only_those_are_found_who_want_to() {
    let world = World::new().await;
    let ann = ann_of(&world).await;
    let bob = world.user("bob").await;
    let by_address = || world.contacts.search(&ann, SearchBy::Email(" Bob@Example.org".into()), "");
    let findable = |on| world.store.change_profile(bob, ProfileChange { findable_by_email: Some(on), ..ProfileChange::default() });
    findable(true).await.unwrap();
    let (found, _) = by_address().await.unwrap();
    assert_eq!((found[0].uid, &found[0].email, found[0].findable_by_email), (bob, &None, false));
    findable(false).await.unwrap();
    assert!(by_address().await.unwrap().0.is_empty());
    findable(true).await.unwrap();
    world.accounts.set_disabled(bob, true, "test").await.unwrap();
    assert!(by_address().await.unwrap().0.is_empty());
    let bad = world.contacts.search(&ann, SearchBy::Email("bob".into()), "").await;
    assert_eq!(bad.unwrap_err().code, Code::BadEmail);
}

#[tokio::test]
async fn searches_by_address_are_limited_per_caller() {
    let world = World::new().await;
    let ann = ann_of(&world).await;
    let by_address = |n: i64| world.contacts.search(&ann, SearchBy::Email(format!("user{n}@example.org")), "");
    for n in 0..10 {
        by_address(n).await.unwrap();
    }
    assert_eq!(by_address(10).await.unwrap_err().code, Code::RateLimited);
    world.contacts.search(&ann, SearchBy::Uid(ann.uid), "").await.unwrap();
    world.clock.advance(60_000);
    by_address(11).await.unwrap();
    assert_eq!(by_address(12).await.unwrap_err().code, Code::RateLimited);
}

#[tokio::test]
async fn a_nickname_prefix_finds_all_and_only_its_names_in_pages_of_twenty() {
    let world = World::new().await;
    let ann = ann_of(&world).await;
    for n in 0..45 {
        world.user(&format!("abby{n:02}")).await;
    }
    world.user("acme").await;
    let (mut names, mut cursor, mut pages) = (Vec::new(), String::new(), Vec::new());
    loop {
        let (found, next) = world.contacts.search(&ann, SearchBy::NicknamePrefix(" AB".into()), &cursor).await.unwrap();
        pages.push(found.len());
        names.extend(found.into_iter().map(|profile| profile.nickname));
        if next.is_empty() {
            break;
        }
        cursor = next;
    }
    assert_eq!(pages, [20, 20, 5]);
    assert_eq!(names, (0..45).map(|n| format!("abby{n:02}")).collect::<Vec<_>>());

    let code = |prefix: &str, cursor: &'static str| {
        let search = world.contacts.search(&ann, SearchBy::NicknamePrefix(prefix.into()), cursor);
        async move { search.await.err().map(|error| error.code) }
    };
    assert_eq!(code("a", "").await, Some(Code::BadRequest));
    assert_eq!(code(&"a".repeat(33), "").await, Some(Code::BadRequest));
    assert_eq!(code("ab", "rubbish").await, Some(Code::BadCursor));
    assert_eq!(code("安安", "").await, None);
}

#[tokio::test]
async fn a_request_is_refused_with_its_code_or_becomes_a_friendship() {
    let world = World::new().await;
    let ann = ann_of(&world).await;
    let bob = world.user("bob").await;
    let off = world.user("off").await;
    world.accounts.set_disabled(off, true, "test").await.unwrap();
    let refused = [
        (world.contacts.apply(&ann, ann.uid, "hi").await, Code::NotSelf),
        (world.contacts.apply(&ann, Uid(1 << 50), "hi").await, Code::NotFound),
        (world.contacts.apply(&ann, off, "hi").await, Code::NotFound),
        (world.contacts.apply(&ann, bob, &"x".repeat(201)).await, Code::BadRequest),
        (world.contacts.apply(&ann, bob, "a\u{202e}b").await, Code::BadRequest),
    ];
    for (answer, code) in refused {
        assert_eq!(answer.unwrap_err().code, code);
    }
    let request = world.contacts.apply(&ann, bob, &" 你好".repeat(66)).await.unwrap();
    assert_eq!((request.from, request.to, request.state), (ann.uid, bob, RequestState::Pending));
    let bob = world.caller(&world.log_in("bob@example.org", PASSWORD).await.unwrap());
    assert_eq!(world.contacts.requests(&bob, "").await.unwrap().0[0].id, request.id);
    assert_eq!(world.contacts.answer(&ann, request.id, true).await.unwrap_err().code, Code::NotFound, "only who was asked");
    assert_eq!(world.contacts.answer(&bob, RequestId(1 << 50), true).await.unwrap_err().code, Code::NotFound);
    world.contacts.answer(&bob, request.id, true).await.unwrap();
    assert_eq!(world.contacts.friends(&ann, "", 0).await.unwrap().0[0].uid, bob.uid);
    assert_eq!(world.contacts.friends(&bob, "", 0).await.unwrap().0[0].uid, ann.uid);
    assert_eq!(world.contacts.apply(&ann, bob.uid, "again").await.unwrap_err().code, Code::AlreadyMember);

    let friend = world.contacts.change_remark(&ann, bob.uid, " Bobby ").await.unwrap();
    assert_eq!(friend.remark, "Bobby");
    for bad in ["x".repeat(65).as_str(), "Bob\u{202e}by", "\u{3164}", "\u{2800}"] {
        assert_eq!(world.contacts.change_remark(&ann, bob.uid, bad).await.unwrap_err().code, Code::BadRequest, "{bad:?}");
    }
    assert_eq!(world.contacts.block(&ann, ann.uid, true).await.unwrap_err().code, Code::NotSelf);
    assert_eq!(world.contacts.block(&ann, Uid(1 << 50), true).await.unwrap_err().code, Code::NotFound);
    assert!(world.contacts.block(&ann, bob.uid, true).await.unwrap().blocked);
    assert_eq!(world.contacts.blocked(&ann, "", 0).await.unwrap().0[0].uid, bob.uid);
    assert!(!world.contacts.block(&ann, bob.uid, false).await.unwrap().blocked);
    world.contacts.delete_friend(&ann, bob.uid).await.unwrap();
    world.contacts.delete_friend(&ann, bob.uid).await.unwrap();
    assert!(world.contacts.friends(&bob, "", 0).await.unwrap().0.is_empty());
}

#[tokio::test]
async fn at_most_thirty_requests_leave_in_an_hour() {
    let world = World::new().await;
    let ann = ann_of(&world).await;
    let bob = world.user("bob").await;
    let mut sent = 0;
    for _minute in 0..60 {
        while world.contacts.apply(&ann, bob, "hi").await.is_ok() {
            sent += 1;
        }
        assert_eq!(world.contacts.apply(&ann, bob, "hi").await.unwrap_err().code, Code::RateLimited);
        world.clock.advance(60_000);
    }
    assert!((15..=30).contains(&sent), "{sent}");
}

#[tokio::test]
async fn lists_page_by_cursor() {
    let world = World::new().await;
    let ann = ann_of(&world).await;
    for n in 0..60 {
        let peer = world.user(&format!("peer{n}")).await;
        let request = world.contact_store.apply(peer, ann.uid, "hi".into(), world.clock.now(), 5_000).await.unwrap();
        world.contacts.answer(&ann, request.id, true).await.unwrap();
    }
    let (first, cursor) = world.contacts.friends(&ann, "", 0).await.unwrap();
    let (second, end) = world.contacts.friends(&ann, &cursor, 0).await.unwrap();
    assert_eq!((first.len(), second.len(), end.as_str()), (50, 10, ""));
    let mut uids: Vec<_> = first.iter().chain(&second).map(|friend| friend.uid).collect();
    uids.dedup();
    assert!(uids.len() == 60 && uids.is_sorted());
    assert_eq!(world.contacts.friends(&ann, "", 3).await.unwrap().0.len(), 3);

    let (first, cursor) = world.contacts.requests(&ann, "").await.unwrap();
    let (second, end) = world.contacts.requests(&ann, &cursor).await.unwrap();
    assert_eq!((first.len(), second.len(), end.as_str()), (50, 10, ""));
    assert!(first.iter().chain(&second).is_sorted_by(|a, b| a.id > b.id), "newest first");
    assert_eq!(world.contacts.friends(&ann, "rubbish", 0).await.unwrap_err().code, Code::BadCursor);
    assert_eq!(world.contacts.requests(&ann, "rubbish").await.unwrap_err().code, Code::BadCursor);
    assert_eq!(world.contacts.blocked(&ann, "rubbish", 0).await.unwrap_err().code, Code::BadCursor);
}
