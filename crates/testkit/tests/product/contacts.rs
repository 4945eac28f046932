//! Friendship, live and for whoever is away; long lists.

use crate::line::{Line, refused};
use crate::town::Town;
use serde_json::json;
use skein_domain::account::DeviceClass;
use skein_protocol::v1::user_event::Event;
use skein_protocol::{Reply, Request, v1};
use skein_testkit::seed::Seed;
use skein_testkit::server::{Options, ServerProcess};
use skein_testkit::wire::Transport;
use std::sync::Arc;
use tokio::task::JoinSet;

async fn friend_event(line: &mut Line) -> v1::Friend {
    line.user_event(|event| if let Event::Friend(friend) = event { Some(friend) } else { None }).await
}

async fn request_event(line: &mut Line) -> v1::FriendRequest {
    line.user_event(|event| if let Event::Request(request) = event { Some(request) } else { None }).await
}

async fn friends(line: &mut Line) -> Vec<v1::Friend> {
    match line.ask(Request::ListFriends(v1::ListFriends::default())).await {
        Reply::Friends(page) => page.friends,
        other => panic!("{other:?}"),
    }
}

async fn apply(line: &mut Line, uid: i64, greeting: &str) -> Reply {
    line.ask(Request::Apply(v1::Apply { uid, greeting: greeting.into() })).await
}

#[tokio::test]
async fn a_friendship_lives_from_request_to_block_on_both_sides() {
    let mut town = Town::strangers(&["ann", "bob"]).start().await;
    let (ann_uid, bob_uid) = (town.uid("ann"), town.uid("bob"));
    let mut ann = town.line("ann").await;
    let mut bob = town.line_over(Transport::WebSocketText, "bob").await;

    let first = apply(&mut ann, bob_uid, "it is Ann").await;
    let told = request_event(&mut bob).await;
    assert_eq!((told.from, told.to, told.greeting.as_str(), told.nickname.as_str()), (ann_uid, bob_uid, "it is Ann", "ann"));
    let again = apply(&mut ann, bob_uid, "it is Ann").await;
    let id = |reply: &Reply| if let Reply::RequestReply(reply) = reply { reply.request.as_ref().map(|r| r.id) } else { None };
    assert_eq!(id(&first), id(&again), "asking twice is asking once");

    bob.ask(Request::Answer(v1::Answer { request: told.id, accept: true })).await;
    let (of_ann, of_bob) = (friend_event(&mut ann).await, friend_event(&mut bob).await);
    assert_eq!((of_ann.uid, of_bob.uid), (bob_uid, ann_uid), "both lists change without a log-in");

    ann.ask(Request::ChangeRemark(v1::ChangeRemark { uid: bob_uid, remark: "Bob from work".into() })).await;
    let chat = ann.direct_with(bob_uid).await;
    ann.send(chat, "hello").await;

    // All of it is kept.
    town.crash().await;
    let mut ann = town.line("ann").await;
    let mut bob = town.line("bob").await;
    let of_ann = friends(&mut ann).await;
    assert_eq!((of_ann.len(), of_ann[0].remark.as_str(), of_ann[0].nickname.as_str()), (1, "Bob from work", "bob"));
    assert_eq!(friends(&mut bob).await[0].remark, "", "a remark is one's own");

    // After a deletion nothing passes, nor after a block: both sound the same.
    ann.ask(Request::DeleteFriend(v1::DeleteFriend { uid: bob_uid })).await;
    friend_event(&mut bob).await;
    assert!(friends(&mut bob).await.is_empty());
    assert_eq!(refused(&bob.send_with(chat, "k1", "still there?").await), "not_accepted");
    ann.ask(Request::Block(v1::Block { uid: bob_uid, on: true })).await;
    assert_eq!(refused(&bob.send_with(chat, "k2", "still there?").await), "not_accepted");
    assert_eq!(ann.history_after(chat, 0).await.len(), 1);
}

#[tokio::test]
async fn a_request_waits_for_whoever_is_away() {
    let town = Town::strangers(&["ann", "bob"]).start().await;
    let mut ann = town.line("ann").await;
    apply(&mut ann, town.uid("bob"), "while you were out").await;
    let mut bob = town.line("bob").await;
    let Reply::SyncPage(page) = bob.ask(Request::Sync(v1::Sync::default())).await else { panic!("no page") };
    let greetings: Vec<String> = page
        .events
        .into_iter()
        .filter_map(|event| if let Some(Event::Request(request)) = event.event { Some(request.greeting) } else { None })
        .collect();
    assert_eq!(greetings, ["while you were out"]);
    let declined = town.api_of("bob").get("/api/v1/requests").await.ok()["requests"][0]["id"].clone();
    let path = format!("/api/v1/requests/{}", declined.as_str().unwrap());
    town.api_of("bob").post(&path, json!({"accept": false})).await.ok();
    // Her own list told her of the pending one before.
    while request_event(&mut ann).await.state() != v1::RequestState::Declined {}
    assert!(friends(&mut ann).await.is_empty());
}

#[tokio::test]
async fn five_thousand_friends_come_a_page_at_a_time() {
    const FRIENDS: usize = 5_000;
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let seed = Arc::new(Seed::open(&data).unwrap());
    let ann = seed.user("ann").await.unwrap();
    let token = seed.session(ann, DeviceClass::Desktop).await.unwrap();
    let mut people = JoinSet::new();
    for n in 0..FRIENDS {
        let seed = seed.clone();
        people.spawn(async move {
            let uid = seed.user(&format!("friend {n:04}")).await.unwrap();
            seed.befriend(uid, ann).await.unwrap();
        });
    }
    people.join_all().await;
    Arc::into_inner(seed).expect("everybody is done").close();

    let server = ServerProcess::start(Options::on(&data)).await.unwrap();
    let mut ann = Line::open(server.endpoints().unwrap(), Transport::Tcp, &token).await;
    let mut nicknames = Vec::new();
    let mut cursor = String::new();
    let mut pages = 0;
    loop {
        let page = match ann.ask(Request::ListFriends(v1::ListFriends { cursor, count: 100 })).await {
            Reply::Friends(page) => page,
            other => panic!("{other:?}"),
        };
        assert!(page.friends.len() <= 100, "a page is a page");
        nicknames.extend(page.friends.into_iter().map(|friend| friend.nickname));
        pages += 1;
        cursor = page.cursor;
        if cursor.is_empty() {
            break;
        }
    }
    nicknames.sort_unstable();
    nicknames.dedup();
    assert_eq!((nicknames.len(), pages), (FRIENDS, 50));
}
