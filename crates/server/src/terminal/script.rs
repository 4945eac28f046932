//! `skein send` and `skein tail`: for scripts.
//!
//! Results go to standard output, everything else to standard error. A failure names its stable code.

use std::collections::HashMap;
use std::io::{Read, Write};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, Result};
use serde_json::json;
use skein_sdk::{Client, Error, Event, Item, text_of, v1};
use tokio::time::timeout;

use super::account::{self, Opened, Use};
use super::cells::harmless_line;
use super::time::Zone;
use super::{SendArgs, TailArgs};

/// For what was missed and for searching the addressee.
const SYNC_TIMEOUT: Duration = Duration::from_secs(15);
/// Longest text that is read from standard input.
const TEXT_BYTES_MAX: u64 = 256 * 1024;
/// Messages of one conversation that are caught up at most; older ones are left to `skein chat`.
const CATCH_UP_MAX: usize = 10_000;
const PAGE: usize = 100;

/// Prints the code, for scripts, and what it means, for people.
fn failed(error: &anyhow::Error) -> ExitCode {
    match error.downcast_ref::<Error>() {
        // Its text begins with the code.
        Some(error @ Error::Refused { .. }) => eprintln!("skein: {error}"),
        Some(error) => eprintln!("skein: {}: {error}", error.code()),
        None => eprintln!("skein: failed: {error:#}"),
    }
    ExitCode::FAILURE
}

pub async fn send(args: SendArgs) -> Result<ExitCode> {
    match send_one(&args).await {
        Ok(ack) => {
            println!("{}", json!({ "conversation": ack.conversation, "seq": ack.seq, "at_ms": ack.at_ms, "key": ack.key }));
            Ok(ExitCode::SUCCESS)
        }
        Err(error) => Ok(failed(&error)),
    }
}

async fn send_one(args: &SendArgs) -> Result<v1::Ack> {
    let text = match args.text.as_str() {
        "-" => read_text()?,
        text => text.to_owned(),
    };
    let client = account::open(&args.account, Use::Send).await?.client;
    let outcome = async {
        timeout(SYNC_TIMEOUT, client.synced()).await.map_err(|_| Error::NotConnected)??;
        let conversation = addressee(&client, &args.to).await?;
        let sent = client.send_text(conversation, text).await?;
        let key = sent.key().to_owned();
        match timeout(Duration::from_secs(args.timeout), sent.acked()).await {
            Ok(ack) => Ok(ack?),
            Err(_) => {
                eprintln!("skein: the message waits in the outbox as {key}");
                Err(Error::Timeout.into())
            }
        }
    }
    .await;
    client.close().await;
    outcome
}

fn read_text() -> Result<String> {
    let mut text = String::new();
    std::io::stdin().lock().take(TEXT_BYTES_MAX).read_to_string(&mut text).context("read standard input")?;
    Ok(text.trim_end_matches(['\n', '\r']).to_owned())
}

/// `c7`, a uid, an e-mail address, or a title.
async fn addressee(client: &Client, to: &str) -> Result<i64> {
    let conversations = client.conversations().await?;
    if let Some(id) = conversation_of(&conversations, to)? {
        return Ok(id);
    }
    let uid = match to.parse::<i64>() {
        Ok(uid) => uid,
        Err(_) if to.contains('@') => {
            let found = client.search(v1::Search { email: to.to_owned(), ..v1::Search::default() }).await?;
            found.profiles.first().map(|profile| profile.uid).ok_or_else(|| not_found(to))?
        }
        Err(_) => return Err(not_found(to).into()),
    };
    Ok(client.open_direct(uid).await?.id)
}

