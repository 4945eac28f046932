//! From an e-mail code to a log-out: what two people do, what is typed into it, and what stays behind.

use crate::http::Api;
use crate::line::{Line, refused};
use crate::peers::{MailSink, code_in};
use crate::town::{Draft, Town, until};
use serde_json::{Value, json};
use skein_protocol::close::CloseCode;
use skein_protocol::{Reply, Request, v1};
use skein_testkit::wire::{Endpoints, Transport};
use std::path::Path;

/// Where the codes come out.
enum Codes {
    Mail(Box<MailSink>),
    /// `/dev/mailbox`, and how many mails were looked at.
    Mailbox(Api, usize),
}

impl Codes {
    async fn ask(&mut self, api: &Api, email: &str, purpose: &str) -> String {
        api.post("/api/v1/code", json!({"email": email, "purpose": purpose})).await.ok();
        match self {
            Codes::Mail(sink) => {
                let (to, code) = sink.next_code().await;
                assert_eq!(to, email);
                code
            }
            Codes::Mailbox(mailbox, seen) => {
                let mails = async || mailbox.get("/dev/mailbox").await.ok().as_array().unwrap().clone();
                until("the mail is in the box", async || mails().await.len() > *seen).await;
                *seen += 1;
                let newest = &mails().await[0];
                assert_eq!(newest["to"], email);
                code_in(newest["text"].as_str().unwrap())
            }
        }
    }
}

