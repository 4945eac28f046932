//! One contract for both doors, run twice: on the implementation itself and through its .proto over an in-memory pipe.

use async_trait::async_trait;
use futures_util::FutureExt;
use futures_util::future::{BoxFuture, join_all};
use skein_domain::account::{DeviceClass, Session};
use skein_domain::command::{AccountCommand, AccountReply, Command, Reply};
use skein_domain::delivery::{Batch, Control, Delivered, Envelope, Push, Target};
use skein_domain::door::{Caller, Connect, Connected, Credential, Delivery, Logic, NodeLoad, Origin};
use skein_domain::id::{ConnectionRef, ConversationId, Epoch, Generation, Millis, NodeId, SessionId, Shard, Uid};
use skein_domain::live::{GuestCommand, GuestReply, PushCommand, PushReply, Pusher};
use skein_domain::port::CometAddress;
use skein_domain::{Code, Error, Limits, Result};
use skein_rpc::{Peer, RemoteDelivery, RemoteLogic, Secret, delivery_service, logic_service};
use std::sync::{Arc, Mutex};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::sync::CancellationToken;
use tonic::transport::Server;

// === what stands behind the doors ===

#[derive(Default)]
struct Scripted {
    /// Conversations of the `Typing` commands in the order in which they were called.
    order: Mutex<Vec<i64>>,
    gone: Mutex<Vec<ConnectionRef>>,
    /// Syncs that wait for the word, and the word.
    waiting: watch::Sender<usize>,
    go_on: watch::Sender<bool>,
}

const HELD: i64 = -1;
const WAITS: &str = "waits";

#[async_trait]
impl Logic for Scripted {
    async fn connect(&self, connect: Connect) -> Result<Connected> {
        match connect.credential {
            Credential::Token(token) if token == "good" => Ok(connected(&connect.client)),
            _ => Err(Error::new(Code::Unauthorized, "no such session")),
        }
    }

    async fn disconnect(&self, _node: NodeId, connection: ConnectionRef) -> Result<()> {
        self.gone.lock().unwrap().push(connection);
        Ok(())
    }

    async fn renew(&self, node: NodeLoad, live: Vec<ConnectionRef>) -> Result<Vec<ConnectionRef>> {
        Ok(live.into_iter().take(node.connections as usize).collect())
    }

    fn call(&self, caller: Caller, command: Command) -> BoxFuture<'static, Result<Reply>> {
        match command {
            Command::Typing { conversation } if conversation.0 == HELD => std::future::pending().boxed(),
            Command::Typing { conversation } => {
                self.order.lock().unwrap().push(conversation.0);
                async move { Ok(Reply::Done) }.boxed()
            }
            Command::Sync { cursor } if cursor.starts_with(WAITS) => {
                self.waiting.send_modify(|waiting| *waiting += 1);
                let mut go_on = self.go_on.subscribe();
                async move {
                    go_on.wait_for(|go_on| *go_on).await.unwrap();
                    Ok(Reply::Sync { page: skein_domain::command::SyncPage { cursor, ..Default::default() } })
                }
                .boxed()
            }
            Command::Sync { cursor } => async move {
                let page = skein_domain::command::SyncPage { cursor: format!("{cursor}+{}", caller.uid), ..Default::default() };
                Ok(Reply::Sync { page })
            }
            .boxed(),
            Command::GetConversation { .. } => async { Err(Error::new(Code::RateLimited, "slower").retry_after(1_234)) }.boxed(),
            _ => async { Err(Error::new(Code::Unsupported, "not scripted")) }.boxed(),
        }
    }

    async fn account(&self, from: Origin, command: AccountCommand) -> Result<AccountReply> {
        match command {
            AccountCommand::Register { email, .. } if email == "taken@example.org" => Err(Error::new(Code::UserExists, "taken")),
            AccountCommand::Register { .. } => Ok(AccountReply::Registered { uid: Uid(from.address.len() as i64) }),
            _ => Ok(AccountReply::Done),
        }
    }

    async fn guest(&self, _: GuestCommand) -> Result<GuestReply> {
        Err(Error::internal())
    }

    async fn push(&self, _: Pusher, _: Origin, _: PushCommand) -> Result<PushReply> {
        Err(Error::internal())
    }
}

#[async_trait]
impl Delivery for Scripted {
    async fn deliver(&self, batch: Batch) -> Result<Delivered> {
        if batch.envelopes.is_empty() && batch.controls.is_empty() {
            return Err(Error::new(Code::Draining, "going away").retry_after(5));
        }
        Ok(Delivered { found: batch.envelopes.len() as u64, queued: batch.controls.len() as u64, ..Default::default() })
    }

