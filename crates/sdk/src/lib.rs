//! The Rust client of Skein.
//!
//! # Register
//!
//! A client is made from the address of a server. Registering takes a code that is sent to the e-mail address.
//!
//! ```no_run
//! use skein_sdk::{Client, Purpose};
//!
//! # async fn register() -> Result<(), skein_sdk::Error> {
//! let client = Client::builder().server("http://127.0.0.1:8080").build().await?;
//! client.request_code("ann@example.org", Purpose::Register).await?;
//! // The six digits come by mail (without SMTP: http://127.0.0.1:8080/dev/mailbox).
//! let code = "123456";
//! let uid = client.register("ann@example.org", code, "correct horse battery", "Ann").await?;
//! println!("welcome, user {uid}");
//! # Ok(())
//! # }
//! ```
//!
//! # Log in
//!
//! With a store the client remembers its session and its history. [`Client::log_in`] is needed once: the next start with
//! the same file is logged in already.
//!
//! ```no_run
//! # use skein_sdk::Client;
//! # async fn log_in() -> Result<(), skein_sdk::Error> {
//! let client = Client::builder().server("http://127.0.0.1:8080").store("ann.skein").name("my-chat/1.0").build().await?;
//! let is_logged_in = client.account().await?.is_some_and(|account| account.is_logged_in());
//! if !is_logged_in {
//!     client.log_in("ann@example.org", "correct horse battery").await?;
//! }
//! client.synced().await?;
//! # Ok(())
//! # }
//! ```
//!
//! # Find a friend
//!
//! ```no_run
//! # use skein_sdk::{Client, v1};
//! # async fn befriend(client: Client) -> Result<(), skein_sdk::Error> {
//! let found = client.search(v1::Search { nickname: "Bo".into(), ..Default::default() }).await?;
//! for profile in &found.profiles {
//!     println!("{} is {}", profile.uid, profile.nickname);
//! }
//! if let Some(bob) = found.profiles.first() {
//!     client.apply(bob.uid, "hello, it is Ann").await?;
//! }
//! // Bob's side accepts what waits for him.
//! for request in client.requests("").await?.requests {
//!     if request.state() == v1::RequestState::Pending {
//!         client.accept(request.id).await?;
//!     }
//! }
//! # Ok(())
//! # }
//! ```
//!
//! # Chat
//!
//! Sending stores the message first and shows it as an *echo* at the end of the timeline; it goes out as soon as it can,
//! in order, and exactly once, whatever happens to the network or this program. [`SendHandle::acked`] waits until the
//! server has it on disk; nobody has to wait.
//!
//! ```no_run
//! # use skein_sdk::{Client, EchoState, Item, text_of};
//! # async fn chat(client: Client, bob: i64) -> Result<(), skein_sdk::Error> {
//! let conversation = client.open_direct(bob).await?;
//! let sent = client.send_text(conversation.id, "hi Bob").await?;
//! println!("stored as number {}", sent.acked().await?.seq);
//!
//! let timeline = client.timeline(conversation.id).await?;
//! for item in &timeline.items {
//!     match item {
//!         Item::Message(message) => println!("{}: {}", message.author, message.body.as_ref().map(text_of).unwrap_or_default()),
//!         Item::Event(entry) => println!("-- {:?}", entry.event),
//!         Item::Pending(echo) => match &echo.state {
//!             EchoState::Failed { code } => println!("not sent ({code}): {}", text_of(&echo.body)),
//!             _ => println!("… {}", text_of(&echo.body)),
//!         },
//!     }
//! }
//! client.mark_read(conversation.id, timeline.position).await?;
//! # Ok(())
//! # }
//! ```
//!
//! # Stay current
//!
//! Events say that something changed; the state is the truth. A reader that was too slow hears [`Event::Lagged`] and
//! reads the state again, as at the start.
//!
//! ```no_run
//! # use skein_sdk::{Client, Event};
//! # async fn follow(client: Client) -> Result<(), skein_sdk::Error> {
//! let mut events = client.events();
//! while let Some(event) = events.next().await {
//!     match event {
//!         Event::ConversationChanged(id) => println!("{:?}", client.timeline(id).await?.items.last()),
//!         Event::Disconnected { retry_in, .. } => println!("off line, trying again in {retry_in:?}"),
//!         Event::LoggedOut { code, .. } => println!("logged out: {code}"),
//!         Event::Lagged => println!("{} conversations", client.conversations().await?.len()),
//!         _ => {}
//!     }
//! }
//! # Ok(())
//! # }
//! ```
//!
//! # Off line
//!
//! [`Client::conversations`], [`Client::timeline`] and [`Client::send_text`] need no network. A client that comes back
//! asks for what it missed and sends what waits; nothing shows twice. Older messages come with [`Client::history`].
//! After a long absence a busy conversation begins anew with its newest messages, and history fetches the rest as it is
//! looked at.
//!
//! # Below
//!
//! [`connection::Connection`] is one connection without store, retries or reconnects: for load generators, checkers and
//! those who keep state elsewhere.
//!
//! **Invariant:** push is a hint, sync is the truth: any push may be lost, repeated or late without a message lost or
//! doubled here.
//!
//! **Invariant:** a message keeps its idempotency key from the moment it is stored until its entry is in the log.

mod address;
mod backoff;
mod client;
pub mod connection;
mod error;
mod event;
mod gate;
mod outbox;
mod reduce;
mod session;
mod store;
mod timeline;

pub use skein_protocol::{ErrorCode, Push, Reply, Request, v1};

pub use client::{Builder, Client, SendHandle, Transport, text, text_of};
pub use error::{CloseReason, Error, Retry};
pub use event::{Event, Events};
pub use gate::{Account, Comet, Device, DeviceClass, Gate, LoggedIn, Purpose, Ticket};
pub use store::{Echo, EchoState, Item, Person, TimelineView};
