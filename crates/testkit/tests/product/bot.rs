//! The SDK's echo bot, as its own program and somebody to talk to.

use crate::line::Line;
use crate::town::Town;
use skein_protocol::v1::entry::Event;
use skein_protocol::{Push, Reply, Request, v1};
use std::process::Stdio;
use std::time::Duration;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};

async fn start(town: &Town, password: &str) -> Child {
    let server = format!("http://{}", town.server.endpoints().unwrap().public);
    let mut command = Command::new(env!("CARGO_BIN_EXE_skein-echo-bot"));
    command.arg(server).env("SKEIN_EMAIL", "bot@example.org").env("SKEIN_PASSWORD", password);
    let mut bot = command.stdout(Stdio::piped()).kill_on_drop(true).spawn().unwrap();
    let mut said = BufReader::new(bot.stdout.take().unwrap()).lines();
    let first = tokio::time::timeout(Duration::from_secs(20), said.next_line()).await.expect("it comes up").unwrap();
    assert_eq!(first.as_deref(), Some("echoing as bot"));
    bot
}

/// What the bot answered: its text, and to which message.
async fn echo(line: &mut Line, chat: i64, bot: i64) -> (String, i64) {
    let answer = |entry: v1::Entry| match entry.event {
        Some(Event::Message(message)) if entry.author == bot => Some((words(&message), message.reply_to)),
        _ => None,
    };
    line.push(|push| match push {
        Push::ServerMessages(pushed) if pushed.conversation == chat => pushed.entries.into_iter().find_map(answer),
        _ => None,
    })
    .await
}

fn words(message: &v1::Message) -> String {
    let segments = message.body.iter().flat_map(|body| &body.segments);
    let texts = segments.filter_map(|segment| match &segment.part {
        Some(v1::segment::Part::Text(text)) => Some(text.as_str()),
        _ => None,
    });
    texts.collect()
}

#[tokio::test]
async fn it_says_back_what_it_hears_and_what_it_missed() {
    let town = Town::of(&["ann", "bot"]).start().await;
    let password = town.password("bot").await;
    let bot = town.uid("bot");
    let mut ann = town.line("ann").await;
    let chat = ann.direct_with(bot).await;
    let early = ann.send(chat, "are you up yet?").await;
    let mut running = start(&town, &password).await;
    assert_eq!(echo(&mut ann, chat, bot).await, ("are you up yet?".to_owned(), early));
    let seq = ann.send(chat, "你好，回声！").await;
    assert_eq!(echo(&mut ann, chat, bot).await, ("你好，回声！".to_owned(), seq));

    // What is said while it is dead is answered by the next one, once; what has its answer is not answered again.
    running.kill().await.unwrap();
    let missed = ann.send(chat, "still there?").await;
    let _running = start(&town, &password).await;
    assert_eq!(echo(&mut ann, chat, bot).await, ("still there?".to_owned(), missed));
    let (_, log) = ann.sync("", chat).await;
    assert_eq!(log.len(), 6, "{log:?}");
}

#[tokio::test]
async fn it_accepts_whoever_asks_and_talks_to_them() {
    let town = Town::strangers(&["cat", "bot"]).start().await;
    let password = town.password("bot").await;
    let bot = town.uid("bot");
    let _running = start(&town, &password).await;
    let mut cat = town.line("cat").await;
    let asked = cat.ask(Request::Apply(v1::Apply { uid: bot, greeting: "hi".into() })).await;
    assert!(!matches!(asked, Reply::Error(_)), "{asked:?}");
    cat.user_event(|event| matches!(event, v1::user_event::Event::Friend(friend) if friend.uid == bot).then_some(())).await;
    let chat = cat.direct_with(bot).await;
    let seq = cat.send(chat, "meow").await;
    assert_eq!(echo(&mut cat, chat, bot).await, ("meow".to_owned(), seq));
}
