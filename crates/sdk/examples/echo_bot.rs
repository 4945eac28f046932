//! A bot that accepts every friend and says back what it hears.
//!
//! ```sh
//! SKEIN_EMAIL=bot@example.org SKEIN_PASSWORD=… cargo run -p skein-sdk --example echo_bot -- http://127.0.0.1:8080
//! ```
//!
//! It works off the state, not the events: what has no answer gets one, also what came while it was away. An answer
//! replies to its message, which is how the next start knows, and its key is made from the message, so that two starts
//! at once answer it once.

use std::collections::{HashMap, HashSet};
use std::env;

use anyhow::Context as _;
use skein_sdk::{Client, Error, Event, Item, v1};

/// Lines of one look at a conversation: what is older stays unanswered.
const LINES_MAX: usize = 300;

/// Up to which seq each conversation was looked at.
type Seen = HashMap<i64, i64>;

#[tokio::main(flavor = "current_thread")]
async fn main() -> anyhow::Result<()> {
    let client = log_in().await?;
    let mut events = client.events();
    client.synced().await?;
    println!("echoing as {}", client.account().await?.map(|account| account.nickname).unwrap_or_default());
    let mut seen = Seen::new();
    catch_up(&client, &mut seen).await?;
    while let Some(event) = events.next().await {
        match event {
            Event::FriendRequest(_) | Event::Synced | Event::Message(_) | Event::Lagged => catch_up(&client, &mut seen).await?,
            Event::LoggedOut { code, .. } | Event::Stopped { code, .. } => anyhow::bail!("session ended: {code}"),
            _ => {}
        }
    }
    Ok(())
}

async fn log_in() -> anyhow::Result<Client> {
    let server = env::args().nth(1).or_else(|| env::var("SKEIN_SERVER").ok()).unwrap_or_else(|| "http://127.0.0.1:8080".to_owned());
    let email = env::var("SKEIN_EMAIL").context("set SKEIN_EMAIL")?;
    let password = env::var("SKEIN_PASSWORD").context("set SKEIN_PASSWORD")?;
    let client = Client::builder().server(server).name("echo-bot/1").build().await?;
    client.log_in(&email, &password).await.context("log in")?;
    Ok(client)
}

/// A refusal is about one friend or conversation, and a lost link brings the next [`Event::Synced`].
async fn catch_up(client: &Client, seen: &mut Seen) -> anyhow::Result<()> {
    match answer_all(client, seen).await {
        Err(Error::Refused { code, message, .. }) => eprintln!("refused: {code}: {message}"),
        Err(Error::Timeout | Error::Closed(_) | Error::Network(_) | Error::NotConnected) => {}
        other => other?,
    }
    Ok(())
}

async fn answer_all(client: &Client, seen: &mut Seen) -> Result<(), Error> {
    let me = client.account().await?.map_or(0, |account| account.uid);
    for request in client.requests("").await?.requests {
        if request.to == me && request.state() == v1::RequestState::Pending {
            client.accept(request.id).await?;
        }
    }
    for conversation in client.conversations().await? {
        let is_member = conversation.me.as_ref().is_none_or(|me| me.visible_to == 0);
        let seen = seen.entry(conversation.id).or_default();
        if is_member && conversation.head > *seen {
            *seen = answer(client, conversation.id, *seen, me).await?;
        }
    }
    Ok(())
}

/// Tells how far it looked.
async fn answer(client: &Client, conversation: i64, seen: i64, me: i64) -> Result<i64, Error> {
    let view = client.history(conversation, 0, LINES_MAX).await?;
    let answered: HashSet<i64> = view.items.iter().filter_map(|item| reply_of(item, me)).collect();
    for item in &view.items {
        let Item::Message(message) = item else { continue };
        if message.seq <= seen || message.author == me || answered.contains(&message.seq) {
            continue;
        }
        let Some(body) = message.body.clone() else { continue };
        let key = format!("echo-{conversation}-{}", message.seq);
        match client.send_with_key(conversation, key, body, message.seq).await {
            // It waits to be sent already.
            Ok(_) | Err(Error::KeyInUse) => {}
            Err(error) => return Err(error),
        }
    }
    client.mark_read(conversation, view.position).await?;
    Ok(view.position)
}

/// The message that a message of mine answers, sent or waiting.
fn reply_of(item: &Item, me: i64) -> Option<i64> {
    match item {
        Item::Message(message) if message.author == me => Some(message.reply_to),
        Item::Pending(echo) => Some(echo.reply_to),
        Item::Message(_) | Item::Event(_) => None,
    }
}
