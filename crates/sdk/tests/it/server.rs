//! A server that does what a test says, frame by frame, written with the protocol crate alone.

use std::time::Duration;

use bytes::BytesMut;
use skein_protocol::frame::{FrameHeader, HEADER_BYTES, Limits, SKEIN_BODY_BYTES_MAX, VERSION};
use skein_protocol::websocket::{self, Message, Opcode, Role, accept_key, close_payload, server_frame};
use skein_protocol::{CloseCode, Codec, Frame, FrameDecoder, Op, Push, Reply, Request, Strictness, v1};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;

pub const PATIENCE: Duration = Duration::from_secs(10);

pub struct Server {
    listener: TcpListener,
}

impl Server {
    pub async fn bind() -> Self {
        Self { listener: TcpListener::bind("127.0.0.1:0").await.expect("binds") }
    }

    pub fn address(&self) -> String {
        self.listener.local_addr().expect("an address").to_string()
    }

    pub async fn accept(&self) -> Peer {
        let (stream, _) = timeout(PATIENCE, self.listener.accept()).await.expect("a connection").expect("accepts");
        Peer { stream, inbound: BytesMut::new(), websocket: None }
    }

    /// Accepts and answers the log-in.
    pub async fn welcome(&self, epoch: u64) -> Peer {
        let mut peer = self.accept().await;
        peer.welcome(v1::Hello { epoch, uid: 1, ..v1::Hello::default() }).await;
        peer
    }

    pub async fn nobody_comes(&self, within: Duration) -> bool {
        timeout(within, self.listener.accept()).await.is_err()
    }
}

pub struct Peer {
    stream: TcpStream,
    inbound: BytesMut,
    websocket: Option<websocket::Decoder>,
}

impl Peer {
    pub async fn upgrade(&mut self) {
        let end = loop {
            if let Some(at) = self.inbound.windows(4).position(|window| window == b"\r\n\r\n") {
                break at + 4;
            }
            self.fill().await;
        };
        let head = String::from_utf8(self.inbound.split_to(end).to_vec()).expect("text");
        let key = head.lines().find_map(|line| line.strip_prefix("Sec-WebSocket-Key: ")).expect("a key");
        let answer = format!(
            "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nsec-websocket-accept: {}\r\n\r\n",
            accept_key(key)
        );
        self.stream.write_all(answer.as_bytes()).await.expect("writes");
        self.websocket = Some(websocket::Decoder::new(Role::Server, websocket::Limits::of_message(65_536)));
    }

    async fn fill(&mut self) -> usize {
        timeout(PATIENCE, self.stream.read_buf(&mut self.inbound)).await.expect("bytes in time").unwrap_or(0)
    }

    /// `None`: the client is gone.
    pub async fn message(&mut self) -> Option<Message> {
        loop {
            let decoder = self.websocket.as_mut().expect("upgraded");
            if let Some(message) = decoder.decode(&mut self.inbound).expect("websocket") {
                return Some(message);
            }
            if self.fill().await == 0 {
                return None;
            }
        }
    }

    async fn frame(&mut self) -> Option<Frame> {
        if self.websocket.is_some() {
            return match self.message().await? {
                Message::Binary(bytes) => Some(Frame::from_message(&bytes, Limits::SKEIN, Strictness::Skein).expect("a frame")),
                Message::Close(_) => None,
                other => panic!("{other:?} instead of a frame"),
            };
        }
        let decoder = FrameDecoder::new(Limits::SKEIN, Strictness::Skein);
        loop {
            if let Some(frame) = decoder.decode(&mut self.inbound).expect("frames") {
                return Some(frame);
            }
            if self.fill().await == 0 {
                return None;
            }
        }
    }

    /// Heartbeats too; `None`: the client is gone.
    pub async fn any_request(&mut self) -> Option<(i32, Request)> {
        let frame = self.frame().await?;
        Some((frame.seq, Request::decode(frame.op, Codec::Protobuf, &frame.body).expect("a request")))
    }

    /// The next one that is not a heartbeat or the telling of a delivery.
    pub async fn request(&mut self) -> (i32, Request) {
        loop {
            let (seq, request) = self.any_request().await.expect("a request");
            match request {
                Request::Heartbeat(_) => {}
                Request::MarkDelivered(_) => self.reply(seq, Op::MARK_DELIVERED, v1::Done {}).await,
                _ => return (seq, request),
            }
        }
    }

    pub async fn gone(mut self) {
        while self.any_request().await.is_some() {}
    }

    async fn write(&mut self, frame: Frame) {
        let bytes = match self.websocket {
            Some(_) => server_frame(Opcode::Binary, &frame.encode()),
            None => frame.encode(),
        };
        self.raw(&bytes).await;
    }

    pub async fn raw(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).await.expect("writes");
    }

    pub async fn reply(&mut self, seq: i32, op: Op, reply: impl Into<Reply>) {
        self.write(Frame::reply(&reply.into(), op, seq, Codec::Protobuf).expect("encodes")).await;
    }

    /// The header of a reply whose body is longer than a frame may be.
    pub async fn oversized(&mut self, seq: i32, op: Op) {
        let pack_len = i32::try_from(HEADER_BYTES + SKEIN_BODY_BYTES_MAX + 1).expect("fits");
        let header = FrameHeader { pack_len, header_len: HEADER_BYTES as u16, ver: VERSION, op, seq };
        self.raw(&header.encode()).await;
    }

    pub async fn push(&mut self, push: impl Into<Push>) {
        self.write(Frame::push(&push.into(), Codec::Protobuf).expect("encodes")).await;
    }

    /// As Comet closes: on TCP the reason first, then the end.
    pub async fn close(mut self, code: CloseCode) {
        match self.websocket {
            Some(_) => self.raw(&server_frame(Opcode::Close, &close_payload(code.number(), code.name()))).await,
            None => self.push(code.to_error()).await,
        }
        self.stream.shutdown().await.expect("shuts down");
    }

    pub async fn auth(&mut self) -> (i32, v1::Auth) {
        match self.request().await {
            (seq, Request::Auth(auth)) => (seq, auth),
            (_, other) => panic!("{other:?} instead of auth"),
        }
    }

    pub async fn welcome(&mut self, hello: v1::Hello) -> v1::Auth {
        let (seq, auth) = self.auth().await;
        self.reply(seq, Op::AUTH, hello).await;
        auth
    }

    /// Answers the next request, which must be a sync, and tells its cursor.
    pub async fn sync(&mut self, page: v1::SyncPage) -> String {
        match self.request().await {
            (seq, Request::Sync(sync)) => {
                self.reply(seq, Op::SYNC, page).await;
                sync.cursor
            }
            (_, other) => panic!("{other:?} instead of sync"),
        }
    }

    /// The next request, which must be a send.
    pub async fn send(&mut self) -> (i32, v1::Send) {
        match self.request().await {
            (seq, Request::Send(send)) => (seq, send),
            (_, other) => panic!("{other:?} instead of a send"),
        }
    }

    pub async fn ack(&mut self, seq: i32, send: &v1::Send, position: i64) {
        let ack = v1::Ack { conversation: send.conversation, key: send.key.clone(), seq: position, at_ms: 1, epoch: EPOCH };
        self.reply(seq, Op::SEND, ack).await;
    }
}

pub const EPOCH: u64 = 77;
