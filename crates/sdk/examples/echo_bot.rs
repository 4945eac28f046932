//! A bot that accepts every friend and says back what it hears.
//!
//! ```sh
//! SKEIN_EMAIL=bot@example.org SKEIN_PASSWORD=… cargo run -p skein-sdk --example echo_bot -- http://127.0.0.1:8080
//! ```
//!
//! It works off the state, not the events: whatever is unread is answered, also what came while it was away. The key of
//! each answer is made from the message, so that a crash between answering and marking as read answers nothing twice.

use std::env;

use anyhow::Context as _;
use skein_sdk::{Client, Error, Event, Item, v1};

/// Lines of one look at a conversation: what is older stays unanswered.
const LINES_MAX: usize = 100;

#[tokio::main(flavor = "current_thread")]
async fn main() -> anyhow::Result<()> {
    let client = log_in().await?;
    let mut events = client.events();
    client.synced().await?;
    println!("echoing as {}", client.account().await?.map(|account| account.nickname).unwrap_or_default());
    catch_up(&client).await?;
    while let Some(event) = events.next().await {
        match event {
            Event::FriendRequest(_) | Event::Synced | Event::Message(_) | Event::Lagged => catch_up(&client).await?,
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
async fn catch_up(client: &Client) -> anyhow::Result<()> {
    match answer_all(client).await {
        Err(Error::Refused { code, message, .. }) => eprintln!("refused: {code}: {message}"),
        Err(Error::Timeout | Error::Closed(_) | Error::Network(_) | Error::NotConnected) => {}
        other => other?,
    }
    Ok(())
}

async fn answer_all(client: &Client) -> Result<(), Error> {
    let me = client.account().await?.map_or(0, |account| account.uid);
    for request in client.requests("").await?.requests {
        if request.to == me && request.state() == v1::RequestState::Pending {
            client.accept(request.id).await?;
        }
    }
    for conversation in client.conversations().await? {
        let cursor = conversation.me.clone().unwrap_or_default();
        if cursor.unread > 0 && cursor.visible_to == 0 {
            answer(client, &conversation, cursor.read, me).await?;
        }
    }
    Ok(())
}

async fn answer(client: &Client, conversation: &v1::Conversation, read: i64, me: i64) -> Result<(), Error> {
    let view = client.history(conversation.id, 0, LINES_MAX).await?;
    for item in &view.items {
        let Item::Message(message) = item else { continue };
        let Some(body) = message.body.clone().filter(|_| message.seq > read && message.author != me) else { continue };
        let key = format!("echo-{}-{}", conversation.id, message.seq);
        match client.send_with_key(conversation.id, key, body, message.seq).await {
            // It waits to be sent already.
            Ok(_) | Err(Error::KeyInUse) => {}
            Err(error) => return Err(error),
        }
    }
    client.mark_read(conversation.id, view.position).await
}
