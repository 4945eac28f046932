//! The Python package `websockets` as the client: nothing of ours but the server.

use crate::accounts::{cookie_of, log_in};
use crate::peers::WebSockets;
use crate::town::Town;
use serde_json::{Value, json};
use skein_testkit::wire::Transport;

fn url(town: &Town) -> String {
    format!("ws://{}/ws", town.server.endpoints().unwrap().public)
}

fn origin(town: &Town) -> String {
    format!("http://{}", town.server.endpoints().unwrap().public)
}

/// Logged in with op 7, as from a browser's console.
async fn join(sockets: &mut WebSockets, town: &Town, name: &str) {
    sockets.connect(name, &url(town), &[]).await;
    let hello = sockets.ask(name, 1, "auth", json!({"token": town.token(name), "major": 1, "client": "websockets"})).await;
    assert_eq!((&hello["type"], &hello["payload"]["uid"]), (&json!("hello"), &json!(town.uid(name).to_string())), "{hello}");
}

fn message(conversation: &Value, key: &str, text: &str) -> Value {
    json!({"conversation": conversation, "key": key, "body": {"kind": "text", "segments": [{"text": text}]}})
}

fn texts(page: &Value) -> Vec<&str> {
    let messages = page["payload"]["messages"].as_array().unwrap_or_else(|| panic!("{page}"));
    messages.iter().map(|message| message["body"]["segments"][0]["text"].as_str().unwrap()).collect()
}

#[tokio::test]
async fn a_browser_enters_by_its_cookie_and_hears_hello_first() {
    let town = Town::of(&["ann"]).start().await;
    let password = town.password("ann").await;
    let cookie = cookie_of(&log_in(&town.api(), "ann@example.org", &password, "web").await);
    let mut sockets = WebSockets::start();
    let cookie = format!("skein_session={cookie}");
    sockets.connect("ann", &url(&town), &[("Cookie", &cookie), ("Origin", &origin(&town))]).await;
    let hello = sockets.hear("ann").await;
    assert_eq!((&hello["type"], &hello["payload"]["nickname"]), (&json!("hello"), &json!("ann")));
    assert!(hello["payload"]["serverTimeMs"].is_string(), "64-bit numbers are strings");

    // Another page of the web cannot use it, a wrong or ended one is worth nothing, and no cookie is no log-in.
    for (name, cookie, from) in [
        ("foreign page", cookie.as_str(), "https://evil.example"),
        ("wrong cookie", "skein_session=AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA", &origin(&town)),
    ] {
        sockets.connect(name, &url(&town), &[("Cookie", cookie), ("Origin", from)]).await;
        assert_eq!(sockets.closed(name).await.0, 1008, "{name}");
    }
    sockets.connect("no cookie", &url(&town), &[("Origin", &origin(&town))]).await;
    sockets.say("no cookie", json!({"type": "openDirect", "seq": 1, "payload": {"uid": "1"}})).await;
    let refusal = sockets.hear("no cookie").await;
    assert_eq!((&refusal["type"], &refusal["payload"]["code"]), (&json!("error"), &json!("unauthorized")));
    assert_eq!(sockets.closed("no cookie").await.0, 1008);

    town.api().with("cookie", &cookie).with("origin", &origin(&town)).ask("POST", "/api/v1/logout", None).await.ok();
    assert_eq!(sockets.closed("ann").await, (4104, "logged_out".into()));
    sockets.connect("ended", &url(&town), &[("Cookie", &cookie), ("Origin", &origin(&town))]).await;
    assert_eq!(sockets.closed("ended").await.0, 1008);
}

#[tokio::test]
async fn rooms_messages_and_history_in_plain_json() {
    let town = Town::of(&["ann", "bob"]).start().await;
    let mut sockets = WebSockets::start();
    join(&mut sockets, &town, "ann").await;
    join(&mut sockets, &town, "bob").await;

    // Whoever looks at the directory learns of a new room.
    let rooms = sockets.ask("bob", 2, "listRooms", json!({"watch": true})).await;
    assert_eq!(rooms["type"], "rooms");
    let created = sockets.ask("ann", 2, "clientCreateRoom", json!({"key": "room-1", "roomName": "茶馆"})).await;
    assert_eq!(created["type"], "serverCreateRoom", "{created}");
    let room = created["payload"]["conversation"]["id"].clone();
    let news = sockets.hear_of("bob", "roomsChanged").await;
    assert_eq!((&news["payload"]["rooms"][0]["conversation"], &news["payload"]["rooms"][0]["title"]), (&room, &json!("茶馆")));
    let again = sockets.ask("ann", 3, "clientCreateRoom", json!({"key": "room-1", "room_name": "茶馆"})).await;
    assert_eq!(again["payload"]["conversation"]["id"], room, "the same key is the same room");

    // Not a member, not heard.
    let refused = sockets.ask("bob", 3, "clientMessages", message(&room, "b-0", "let me in")).await;
    assert_eq!((&refused["type"], &refused["payload"]["code"]), (&json!("error"), &json!("not_member")));
    sockets.ask("bob", 4, "joinRoom", json!({"conversation": room, "key": "join"})).await;

    let mut seqs = Vec::new();
    for n in 0..30 {
        let ack = sockets.ask("ann", 100 + n, "clientMessages", message(&room, &format!("a-{n}"), &format!("message {n}"))).await;
        assert_eq!(ack["type"], "ack", "{ack}");
        seqs.push(ack["payload"]["seq"].clone());
    }
    // Ack, push and history name the same message.
    let mut pushed = Vec::new();
    while pushed.len() < 30 {
        let push = sockets.hear_of("bob", "serverMessages").await;
        let entries = push["payload"]["entries"].as_array().unwrap().clone();
        pushed.extend(entries.into_iter().filter(|entry| entry["message"].is_object()).map(|entry| entry["seq"].clone()));
    }
    assert_eq!(pushed, seqs);

    let newest = sockets.ask("bob", 5, "requestRoomHistory", json!({"conversation": room, "count": 10})).await;
    assert_eq!(newest["type"], "serverRoomHistory");
    let expected = |range: std::ops::Range<usize>| range.map(|n| format!("message {n}")).collect::<Vec<_>>();
    assert_eq!(texts(&newest), expected(20..30));
    assert_eq!(newest["payload"]["hasMoreMessages"], true);
    let anchor = newest["payload"]["messages"][0]["seq"].clone();
    let older = sockets.ask("bob", 6, "requestRoomHistory", json!({"conversation": room, "firstMessageId": anchor, "count": 10})).await;
    assert_eq!(texts(&older), expected(10..20));
    // The other anchor resumes; both spellings are understood.
    for (seq, name) in [(7, "last_message_id"), (8, "lastMessageId")] {
        let mut request = json!({"conversation": room, "count": 50});
        request[name] = seqs[24].clone();
        assert_eq!(texts(&sockets.ask("bob", seq, "requestRoomHistory", request).await), expected(25..30), "{name}");
    }
}