/// A title that several conversations carry names none of them: a message must not go to the wrong people.
fn conversation_of(conversations: &[v1::Conversation], name: &str) -> Result<Option<i64>, Error> {
    if let Some(number) = name.strip_prefix('c').and_then(|number| number.parse::<i64>().ok()) {
        return Ok(Some(number));
    }
    let titled: Vec<i64> =
        conversations.iter().filter(|known| !known.title.is_empty() && known.title == name).map(|known| known.id).collect();
    match titled.as_slice() {
        [] => Ok(None),
        [id] => Ok(Some(*id)),
        several => {
            let ids = several.iter().map(|id| format!("c{id}")).collect::<Vec<_>>().join(", ");
            Err(Error::refused(
                skein_sdk::ErrorCode::BadRequest,
                format!("{name}: several conversations have this title: say one of {ids}"),
            ))
        }
    }
}

fn not_found(what: &str) -> Error {
    Error::refused(skein_sdk::ErrorCode::NotFound, format!("{what}: no such user or conversation"))
}

pub async fn tail(args: TailArgs) -> Result<ExitCode> {
    match follow(&args).await {
        Ok(()) => Ok(ExitCode::SUCCESS),
        Err(error) if is_broken_pipe(&error) => Ok(ExitCode::SUCCESS),
        Err(error) => Ok(failed(&error)),
    }
}

/// The reader has gone: nobody is left to tell.
fn is_broken_pipe(error: &anyhow::Error) -> bool {
    error.downcast_ref::<std::io::Error>().is_some_and(|error| error.kind() == std::io::ErrorKind::BrokenPipe)
}

async fn follow(args: &TailArgs) -> Result<()> {
    let Opened { client, folder } = account::open(&args.account, Use::Tail).await?;
    let mut tail = Tail::new(client.clone(), folder.join("tail.json"), args.json).await?;
    let outcome = tokio::select! {
        outcome = tail.run(args.conversation.as_deref()) => outcome,
        _ = tokio::signal::ctrl_c() => Ok(()),
    };
    client.close().await;
    outcome
}

/// Prints messages in order per conversation, and keeps how far it got.
///
/// **Invariant:** a position is kept after its line is out: a run that is killed misses nothing, and at worst the next
/// one repeats its last line.
struct Tail {
    positions: PathBuf,
    client: Client,
    is_json: bool,
    zone: Zone,
    me: i64,
    /// The newest seq that needs no printing.
    printed: HashMap<i64, i64>,
    names: HashMap<i64, String>,
    only: Option<i64>,
}

impl Tail {
    async fn new(client: Client, positions: PathBuf, is_json: bool) -> Result<Self> {
        let me = client.account().await?.map_or(0, |account| account.uid);
        Ok(Self { positions, client, is_json, zone: Zone::of_system(), me, printed: HashMap::new(), names: HashMap::new(), only: None })
    }