    async fn connections(&self, uid: Uid) -> Result<Vec<serde_json::Value>> {
        match uid {
            Uid(42) => Ok(vec![serde_json::json!({"transport": "tcp", "rooms": [9]})]),
            _ => Err(Error::new(Code::Draining, "going away")),
        }
    }
}

fn connected(client: &str) -> Connected {
    Connected {
        session: Session {
            id: SessionId(7),
            uid: Uid(42),
            class: DeviceClass::Cli,
            client: client.into(),
            created_at: Millis(1),
            seen_at: Millis(2),
            expires_at: Millis(3),
        },
        nickname: "安".into(),
        rooms: vec![ConversationId(9)],
        epoch: Epoch(u64::MAX),
        limits: Limits::default(),
        server_time_ms: 1,
        tags: vec!["beta".into()],
    }
}

fn caller() -> Caller {
    Caller { uid: Uid(42), session: SessionId(7), class: DeviceClass::Cli, connection: None, address: "test".into(), trace: None }
}

// === the two ways to hold a door ===

struct Doors {
    logic: Arc<dyn Logic>,
    delivery: Arc<dyn Delivery>,
    behind: Arc<Scripted>,
}

async fn direct() -> Doors {
    let behind = Arc::new(Scripted::default());
    Doors { logic: behind.clone(), delivery: behind.clone(), behind }
}

async fn over_a_pipe() -> Doors {
    let behind = Arc::new(Scripted::default());
    let peer = pipe(behind.clone(), Secret::new("s3cret"), Secret::new("s3cret")).await;
    Doors { logic: Arc::new(RemoteLogic::new(&peer)), delivery: Arc::new(RemoteDelivery::new(&peer)), behind }
}

/// Serves both doors on one end of in-memory pipes; every connection attempt gets a pipe of its own.
async fn pipe(behind: Arc<Scripted>, demanded: Secret, presented: Secret) -> Peer {
    pipe_until(CancellationToken::new(), behind, demanded, presented).0
}

/// Like [`pipe`], to a server that ends, with its own end.
fn pipe_until(ending: CancellationToken, behind: Arc<Scripted>, demanded: Secret, presented: Secret) -> (Peer, JoinHandle<()>) {
    let (pipes, incoming) = mpsc::channel::<std::io::Result<tokio::io::DuplexStream>>(4);
    let server = Server::builder()
        .add_service(logic_service(behind.clone(), demanded.clone(), ending.clone()))
        .add_service(delivery_service(behind, demanded))
        .serve_with_incoming_shutdown(ReceiverStream::new(incoming), ending.cancelled_owned());
    let served = tokio::spawn(async move { server.await.expect("serve") });
    let connector = tower::service_fn(move |_: tonic::transport::Uri| {
        let pipes = pipes.clone();
        async move {
            let (near, far) = tokio::io::duplex(64 * 1024);
            pipes.send(Ok(far)).await.map_err(std::io::Error::other)?;
            Ok::<_, std::io::Error>(hyper_util::rt::TokioIo::new(near))
        }
    });
    let channel = Peer::endpoint("http://pipe").unwrap().connect_with_connector_lazy(connector);
    (Peer::from_channel(channel, presented), served)
}

// === the contract ===

async fn commands_take_effect_in_the_order_of_calls(doors: Doors) {
    let calls = (0..1_000).map(|n| doors.logic.call(caller(), Command::Typing { conversation: ConversationId(n) }));
    for reply in join_all(calls.collect::<Vec<_>>()).await {
        assert_eq!(reply, Ok(Reply::Done));
    }
    assert_eq!(*doors.behind.order.lock().unwrap(), (0..1_000).collect::<Vec<_>>());
}

async fn a_command_that_never_ends_holds_up_no_other(doors: Doors) {
    let mut held = doors.logic.call(caller(), Command::Typing { conversation: ConversationId(HELD) });
    let other = doors.logic.call(caller(), Command::Sync { cursor: "c".into() });
    tokio::select! {
        _ = &mut held => panic!("this command never ends by itself"),
        reply = other => {
            let Ok(Reply::Sync { page }) = reply else { panic!("sync failed") };
            assert_eq!(page.cursor, "c+42");
        }
    }
}