/// Everything the two of them would not want to be read: (what it is, text).
type Secrets = Vec<(&'static str, String)>;

const OLD: &str = "correct horse battery";
const NEW: &str = "staple-and-lighthouse";

/// Of somebody with a password.
pub async fn log_in(api: &Api, email: &str, password: &str, class: &str) -> crate::http::Answer {
    let body = json!({"email": email, "password": password, "device_class": class, "client": "product test"});
    api.post("/api/v1/login", body).await
}

async fn register(api: &Api, codes: &mut Codes, email: &str, nickname: &str) -> (i64, String) {
    let code = codes.ask(api, email, "register").await;
    let body = |code: &str| json!({"email": email, "code": code, "password": OLD, "nickname": nickname});
    let wrong = if code == "000000" { "000001" } else { "000000" };
    assert_eq!(api.post("/api/v1/register", body(wrong)).await.code(), "code_wrong");
    let reset_with_it = json!({"email": email, "code": code, "password": NEW});
    assert!(api.post("/api/v1/password/reset", reset_with_it).await.status >= 400, "a code is good for its purpose only");
    let registered = api.post("/api/v1/register", body(&code)).await.ok();
    assert!(api.post("/api/v1/register", body(&code)).await.status >= 400, "a code is good once");
    (number(&registered["uid"]), code)
}

fn number(value: &Value) -> i64 {
    value.as_str().and_then(|text| text.parse().ok()).unwrap_or_else(|| panic!("no number in a string: {value}"))
}

/// Where log-in sends a client, and with which token.
async fn line_of(logged_in: &Value) -> Line {
    let tcp = logged_in["comet"]["tcp"].as_str().unwrap().parse().unwrap();
    let at = Endpoints { public: tcp, tcp };
    Line::open(at, Transport::Tcp, logged_in["token"].as_str().unwrap()).await
}

/// Registration, reset, log-in, friends, live chat, history, offline messages, log-out.
async fn story(town: &Town, codes: &mut Codes) -> Secrets {
    let api = town.api();
    let mut secrets: Secrets = vec![("old password", OLD.into()), ("new password", NEW.into())];

    let (ann_uid, code) = register(&api, codes, "ann@example.org", "Ann").await;
    secrets.push(("code", code));
    let (bob_uid, code) = register(&api, codes, "bob@example.org", "Bob").await;
    secrets.push(("code", code));

    assert_eq!(log_in(&api, "ann@example.org", NEW, "desktop").await.code(), "bad_credentials");
    assert_eq!(log_in(&api, "nobody@example.org", OLD, "desktop").await.code(), "bad_credentials");
    let first = log_in(&api, "ann@example.org", OLD, "desktop").await.ok();
    let code = codes.ask(&api, "ann@example.org", "reset").await;
    api.post("/api/v1/password/reset", json!({"email": "ann@example.org", "code": code, "password": NEW})).await.ok();
    assert_eq!(log_in(&api, "ann@example.org", OLD, "desktop").await.code(), "bad_credentials");
    let old_token = first["token"].as_str().unwrap();
    assert_eq!(api.bearer(old_token).get("/api/v1/profile").await.code(), "unauthorized", "a reset ends the sessions");
    secrets.extend([("code", code), ("token", old_token.to_owned())]);

    let ann_in = log_in(&api, "ann@example.org", NEW, "desktop").await.ok();
    let bob_in = log_in(&api, "bob@example.org", OLD, "mobile").await.ok();
    assert_eq!((number(&ann_in["uid"]), number(&bob_in["uid"])), (ann_uid, bob_uid));
    let token = |logged_in: &Value| logged_in["token"].as_str().unwrap().to_owned();
    secrets.extend([("token", token(&ann_in)), ("token", token(&bob_in))]);
    let (ann_api, bob_api) = (api.bearer(&token(&ann_in)), api.bearer(&token(&bob_in)));
    let (mut ann, mut bob) = (line_of(&ann_in).await, line_of(&bob_in).await);

    let found = ann_api.get("/api/v1/search?nickname=Bo").await.ok();
    assert_eq!(found["profiles"][0]["uid"], bob_uid.to_string());
    let stranger = ann.ask(Request::OpenDirect(v1::OpenDirect { uid: bob_uid })).await;
    assert_eq!(refused(&stranger), "not_accepted", "a direct message needs friendship");
    ann_api.post("/api/v1/requests", json!({"uid": bob_uid.to_string(), "greeting": "it is Ann"})).await.ok();
    let request = bob.user_event(|event| if let v1::user_event::Event::Request(request) = event { Some(request) } else { None }).await;
    assert_eq!((request.from, request.greeting.as_str()), (ann_uid, "it is Ann"));
    bob_api.post(&format!("/api/v1/requests/{}", request.id), json!({"accept": true})).await.ok();
    let friend = ann.user_event(|event| if let v1::user_event::Event::Friend(friend) = event { Some(friend) } else { None }).await;
    assert_eq!((friend.uid, friend.nickname.as_str()), (bob_uid, "Bob"));

    let chat = ann.direct_with(bob_uid).await;
    ann.send(chat, "hello Bob").await;
    assert_eq!(bob.messages(chat, 1).await[0].1, "hello Bob");
    bob.send(chat, "你好 Ann").await;
    let last = ann.messages(chat, 2).await;
    assert_eq!(last[1].1, "你好 Ann");

    let (cursor, _) = bob.sync("", chat).await;
    drop(bob);
    for text in ["one", "two", "three"] {
        ann.send(chat, text).await;
    }
    let mut bob = line_of(&bob_in).await;
    let (_, missed) = bob.sync(&cursor, chat).await;
    assert_eq!(texts(&missed), ["one", "two", "three"]);

    let history = ann_api.get(&format!("/api/v1/conversations/{chat}/history?count=20")).await.ok();
    let messages = history["messages"].as_array().unwrap();
    let shown: Vec<&str> = messages.iter().map(|message| message["body"]["segments"][0]["text"].as_str().unwrap()).collect();
    assert_eq!(shown, ["hello Bob", "你好 Ann", "one", "two", "three"]);

    bob_api.ask("POST", "/api/v1/logout", None).await.ok();
    assert_eq!(bob.closed().await, Some(CloseCode::LoggedOut));
    assert_eq!(bob_api.get("/api/v1/profile").await.code(), "unauthorized");

    let web = log_in(&api, "bob@example.org", OLD, "web").await;
    assert_eq!(web.ok()["token"], Value::Null, "a browser gets the cookie alone");
    secrets.push(("cookie", cookie_of(&web)));
    secrets
}

pub fn cookie_of(answer: &crate::http::Answer) -> String {
    let set = answer.header("set-cookie").expect("a cookie");
    assert!(set.contains("HttpOnly") && set.contains("SameSite=Lax"), "{set}");
    set.split(['=', ';']).nth(1).unwrap().to_owned()
}

fn texts(messages: &[(i64, String)]) -> Vec<&str> {
    messages.iter().map(|(_, text)| text.as_str()).collect()
}

fn empty_town() -> Draft {
    Town::of(&[]).without_rates()
}

#[tokio::test]
async fn two_users_do_everything_in_order() {
    let sink = MailSink::start().await;
    let draft = sink.settings().into_iter().fold(empty_town(), |draft, (key, value)| draft.set(key, value));
    let town = draft.start().await;
    story(&town, &mut Codes::Mail(Box::new(sink))).await;
    assert_eq!(town.metric("skein_mails_total{outcome=\"sent\"").await, 3.0, "one mail a code");
    assert_eq!(town.api().get("/dev/mailbox").await.status, 404, "with SMTP there is no mailbox to look into");
}

#[tokio::test]
async fn no_secret_stays_in_log_or_store() {
    let sink = MailSink::start().await;
    let draft = sink.settings().into_iter().fold(empty_town(), |draft, (key, value)| draft.set(key, value));
    let mut town = draft.set("telemetry.log", "trace").start().await;
    let mut secrets = story(&town, &mut Codes::Mail(Box::new(sink))).await;
    secrets.push(("mail password", format!("\"{}\"", MailSink::PASSWORD)));
    secrets.push(("internal secret", std::fs::read_to_string(town.data().join("internal.secret")).unwrap().trim().to_owned()));
    secrets.push(("API key", std::fs::read_to_string(town.data().join("push-api.key")).unwrap().trim().to_owned()));
    assert!(town.server.terminate().await.unwrap().success());

    let log = town.log();
    assert!(log.contains("account.log_in"), "the log holds the story");
    for (what, secret) in &secrets {
        let line = log.lines().find(|line| line.contains(secret.as_str()));
        assert_eq!(line, None, "a {what} is in the log");
    }
    let kept = store_of(town.data());
    assert!(contains(&kept, b"$argon2id$"), "passwords are kept as slow hashes");
    for (what, secret) in secrets.iter().filter(|(what, _)| *what != "code") {
        assert!(!contains(&kept, secret.as_bytes()), "a {what} is in the store");
    }
}

/// All files of the store, one behind the other.
fn store_of(data: &Path) -> Vec<u8> {
    let files = std::fs::read_dir(data).unwrap().map(|entry| entry.unwrap().path());
    let stores = files.filter(|path| path.file_name().unwrap().to_string_lossy().starts_with("skein.db"));
    stores.flat_map(|path| std::fs::read(path).unwrap()).collect()
}

fn contains(bytes: &[u8], wanted: &[u8]) -> bool {
    bytes.windows(wanted.len()).any(|window| window == wanted)
}

#[tokio::test]
async fn without_smtp_codes_are_shown_on_this_machine_only() {
    let town = empty_town().start().await;
    let mailbox = town.api().with("accept", "application/json");
    let secrets = story(&town, &mut Codes::Mailbox(mailbox.clone(), 0)).await;
    let log = town.log();
    for (what, secret) in &secrets {
        let mut lines = log.lines().filter(|line| line.contains(secret.as_str()));
        match *what {
            "code" => assert!(lines.next().is_some_and(|line| line.starts_with("mail to ")), "it is printed for whoever sits here"),
            _ => assert_eq!(lines.next(), None, "a {what} is in the log"),
        }
        assert_eq!(lines.next(), None, "a {what} is in no other line");
    }
    assert_eq!(mailbox.with("x-forwarded-for", "203.0.113.7").get("/dev/mailbox").await.code(), "forbidden");
}

#[tokio::test]
async fn what_looks_like_sql_is_stored_as_it_was_typed() {
    const CORPUS: [&str; 8] = [
        "' OR 1=1 --",
        "'; DROP TABLE users; --",
        "\" OR \"\"=\"",
        "1; UPDATE sessions SET uid=1",
        "%' UNION SELECT 1,2,3 --",
        "\\' OR 1=1 #",
        "a%_b[c]*?",
        "Bob'); DELETE FROM messages;--",
    ];
    let town = Town::of(&["ann", "bob"]).without_rates().start().await;
    let api = town.api_of("ann");
    let mut ann = town.line("ann").await;
    let chat = ann.direct_with(town.uid("bob")).await;
    let bob = town.uid("bob");
    for (n, text) in CORPUS.into_iter().enumerate() {
        let shown = api.ask("PATCH", "/api/v1/profile", Some(json!({"nickname": text, "signature": text}))).await.ok();
        assert_eq!((&shown["nickname"], &shown["signature"]), (&json!(text), &json!(text)));
        let friend = api.ask("PATCH", &format!("/api/v1/friends/{bob}"), Some(json!({"remark": text}))).await.ok();
        assert_eq!(friend["remark"], text);
        let key = text.replace(' ', "_");
        let sent = ann.send_with(chat, &key, text).await;
        assert!(matches!(sent, Reply::Ack(_)), "{sent:?}");
        let room = api.post("/api/v1/rooms", json!({"key": format!("{n}{key}"), "title": text})).await.ok();
        assert_eq!(room["title"], text);

        let found = api.get(&format!("/api/v1/search?nickname={}", percent(text))).await.ok();
        assert_eq!(found["profiles"].as_array().unwrap().len(), 1, "{text} finds the one who is called so");
        for path in ["search?email=", "search?uid=", "profiles?uids=", "sync?cursor=", "friends?cursor="] {
            let answer = api.get(&format!("/api/v1/{path}{}", percent(text))).await;
            let nothing = answer.status == 200 && answer.json()["profiles"].as_array().is_some_and(Vec::is_empty);
            assert!(nothing || (400..500).contains(&answer.status), "{path}{text}: {} {}", answer.status, answer.text);
        }
        assert_eq!(log_in(&api, text, text, "cli").await.code(), "bad_email");
        assert_eq!(log_in(&api, "ann@example.org", text, "cli").await.code(), "bad_credentials");
        let secret = api.bearer(&percent(text)).get("/api/v1/profile").await;
        assert!(secret.status == 401 || secret.status == 200, "{}", secret.text);
    }
    assert_eq!(texts(&ann.history_after(chat, 0).await), CORPUS);
    assert_eq!(town.api_of("bob").get("/api/v1/friends").await.ok()["friends"].as_array().unwrap().len(), 1);
}

fn percent(text: &str) -> String {
    text.bytes().map(|byte| format!("%{byte:02X}")).collect()
}

#[tokio::test]
async fn other_gateways_may_ask_whose_secret_it_is() {
    let town = Town::of(&["ann"]).start().await;
    let push = Api::new(town.listening().push.unwrap());
    let ann = json!({"token": town.token("ann")});
    let key = std::fs::read_to_string(town.data().join("push-api.key")).unwrap();
    let known = push.bearer(key.trim());
    let told = known.post("/logic/verify", ann.clone()).await.ok();
    assert_eq!((number(&told["uid"]), &told["nickname"]), (town.uid("ann"), &json!("ann")));
    let same = known.post("/logic/verify", json!({"cookie": town.token("ann")})).await.ok();
    assert_eq!(same["uid"], told["uid"]);
    town.api_of("ann").ask("POST", "/api/v1/logout", None).await.ok();
    assert_eq!(known.post("/logic/verify", ann.clone()).await.code(), "unauthorized");
    assert_eq!(push.post("/logic/verify", ann).await.status, 403, "without the API key nothing is told");
    assert_eq!(town.api().post("/logic/verify", json!({})).await.status, 404, "the public listener has no such path");
}

#[tokio::test]
async fn log_in_names_the_comet_that_then_takes_the_client() {
    let town = Town::of(&["ann"]).start().await;
    let password = town.password("ann").await;
    let hops = async || {
        let gate = town.metric("skein_http_requests_total{method=\"POST\",route=\"/api/v1/login\"").await;
        [gate, town.metric("skein_log_ins_total").await, town.metric("skein_registry_sessions").await]
    };
    assert_eq!(hops().await, [0.0, 0.0, 0.0]);
    let logged_in = log_in(&town.api(), "ann@example.org", &password, "desktop").await.ok();
    assert_eq!(hops().await, [1.0, 1.0, 0.0], "gate and logic did their part, nobody is connected yet");
    let line = line_of(&logged_in).await;
    assert_eq!(hops().await, [1.0, 1.0, 1.0]);
    assert_eq!(line.hello.node, logged_in["comet"]["node"].as_str().unwrap(), "the client is where it was sent");
    assert_eq!(line.hello.uid, number(&logged_in["uid"]));
}
