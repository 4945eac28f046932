//! A logged-in connection of one person: asks, and hears what it did not ask for.

use skein_protocol::close::CloseCode;
use skein_protocol::{Push, Reply, Request, v1};
use skein_testkit::device::timeline::text_body;
use skein_testkit::wire::{self, Buffers, Ears, Endpoints, Heard, Mouth, Transport};
use std::collections::VecDeque;
use std::time::Duration;

const PATIENCE: Duration = Duration::from_secs(20);

pub struct Line {
    pub mouth: Mouth,
    pub ears: Ears,
    pub hello: v1::Hello,
    /// Came while a reply was waited for.
    heard: VecDeque<Push>,
    keys: u32,
}

impl Line {
    pub async fn open(at: Endpoints, transport: Transport, token: &str) -> Self {
        Self::try_open(at, transport, token).await.unwrap()
    }

    pub async fn try_open(at: Endpoints, transport: Transport, token: &str) -> anyhow::Result<Self> {
        let (mouth, ears, hello) = wire::log_in(at, transport, Buffers::Usual, token).await?;
        Ok(Self { mouth, ears, hello, heard: VecDeque::new(), keys: 0 })
    }

    /// The reply, also if it is an error. Pushes that come in between are kept.
    pub async fn ask(&mut self, request: Request) -> Reply {
        let asked = self.mouth.ask(&request).await.unwrap();
        self.replies(&[asked]).await.remove(0)
    }

    /// To requests under way, in whatever order they come. Pushes in between are kept.
    pub async fn replies(&mut self, asked: &[i32]) -> Vec<Reply> {
        let mut replies = Vec::new();
        while replies.len() < asked.len() {
            match self.hear().await {
                Heard::Reply { seq, reply } if asked.contains(&seq) => replies.push(reply),
                Heard::Push(push) => self.heard.push_back(push),
                Heard::Closed(code) => panic!("closed with {code:?} instead of answers to {asked:?}"),
                Heard::Reply { .. } | Heard::Ping(_) => {}
            }
        }
        replies
    }

    /// Says something; returns its seq when it is on disk.
    pub async fn send(&mut self, conversation: i64, text: &str) -> i64 {
        self.keys += 1;
        let key = format!("{}-{}", self.hello.session, self.keys);
        match self.send_with(conversation, &key, text).await {
            Reply::Ack(ack) => ack.seq,
            other => panic!("{text}: {other:?}"),
        }
    }

    pub async fn send_with(&mut self, conversation: i64, key: &str, text: &str) -> Reply {
        let key = key.to_owned();
        self.ask(Request::Send(v1::Send { conversation, key, body: Some(text_body(text)), ..v1::Send::default() })).await
    }

    pub async fn direct_with(&mut self, uid: i64) -> i64 {
        match self.ask(Request::OpenDirect(v1::OpenDirect { uid })).await {
            Reply::ConversationReply(reply) => reply.conversation.unwrap().id,
            other => panic!("{other:?}"),
        }
    }

    pub async fn heartbeat(&mut self) {
        let reply = self.ask(Request::Heartbeat(v1::Heartbeat {})).await;
        assert!(matches!(reply, Reply::HeartbeatReply(_)), "{reply:?}");
    }

    /// The first push that is wanted; others before it are passed over.
    pub async fn push<T>(&mut self, wanted: impl Fn(Push) -> Option<T>) -> T {
        while let Some(push) = self.heard.pop_front() {
            if let Some(found) = wanted(push) {
                return found;
            }
        }
        loop {
            match self.hear().await {
                Heard::Push(push) => {
                    if let Some(found) = wanted(push) {
                        return found;
                    }
                }
                Heard::Closed(code) => panic!("closed with {code:?} instead of a push"),
                Heard::Reply { .. } | Heard::Ping(_) => {}
            }
        }
    }

    /// The next `count` messages of a conversation as they are pushed, as (seq, text).
    pub async fn messages(&mut self, conversation: i64, count: usize) -> Vec<(i64, String)> {
        let mut messages = Vec::new();
        while messages.len() < count {
            let pushed = self.push(|push| match push {
                Push::ServerMessages(pushed) if pushed.conversation == conversation => Some(pushed.entries),
                _ => None,
            });
            messages.extend(pushed.await.iter().filter_map(message));
        }
        messages
    }

    pub async fn user_event<T>(&mut self, wanted: impl Fn(v1::user_event::Event) -> Option<T>) -> T {
        let of = |push| match push {
            Push::UserEvents(pushed) => pushed.events.into_iter().filter_map(|event| event.event).find_map(&wanted),
            _ => None,
        };
        self.push(of).await
    }

    /// The reason with which the server ends this connection; whatever else it says is passed over.
    pub async fn closed(&mut self) -> Option<CloseCode> {
        loop {
            if let Heard::Closed(code) = self.hear().await {
                return code;
            }
        }
    }

    /// All pages since `cursor`: the new cursor, and every message of the conversation in the order of its log.
    pub async fn sync(&mut self, cursor: &str, conversation: i64) -> (String, Vec<(i64, String)>) {
        let mut cursor = cursor.to_owned();
        let mut messages = Vec::new();
        loop {
            let page = match self.ask(Request::Sync(v1::Sync { cursor })).await {
                Reply::SyncPage(page) => page,
                other => panic!("{other:?}"),
            };
            let changes = page.conversations.iter().filter(|change| change.conversation.as_ref().is_some_and(|c| c.id == conversation));
            messages.extend(changes.flat_map(|change| &change.entries).filter_map(message));
            cursor = page.cursor;
            if !page.more {
                return (cursor, messages);
            }
        }
    }

    /// Everything behind `last_message_id`, page by page, as (seq, text).
    pub async fn history_after(&mut self, conversation: i64, last_message_id: i64) -> Vec<(i64, String)> {
        let mut messages: Vec<(i64, String)> = Vec::new();
        loop {
            let last_message_id = messages.last().map_or(last_message_id, |(seq, _)| *seq);
            let request = v1::RequestHistory { conversation, last_message_id, count: 50, ..v1::RequestHistory::default() };
            match self.ask(Request::RequestHistory(request)).await {
                Reply::HistoryPage(page) => {
                    messages.extend(page.messages.iter().map(|state| (state.seq, text(state.body.as_ref()))));
                    if !page.has_more_messages {
                        return messages;
                    }
                }
                other => panic!("{other:?}"),
            }
        }
    }

    /// Pings are answered, as any client does.
    async fn hear(&mut self) -> Heard {
        let heard = tokio::time::timeout(PATIENCE, self.ears.hear()).await.expect("the server says something").unwrap();
        if let Heard::Ping(payload) = &heard {
            let _ = self.mouth.pong(payload).await;
        }
        heard
    }
}

fn message(entry: &v1::Entry) -> Option<(i64, String)> {
    match &entry.event {
        Some(v1::entry::Event::Message(message)) => Some((entry.seq, text(message.body.as_ref()))),
        _ => None,
    }
}

fn text(body: Option<&v1::Body>) -> String {
    let parts = body.iter().flat_map(|body| &body.segments).filter_map(|segment| segment.part.as_ref());
    let texts = parts.filter_map(|part| match part {
        v1::segment::Part::Text(text) => Some(text.as_str()),
        _ => None,
    });
    texts.collect()
}

/// The code of an error reply.
#[track_caller]
pub fn refused(reply: &Reply) -> &str {
    match reply {
        Reply::Error(error) => &error.code,
        other => panic!("not refused: {other:?}"),
    }
}