#[tokio::test]
async fn what_is_not_understood_is_answered_and_the_connection_stays() {
    let town = Town::of(&["ann", "bob"]).start().await;
    let mut sockets = WebSockets::start();
    join(&mut sockets, &town, "ann").await;
    for (text, code, seq) in [
        (r#"{"type":"fly","seq":6}"#, "unsupported", 6),
        ("no json", "bad_json", 0),
        (r#"{"type":7}"#, "bad_request", 0),
        (r#"{"type":"clientMessages","seq":8,"payload":{"conversation":"x"}}"#, "bad_request", 8),
        (
            r#"{"type":"clientMessages","seq":9,"payload":{"conversation":"999","key":"k","body":{"kind":"text","segments":[{"text":"x"}]}}}"#,
            "not_member",
            9,
        ),
    ] {
        sockets.say_text("ann", text).await;
        let error = sockets.hear("ann").await;
        assert_eq!((&error["type"], &error["payload"]["code"]), (&json!("error"), &json!(code)), "{text}");
        assert_eq!(error["seq"].as_i64().unwrap_or(0), seq, "{text}");
    }
    let beat = sockets.ask("ann", 10, "heartbeat", json!({})).await;
    assert_eq!(beat["type"], "heartbeatReply");
}

#[tokio::test]
async fn long_messages_and_other_transports_meet() {
    let town = Town::of(&["ann", "bob"]).start().await;
    let mut sockets = WebSockets::start();
    join(&mut sockets, &town, "ann").await;
    let mut bob = town.line_over(Transport::Tcp, "bob").await;
    let opened = sockets.ask("ann", 2, "openDirect", json!({"uid": town.uid("bob").to_string()})).await;
    let chat = opened["payload"]["conversation"]["id"].clone();
    let number: i64 = chat.as_str().unwrap().parse().unwrap();
    // Around the steps of the length field (126 and 65,536 bytes of payload), up to the longest text.
    for (n, length) in [1, 30, 120, 126, 1_000, 16_384].into_iter().enumerate() {
        let text = "x".repeat(length);
        let ack = sockets.ask("ann", 10 + n as i32, "clientMessages", message(&chat, &format!("k{n}"), &text)).await;
        assert_eq!(ack["type"], "ack", "{length}: {ack}");
        assert_eq!(bob.messages(number, 1).await[0].1, text);
    }
    let too_long = sockets.ask("ann", 30, "clientMessages", message(&chat, "long", &"x".repeat(16_385))).await;
    assert_eq!(too_long["payload"]["code"], "too_large");
    // Six of them are one page of history, longer than 65,535 bytes would be one frame: pages stay below.
    bob.send(number, &"y".repeat(16_384)).await;
    let of_bob = json!(town.uid("bob").to_string());
    let push = loop {
        let push = sockets.hear_of("ann", "serverMessages").await;
        if push["payload"]["entries"][0]["author"] == of_bob {
            break push;
        }
    };
    assert_eq!(push["payload"]["entries"][0]["message"]["body"]["segments"][0]["text"].as_str().unwrap().len(), 16_384);
    // A frame over the limit ends the connection with its code.
    sockets.say_text("ann", &"z".repeat(70_000)).await;
    assert_eq!(sockets.closed("ann").await.0, 1009);
}

/// The package answers pings by itself, as browsers do; that is life enough.
#[tokio::test]
async fn a_client_that_only_answers_pings_stays() {
    let draft = Town::of(&["ann", "bob"]).set("comet.heartbeat_interval_ms", 300).set("comet.ping_after_ms", 200);
    let town = draft.set("comet.heartbeat_timeout_ms", 700).start().await;
    let mut sockets = WebSockets::start();
    join(&mut sockets, &town, "ann").await;
    let mut silent = town.line("bob").await;
    assert_eq!(silent.closed().await.map(|code| code.name()), Some("heartbeat_timeout"));
    let beat = sockets.ask("ann", 2, "heartbeat", json!({})).await;
    assert_eq!(beat["type"], "heartbeatReply", "it outlived one who came later and said nothing");
    sockets.close("ann").await;
    crate::town::until("nobody is left", async || town.metric("skein_comet_connections").await == 0.0).await;
}
