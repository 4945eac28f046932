//! A server with scripted doors on a port of its own, and a client that knows only paths and bytes.

use async_trait::async_trait;
use bytes::{Buf, BufMut, Bytes};
use skein_domain::Result;
use skein_domain::delivery::{Batch, Delivered};
use skein_domain::door::Delivery;
use skein_domain::id::Uid;
use skein_domain::live::{GuestCommand, GuestReply, PushCommand, PushReply, Pusher, RoomName};
use skein_domain::testing::{ScriptedLogic, at_once};
use skein_rpc::{LiveRooms, goim_comet_service, goim_logic_service, push_service};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio_stream::wrappers::{ReceiverStream, TcpListenerStream};
use tonic::codec::{Codec, CompressionEncoding, DecodeBuf, Decoder, EncodeBuf, Encoder};
use tonic::metadata::MetadataMap;
use tonic::transport::{Channel, Endpoint, Server};
use tonic::{Request, Status};

pub const API_KEY: &str = "an-api-key";

/// Doors that answer what a test tells them, and remember what they were asked.
pub struct World {
    pub logic: Arc<ScriptedLogic>,
    pub deliver: Box<dyn Fn(Batch) -> Result<Delivered> + Send + Sync>,
    pub batches: Mutex<Vec<Batch>>,
}

impl Default for World {
    fn default() -> Self {
        Self { logic: Arc::default(), deliver: Box::new(|_| Ok(Delivered::default())), batches: Mutex::default() }
    }
}

impl World {
    pub fn of_guests(play: impl Fn(GuestCommand) -> Result<GuestReply> + Send + Sync + 'static) -> Arc<Self> {
        let logic = ScriptedLogic { on_guest: at_once(play), ..ScriptedLogic::default() };
        Arc::new(Self { logic: Arc::new(logic), ..Self::default() })
    }

    /// [`API_KEY`] is one they know, and keyless routes are open.
    pub fn of_pushes(play: impl Fn(PushCommand) -> Result<PushReply> + Send + Sync + 'static) -> Arc<Self> {
        let pushers = vec![Pusher::Open, Pusher::ApiKey(API_KEY.into())];
        let logic = ScriptedLogic { pushers, on_push: at_once(play), ..ScriptedLogic::default() };
        Arc::new(Self { logic: Arc::new(logic), ..Self::default() })
    }
}

#[async_trait]
impl Delivery for World {
    async fn deliver(&self, batch: Batch) -> Result<Delivered> {
        self.batches.lock().unwrap().push(batch.clone());
        (self.deliver)(batch)
    }

    async fn connections(&self, _: Uid) -> Result<Vec<serde_json::Value>> {
        Ok(Vec::new())
    }
}

impl LiveRooms for World {
    fn rooms(&self) -> Vec<RoomName> {
        vec![RoomName::parse("live://1").unwrap()]
    }
}

/// Serves all three services until the test ends.
pub async fn serve(world: &Arc<World>) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let at = listener.local_addr().unwrap();
    let server = Server::builder()
        .add_service(goim_comet_service(world.clone(), world.clone()))
        .add_service(goim_logic_service(world.logic.clone()))
        .add_service(push_service(world.logic.clone()));
    tokio::spawn(server.serve_with_incoming(TcpListenerStream::new(listener)));
    at
}

/// The same behind pipes in memory.
fn piped(world: &Arc<World>) -> Channel {
    let (pipes, incoming) = mpsc::channel::<std::io::Result<tokio::io::DuplexStream>>(4);
    let server = Server::builder().add_service(push_service(world.logic.clone())).serve_with_incoming(ReceiverStream::new(incoming));
    tokio::spawn(server);
    let connector = tower::service_fn(move |_: tonic::transport::Uri| {
        let pipes = pipes.clone();
        async move {
            let (near, far) = tokio::io::duplex(64 * 1024);
            pipes.send(Ok(far)).await.map_err(std::io::Error::other)?;
            Ok::<_, std::io::Error>(hyper_util::rt::TokioIo::new(near))
        }
    });
    Endpoint::from_static("http://pipe").connect_with_connector_lazy(connector)
}

pub struct Client {
    pub channel: Channel,
    pub gzip: bool,
    pub key: Option<&'static str>,
}

impl Client {
    pub async fn of(world: &Arc<World>) -> Self {
        let at = serve(world).await;
        let channel = Endpoint::from_shared(format!("http://{at}")).unwrap().connect().await.unwrap();
        Self { channel, gzip: false, key: None }
    }

    pub fn through_a_pipe(world: &Arc<World>) -> Self {
        Self { channel: piped(world), gzip: false, key: None }
    }

    /// `hex` may have spaces; so has the answer none.
    pub async fn call(&self, path: &'static str, hex: &str) -> std::result::Result<String, Status> {
        self.call_bytes(path, unhex(hex)).await.map(|bytes| tohex(&bytes))
    }

    pub async fn call_bytes(&self, path: &'static str, message: Vec<u8>) -> std::result::Result<Bytes, Status> {
        let mut client = tonic::client::Grpc::new(self.channel.clone()).max_decoding_message_size(32 << 20);
        if self.gzip {
            client = client.send_compressed(CompressionEncoding::Gzip);
        }
        client.ready().await.unwrap();
        let mut request = Request::new(Bytes::from(message));
        if let Some(key) = self.key {
            request.metadata_mut().insert("authorization", format!("Bearer {key}").parse().unwrap());
        }
        client.unary(request, path.parse().unwrap(), Raw).await.map(|response| response.into_inner())
    }

    /// Sends the headers of a call, and never its message.
    pub async fn call_without_message(&self, path: &'static str) -> std::result::Result<Bytes, Status> {
        let mut client = tonic::client::Grpc::new(self.channel.clone());
        client.ready().await.unwrap();
        let mut request = Request::new(tokio_stream::pending());
        if let Some(key) = self.key {
            request.metadata_mut().insert("authorization", format!("Bearer {key}").parse().unwrap());
        }
        client.client_streaming(request, path.parse().unwrap(), Raw).await.map(|response| response.into_inner())
    }
}

pub fn unhex(hex: &str) -> Vec<u8> {
    let digits: Vec<char> = hex.chars().filter(|c| !c.is_whitespace()).collect();
    digits.chunks(2).map(|pair| u8::from_str_radix(&pair.iter().collect::<String>(), 16).unwrap()).collect()
}

pub fn tohex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

pub fn text<'a>(metadata: &'a MetadataMap, name: &str) -> Option<&'a str> {
    metadata.get(name).and_then(|value| value.to_str().ok())
}

/// Messages as they are.
#[derive(Clone, Copy)]
struct Raw;

impl Codec for Raw {
    type Encode = Bytes;
    type Decode = Bytes;
    type Encoder = Raw;
    type Decoder = Raw;

    fn encoder(&mut self) -> Raw {
        Raw
    }

    fn decoder(&mut self) -> Raw {
        Raw
    }
}

impl Encoder for Raw {
    type Item = Bytes;
    type Error = Status;

    fn encode(&mut self, item: Bytes, to: &mut EncodeBuf<'_>) -> std::result::Result<(), Status> {
        to.put(item);
        Ok(())
    }
}

impl Decoder for Raw {
    type Item = Bytes;
    type Error = Status;

    fn decode(&mut self, from: &mut DecodeBuf<'_>) -> std::result::Result<Option<Bytes>, Status> {
        Ok(Some(from.copy_to_bytes(from.remaining())))
    }
}
