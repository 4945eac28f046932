//! The Logic door: edge → logic. Commands share one ordered stream; the rest are single calls.

use crate::envelope::{failure, outcome, pack, reply, unpack};
use crate::outage::{Outage, reason_of};
use crate::peer::{Demand, MESSAGE_BYTES_MAX, Peer, Present, Secret, deadline};
use crate::proto::logic_client::LogicClient;
use crate::proto::logic_server::{Logic as LogicRpc, LogicServer};
use crate::proto::{self, Question};
use async_trait::async_trait;
use futures_util::future::BoxFuture;
use futures_util::stream::FuturesUnordered;
use futures_util::{FutureExt, Stream, StreamExt};
use serde::Serialize;
use serde::de::DeserializeOwned;
use skein_domain::command::{AccountCommand, AccountReply, Command, Reply};
use skein_domain::door::{CALL_DEADLINE_MS, Caller, Connect, Connected, Logic, NodeLoad, Origin};
use skein_domain::id::{ConnectionRef, NodeId};
use skein_domain::live::{GuestCommand, GuestReply, PushCommand, PushReply, Pusher};
use skein_domain::{Code, Error, Result};
use std::collections::HashMap;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};
use tokio::sync::mpsc::error::SendError;
use tokio::sync::{mpsc, oneshot};
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::sync::{CancellationToken, DropGuard};
use tonic::service::interceptor::InterceptedService;
use tonic::transport::Channel;
use tonic::{Request, Response, Status, Streaming};

/// Commands handed to the stream and not yet answered, per pair of processes; beyond it a command is answered `busy`.
const UNDER_WAY_MAX: usize = 8_192;
/// Commands one stream has running on the serving side; beyond it the stream is not read.
const RUNNING_MAX: usize = 1_024;

type Client = LogicClient<InterceptedService<Channel, Present>>;

// === impl RemoteLogic ===

/// Logic in another process. Cheap to clone; the stream ends with the last clone.
#[derive(Clone)]
pub struct RemoteLogic {
    client: Client,
    asks: mpsc::Sender<Ask>,
    _stream: Arc<DropGuard>,
}

struct Ask {
    caller: Caller,
    command: Command,
    answer: oneshot::Sender<Result<Reply>>,
}

impl RemoteLogic {
    pub fn new(peer: &Peer) -> Self {
        let client = LogicClient::with_interceptor(peer.channel.clone(), peer.present())
            .max_decoding_message_size(MESSAGE_BYTES_MAX)
            .max_encoding_message_size(MESSAGE_BYTES_MAX);
        let (asks, waiting) = mpsc::channel(UNDER_WAY_MAX);
        let shutdown = CancellationToken::new();
        tokio::spawn(keep_stream(peer.address.clone(), client.clone(), waiting, shutdown.clone()));
        Self { client, asks, _stream: Arc::new(shutdown.drop_guard()) }
    }

    async fn ask<Q: Serialize + Sync, A: DeserializeOwned>(&self, kind: &str, body: &Q) -> Result<A> {
        let question = Question { kind: kind.into(), body: pack(body)? };
        let mut client = self.client.clone();
        match tokio::time::timeout(deadline(), client.ask(question)).await {
            Ok(Ok(response)) => outcome(response.into_inner()),
            Ok(Err(status)) => Err(failure(status)),
            Err(_) => Err(Error::new(Code::Timeout, "logic did not answer in time")),
        }
    }
}

#[async_trait]
impl Logic for RemoteLogic {
    async fn connect(&self, connect: Connect) -> Result<Connected> {
        self.ask("connect", &connect).await
    }

    async fn disconnect(&self, node: NodeId, connection: ConnectionRef) -> Result<()> {
        self.ask("disconnect", &(node, connection)).await
    }

    async fn renew(&self, node: NodeLoad, live: Vec<ConnectionRef>) -> Result<Vec<ConnectionRef>> {
        self.ask("renew", &(node, live)).await
    }

    fn call(&self, caller: Caller, command: Command) -> BoxFuture<'static, Result<Reply>> {
        let (answer, answered) = oneshot::channel();
        if self.asks.try_send(Ask { caller, command, answer }).is_err() {
            metrics::counter!("skein_door_busy_total").increment(1);
            return std::future::ready(Err(busy())).boxed();
        }
        async move { tokio::time::timeout(deadline(), answered).await.map_or(Err(unknown_outcome()), |a| a.unwrap_or(Err(unknown_outcome()))) }
            .boxed()
    }

    async fn account(&self, from: Origin, command: AccountCommand) -> Result<AccountReply> {
        self.ask("account", &(from, command)).await
    }

    async fn guest(&self, command: GuestCommand) -> Result<GuestReply> {
        self.ask("guest", &command).await
    }

    async fn push(&self, pusher: Pusher, from: Origin, command: PushCommand) -> Result<PushReply> {
        self.ask("push", &(pusher, from, command)).await
    }
}