/// More than fits the link in both directions at once.
async fn a_crowd_that_is_answered_all_at_once_leaves_the_door_open(doors: Doors) {
    const CROWD: usize = 1_500;
    let cursor = format!("{WAITS}{}", "x".repeat(16 * 1024));
    let crowd: Vec<_> = (0..CROWD).map(|_| doors.logic.call(caller(), Command::Sync { cursor: cursor.clone() })).collect();
    let crowd = tokio::spawn(join_all(crowd));
    doors.behind.waiting.subscribe().wait_for(|waiting| *waiting >= 1_024).await.unwrap();
    doors.behind.go_on.send_replace(true);
    // On a slow machine some may be too late; nobody is forgotten.
    let late = |reply: &Result<Reply>| reply.as_ref().is_err_and(|error| error.code == Code::RetrySameKey);
    assert!(crowd.await.unwrap().iter().all(|reply| reply.is_ok() || late(reply)));
    let next = doors.logic.call(caller(), Command::Typing { conversation: ConversationId(1) }).await;
    assert_eq!(next, Ok(Reply::Done));
}

async fn errors_keep_code_text_and_retry(doors: Doors) {
    let error = doors.logic.call(caller(), Command::GetConversation { conversation: ConversationId(1) }).await.unwrap_err();
    assert_eq!(error, Error::new(Code::RateLimited, "slower").retry_after(1_234));
    let register = |email: &str| AccountCommand::Register {
        email: email.into(),
        code: "123456".into(),
        password: "correct horse".into(),
        nickname: "n".into(),
    };
    let from = Origin { address: "1234".into() };
    assert_eq!(doors.logic.account(from.clone(), register("taken@example.org")).await.err().unwrap().code, Code::UserExists);
    assert!(doors.logic.account(from, register("free@example.org")).await == Ok(AccountReply::Registered { uid: Uid(4) }));
    let empty = Batch { origin: None, envelopes: vec![], controls: vec![], trace: None };
    assert_eq!(doors.delivery.deliver(empty).await, Err(Error::new(Code::Draining, "going away").retry_after(5)));
}

async fn connections_come_live_and_go(doors: Doors) {
    let connect = |token: &str| Connect {
        credential: Credential::Token(token.into()),
        node: NodeId("n1".into()),
        generation: Generation(5),
        client: "terminal 终端".into(),
        address: "127.0.0.1:1".into(),
    };
    assert_eq!(doors.logic.connect(connect("good")).await, Ok(connected("terminal 终端")));
    assert_eq!(doors.logic.connect(connect("bad")).await.unwrap_err().code, Code::Unauthorized);
    let live: Vec<_> = (1..=3).map(|n| ConnectionRef { session: SessionId(n), generation: Generation(n) }).collect();
    let load = NodeLoad { node: NodeId("n1".into()), comet: CometAddress::default(), connections: 2, draining: false };
    assert_eq!(doors.logic.renew(load, live.clone()).await.unwrap(), live[..2]);
    doors.logic.disconnect(NodeId("n1".into()), live[0]).await.unwrap();
    assert_eq!(*doors.behind.gone.lock().unwrap(), live[..1]);
}

async fn batches_arrive_whole(doors: Doors) {
    let typing = Push::Typing { conversation: ConversationId(1), uid: Uid(2) };
    let everyone: Vec<_> = (0..5_000).map(|n| ConnectionRef { session: SessionId(n), generation: Generation(n) }).collect();
    let batch = Batch {
        origin: Some(skein_domain::delivery::Origin { producer: "p".into(), shard: Shard(0), revision: skein_domain::id::Revision(1) }),
        envelopes: vec![Envelope { target: Target::Connections(everyone), push: typing }],
        controls: vec![Control::Subscribe { session: SessionId(1), room: ConversationId(2) }; 2],
        trace: Some("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01".into()),
    };
    let delivered = doors.delivery.deliver(batch).await.unwrap();
    assert_eq!((delivered.found, delivered.queued), (1, 2));
    let connections = doors.delivery.connections(Uid(42)).await.unwrap();
    assert_eq!(connections, [serde_json::json!({"transport": "tcp", "rooms": [9]})]);
    assert_eq!(doors.delivery.connections(Uid(43)).await.unwrap_err().code, Code::Draining);
}