    /// `None`: this is the first run.
    fn kept(&self) -> Result<Option<HashMap<i64, i64>>> {
        match std::fs::read(&self.positions) {
            Ok(text) => Ok(Some(serde_json::from_slice(&text).with_context(|| format!("read {}", self.positions.display()))?)),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error).with_context(|| format!("read {}", self.positions.display())),
        }
    }

    fn keep(&self) -> Result<()> {
        let new = self.positions.with_extension("new");
        let text = serde_json::to_vec(&self.printed).context("write positions")?;
        std::fs::write(&new, text).and_then(|()| std::fs::rename(&new, &self.positions)).with_context(|| format!("write {}", new.display()))
    }

    async fn run(&mut self, only: Option<&str>) -> Result<()> {
        let mut events = self.client.events();
        let kept = self.kept()?;
        self.client.synced().await?;
        let conversations = self.client.conversations().await?;
        match kept {
            Some(printed) => self.printed = printed,
            None => {
                for conversation in &conversations {
                    self.printed.insert(conversation.id, self.position(conversation.id).await?);
                }
                self.keep()?;
            }
        }
        if let Some(name) = only {
            self.only = Some(conversation_of(&conversations, name)?.or_else(|| name.parse().ok()).ok_or_else(|| not_found(name))?);
        }
        eprintln!("skein: following");
        self.print_all().await?;
        while let Some(event) = events.next().await {
            match event {
                Event::Message(message) => self.print_new(message.conversation).await?,
                Event::Lagged | Event::Synced => self.print_all().await?,
                Event::LoggedOut { code, reason } | Event::Stopped { code, reason } => {
                    return Err(Error::Refused { code, message: reason, retry_after_ms: 0, trace: String::new() }.into());
                }
                _ => {}
            }
        }
        Ok(())
    }

    async fn position(&self, conversation: i64) -> Result<i64> {
        Ok(self.client.timeline(conversation).await?.position)
    }

    async fn print_all(&mut self) -> Result<()> {
        for conversation in self.client.conversations().await? {
            self.print_new(conversation.id).await?;
        }
        Ok(())
    }

    async fn print_new(&mut self, conversation: i64) -> Result<()> {
        if self.only.is_some_and(|only| only != conversation) {
            return Ok(());
        }
        let mut view = self.client.timeline(conversation).await?;
        let position = view.position;
        // A server that was restored from a backup may be behind what was printed.
        let printed = self.printed.get(&conversation).copied().unwrap_or(0).min(position);
        if position == printed {
            return Ok(());
        }
        let mut new = Vec::new();
        loop {
            let first = view.items.iter().filter_map(Item::seq).next();
            let messages = view.items.into_iter().filter_map(|item| match item {
                Item::Message(message) if message.seq > printed && message.seq <= position => Some(message),
                _ => None,
            });
            new.extend(messages.rev());
            match first {
                Some(first) if first > printed + 1 && view.has_more && new.len() < CATCH_UP_MAX => {
                    view = self.client.history(conversation, first, PAGE).await?;
                }
                _ => break,
            }
        }
        for message in new.iter().rev() {
            self.print(message).await?;
        }
        self.printed.insert(conversation, position);
        self.keep()
    }

    async fn print(&mut self, message: &v1::MessageState) -> Result<()> {
        let name = self.name(message.author).await?;
        let text = message.body.as_ref().map(text_of).unwrap_or_default();
        let line = match self.is_json {
            true => json!({
                "conversation": message.conversation, "seq": message.seq, "at_ms": message.at_ms, "author": message.author, "name": name,
                "mine": message.author == self.me, "reply_to": message.reply_to, "recalled": message.recalled, "text": text,
            })
            .to_string(),
            false => {
                format!("{} c{} {}: {}", self.zone.clock(message.at_ms), message.conversation, harmless_line(&name), harmless_line(&text))
            }
        };
        let mut out = std::io::stdout().lock();
        writeln!(out, "{line}")?;
        out.flush()?;
        Ok(())
    }

    /// Asked for once; off line a number has to do.
    async fn name(&mut self, uid: i64) -> Result<String> {
        if let Some(name) = self.names.get(&uid) {
            return Ok(name.clone());
        }
        let mut person = self.client.person(uid).await?;
        if person.is_none() && self.client.is_online() && self.client.profiles(&[uid]).await.is_ok() {
            person = self.client.person(uid).await?;
        }
        let name = person.map_or_else(|| format!("#{uid}"), |person| person.name().to_owned());
        self.names.insert(uid, name.clone());
        Ok(name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_title_of_several_conversations_names_none() {
        let titled = |id: i64, title: &str| v1::Conversation { id, title: title.to_owned(), ..Default::default() };
        let known = [titled(3, "team"), titled(7, "team"), titled(9, "friends")];
        assert_eq!(conversation_of(&known, "friends").unwrap(), Some(9));
        assert_eq!(conversation_of(&known, "c7").unwrap(), Some(7));
        assert_eq!(conversation_of(&known, "nobody").unwrap(), None);
        let refused = conversation_of(&known, "team").unwrap_err().to_string();
        assert!(refused.contains("c3, c7"), "{refused}");
    }
}