fn busy() -> Error {
    Error::new(Code::Busy, "too many commands under way").retry_after(500)
}

fn unknown_outcome() -> Error {
    Error::new(Code::RetrySameKey, "the link broke or the deadline passed; repeat with the same key").retry_after(200)
}

/// Keeps one command stream alive for as long as anybody holds the door.
async fn keep_stream(address: Arc<str>, client: Client, mut asks: mpsc::Receiver<Ask>, shutdown: CancellationToken) {
    let mut outage = Outage::default();
    loop {
        let ended = tokio::select! {
            ended = run_stream(client.clone(), &mut asks) => ended,
            () = shutdown.cancelled() => return,
        };
        let Ended::Broken { served, reason } = ended else { return };
        let wait = outage.count(served);
        if outage.is_to_tell(Instant::now()) {
            tracing::warn!(%address, reason, "logic stream ended, connecting again");
        }
        // What waits meanwhile runs into its own deadline, or goes with the next stream.
        tokio::select! {
            () = tokio::time::sleep(wait) => {}
            () = shutdown.cancelled() => return,
        }
    }
}

enum Ended {
    Closed,
    Broken { served: bool, reason: String },
}

async fn run_stream(mut client: Client, asks: &mut mpsc::Receiver<Ask>) -> Ended {
    let (commands, outgoing) = mpsc::channel(256);
    let opening = tokio::time::timeout(deadline(), client.commands(ReceiverStream::new(outgoing)));
    let mut replies = match opening.await {
        Ok(Ok(response)) => response.into_inner(),
        Ok(Err(status)) => return Ended::Broken { served: false, reason: reason_of(&status) },
        Err(_) => return Ended::Broken { served: false, reason: "no answer in time".into() },
    };
    let mut waiting = Waiting::default();
    loop {
        tokio::select! {
            reply = replies.message() => match reply {
                Ok(Some(reply)) => waiting.answer(reply),
                Ok(None) => return Ended::Broken { served: waiting.served, reason: "the other end closed it".into() },
                Err(status) => return Ended::Broken { served: waiting.served, reason: reason_of(&status) },
            },
            next = next_ask(&commands, asks) => match next {
                Ok(Some((room, ask))) => {
                    if let Some(command) = waiting.admit(ask) {
                        room.send(command);
                    }
                }
                Ok(None) => return Ended::Closed,
                Err(_) => return Ended::Broken { served: waiting.served, reason: "the link is gone".into() },
            },
        }
    }
}

/// What is asked next, once there is room for it on the way out; `None` once nobody holds the door. Whoever waits for that room
/// goes on reading replies: the other end makes room only by getting rid of them, so each would wait for the other for ever.
async fn next_ask<'c>(
    commands: &'c mpsc::Sender<proto::Command>,
    asks: &mut mpsc::Receiver<Ask>,
) -> Result<Option<(mpsc::Permit<'c, proto::Command>, Ask)>, SendError<()>> {
    let room = commands.reserve().await?;
    Ok(asks.recv().await.map(|ask| (room, ask)))
}

/// Who waits for a reply of one stream. Dropping it tells all of them that the outcome is unknown.
#[derive(Default)]
struct Waiting {
    answers: HashMap<u64, oneshot::Sender<Result<Reply>>>,
    last_id: u64,
    /// Something was answered.
    served: bool,
}

impl Waiting {
    fn answer(&mut self, reply: proto::Reply) {
        self.served = true;
        if let Some(answer) = self.answers.remove(&reply.id) {
            let _ = answer.send(outcome(reply));
        }
    }

    /// The command to send, unless the asker is told at once or has given up: to send it then would only make the outcome
    /// unknown to nobody.
    fn admit(&mut self, Ask { caller, command, answer }: Ask) -> Option<proto::Command> {
        if answer.is_closed() {
            return None;
        }
        match self.has_room().and_then(|()| Ok((pack(&caller)?, pack(&command)?))) {
            Ok((caller, command)) => {
                self.last_id += 1;
                self.answers.insert(self.last_id, answer);
                Some(proto::Command { id: self.last_id, caller, command, deadline_ms: CALL_DEADLINE_MS as u32 })
            }
            Err(error) => {
                let _ = answer.send(Err(error));
                None
            }
        }
    }

    fn has_room(&mut self) -> Result<()> {
        if self.answers.len() >= UNDER_WAY_MAX {
            self.answers.retain(|_, answer| !answer.is_closed());
        }
        if self.answers.len() >= UNDER_WAY_MAX { Err(busy()) } else { Ok(()) }
    }
}

// === the serving side ===