macro_rules! contract {
    ($($case:ident),* $(,)?) => {
        mod directly {
            $(#[tokio::test] async fn $case() { super::$case(super::direct().await).await })*
        }
        mod through_its_proto {
            $(#[tokio::test] async fn $case() { super::$case(super::over_a_pipe().await).await })*
        }
    };
}

contract!(
    commands_take_effect_in_the_order_of_calls,
    a_command_that_never_ends_holds_up_no_other,
    a_crowd_that_is_answered_all_at_once_leaves_the_door_open,
    errors_keep_code_text_and_retry,
    connections_come_live_and_go,
    batches_arrive_whole,
);

// === what only a remote door can meet ===

#[tokio::test]
async fn without_the_secret_nothing_is_answered() {
    let behind = Arc::new(Scripted::default());
    let peer = pipe(behind.clone(), Secret::new("right"), Secret::new("wrong")).await;
    let load = NodeLoad { node: NodeId("n".into()), comet: CometAddress::default(), connections: 0, draining: false };
    assert_eq!(RemoteLogic::new(&peer).renew(load, vec![]).await.unwrap_err().code, Code::Unauthorized);
    let control = Control::Subscribe { session: SessionId(1), room: ConversationId(1) };
    let batch = Batch { origin: None, envelopes: vec![], controls: vec![control], trace: None };
    assert_eq!(RemoteDelivery::new(&peer).deliver(batch).await.unwrap_err().code, Code::Unauthorized);
}

#[tokio::test]
async fn a_broken_link_leaves_the_outcome_unknown_and_is_built_anew() {
    let behind = Arc::new(Scripted::default());
    let links: Arc<Mutex<Vec<JoinHandle<()>>>> = Arc::default();
    let peer = breakable(behind, links.clone()).await;
    let logic = RemoteLogic::new(&peer);
    assert_eq!(logic.call(caller(), Command::Typing { conversation: ConversationId(1) }).await, Ok(Reply::Done));

    let held = logic.call(caller(), Command::Typing { conversation: ConversationId(HELD) });
    // The next reply proves that the held command, sent before it, has arrived.
    assert_eq!(logic.call(caller(), Command::Typing { conversation: ConversationId(2) }).await, Ok(Reply::Done));
    links.lock().unwrap().drain(..).for_each(|link| link.abort());
    assert_eq!(held.await.unwrap_err().code, Code::RetrySameKey);
    assert_eq!(logic.call(caller(), Command::Typing { conversation: ConversationId(3) }).await, Ok(Reply::Done));
}

/// A stream of commands lasts as long as the process at its other end: whoever ends must not wait for it.
#[tokio::test]
async fn a_server_that_ends_answers_what_it_has_taken_and_then_ends_its_streams() {
    let (behind, ending) = (Arc::<Scripted>::default(), CancellationToken::new());
    let (peer, served) = pipe_until(ending.clone(), behind.clone(), Secret::new("s"), Secret::new("s"));
    let logic = RemoteLogic::new(&peer);
    let taken = logic.call(caller(), Command::Sync { cursor: WAITS.into() });
    behind.waiting.subscribe().wait_for(|waiting| *waiting == 1).await.unwrap();
    ending.cancel();
    behind.go_on.send_replace(true);
    assert!(matches!(taken.await, Ok(Reply::Sync { .. })));
    tokio::time::timeout(std::time::Duration::from_secs(5), served).await.expect("it ends although its client lives").expect("ends well");
}

/// Like [`pipe`], with a task between the ends of each link that can be aborted.
async fn breakable(behind: Arc<Scripted>, links: Arc<Mutex<Vec<JoinHandle<()>>>>) -> Peer {
    let (pipes, incoming) = mpsc::channel::<std::io::Result<tokio::io::DuplexStream>>(4);
    let secret = Secret::new("s");
    tokio::spawn(
        Server::builder()
            .add_service(logic_service(behind, secret.clone(), CancellationToken::new()))
            .serve_with_incoming(ReceiverStream::new(incoming)),
    );
    let connector = tower::service_fn(move |_: tonic::transport::Uri| {
        let (pipes, links) = (pipes.clone(), links.clone());
        async move {
            let (near, mut near_end) = tokio::io::duplex(64 * 1024);
            let (mut far_end, far) = tokio::io::duplex(64 * 1024);
            let link = tokio::spawn(async move {
                let _ = tokio::io::copy_bidirectional(&mut near_end, &mut far_end).await;
            });
            links.lock().unwrap().push(link);
            pipes.send(Ok(far)).await.map_err(std::io::Error::other)?;
            Ok::<_, std::io::Error>(hyper_util::rt::TokioIo::new(near))
        }
    });
    let channel = Peer::endpoint("http://pipe").unwrap().connect_with_connector_lazy(connector);
    Peer::from_channel(channel, secret)
}