/// Lets other processes reach `logic`, with the secret only. Once `ending` is cancelled a command stream takes no more, and
/// ends when what it has taken is answered: by itself it lasts as long as the process at its other end.
pub fn logic_service(
    logic: Arc<dyn Logic>,
    secret: Secret,
    ending: CancellationToken,
) -> InterceptedService<LogicServer<impl LogicRpc>, impl tonic::service::Interceptor + Clone> {
    let server = LogicServer::new(Served { logic, ending })
        .max_decoding_message_size(MESSAGE_BYTES_MAX)
        .max_encoding_message_size(MESSAGE_BYTES_MAX);
    InterceptedService::new(server, Demand(secret))
}

struct Served {
    logic: Arc<dyn Logic>,
    ending: CancellationToken,
}

type Replies = Pin<Box<dyn Stream<Item = Result<proto::Reply, Status>> + Send>>;

#[async_trait]
impl LogicRpc for Served {
    type CommandsStream = Replies;

    async fn commands(&self, request: Request<Streaming<proto::Command>>) -> Result<Response<Replies>, Status> {
        let (replies, outgoing) = mpsc::channel(256);
        tokio::spawn(serve_commands(self.logic.clone(), request.into_inner(), replies, self.ending.clone()));
        Ok(Response::new(Box::pin(ReceiverStream::new(outgoing))))
    }

    async fn ask(&self, request: Request<Question>) -> Result<Response<proto::Reply>, Status> {
        let Question { kind, body } = request.into_inner();
        static IDS: AtomicU64 = AtomicU64::new(1);
        let id = IDS.fetch_add(1, Ordering::Relaxed);
        Ok(Response::new(self.answer(id, &kind, &body).await))
    }
}

impl Served {
    async fn answer(&self, id: u64, kind: &str, body: &[u8]) -> proto::Reply {
        macro_rules! answer {
            ($arguments:pat => $call:expr) => {
                match unpack(body) {
                    Ok($arguments) => reply(id, $call.await),
                    Err(error) => reply::<()>(id, Err(error)),
                }
            };
        }
        match kind {
            "connect" => answer!(connect => self.logic.connect(connect)),
            "disconnect" => answer!((node, connection) => self.logic.disconnect(node, connection)),
            "renew" => answer!((node, live) => self.logic.renew(node, live)),
            "account" => answer!((from, command) => self.logic.account(from, command)),
            "guest" => answer!(command => self.logic.guest(command)),
            "push" => answer!((pusher, from, command) => self.logic.push(pusher, from, command)),
            _ => reply::<()>(id, Err(Error::new(Code::Unsupported, "logic does not know that call"))),
        }
    }
}

/// Starts commands in the order of the stream and answers each when it is done.
async fn serve_commands(
    logic: Arc<dyn Logic>,
    mut commands: Streaming<proto::Command>,
    replies: mpsc::Sender<Result<proto::Reply, Status>>,
    ending: CancellationToken,
) {
    let mut running = FuturesUnordered::new();
    let mut open = true;
    while open || !running.is_empty() {
        tokio::select! {
            // Replies first: they make room.
            biased;
            Some(reply) = running.next() => {
                if replies.send(Ok(reply)).await.is_err() {
                    return;
                }
            }
            command = commands.message(), if open && running.len() < RUNNING_MAX => match command {
                Ok(Some(command)) => running.push(run(&logic, command)),
                _ => open = false,
            },
            () = ending.cancelled(), if open => open = false,
        }
    }
}

/// `Logic::call` is called at once, so that order is kept; the future it returns is awaited later.
fn run(logic: &Arc<dyn Logic>, command: proto::Command) -> BoxFuture<'static, proto::Reply> {
    let id = command.id;
    let deadline = Duration::from_millis(u64::from(command.deadline_ms).min(CALL_DEADLINE_MS));
    let call = unpack(&command.caller).and_then(|caller| Ok(logic.call(caller, unpack(&command.command)?)));
    async move {
        let outcome = match call {
            Ok(call) => tokio::time::timeout(deadline, call).await.unwrap_or_else(|_| Err(unknown_outcome())),
            Err(error) => Err(error),
        };
        reply(id, outcome)
    }
    .boxed()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn why_a_stream_could_not_begin_is_known() {
        let dead = std::net::TcpListener::bind("127.0.0.1:0").and_then(|socket| socket.local_addr()).expect("a free port");
        let peer = Peer::new(&format!("http://{dead}"), Secret::new("s"), None).expect("an address");
        let (_asks, mut waiting) = mpsc::channel(1);
        let ended = run_stream(LogicClient::with_interceptor(peer.channel.clone(), peer.present()), &mut waiting).await;
        let Ended::Broken { served: false, reason } = ended else { panic!("nobody listens there") };
        assert!(reason.contains("Connection refused"), "{reason}");
    }
}
