//! One connection of a simulated device: requests out, what was heard in, over any of the transports.
//!
//! Written on `skein-protocol` alone, so that a mistake of the SDK cannot hide a mistake of the server.
//!
//! **Invariant:** [`Ears::hear`] is cancel-safe: what has been read stays until it was handed out.
//!
//! Bounds: a frame is at most what the protocol allows; connecting and each write end after [`PATIENCE`].

use anyhow::{Context, Result, anyhow, bail, ensure};
use bytes::{Bytes, BytesMut};
use skein_protocol::close::CloseCode;
use skein_protocol::frame::{self, Frame, FrameDecoder, Strictness};
use skein_protocol::websocket::{self, Decoder, Message, Opcode, Role, client_frame};
use skein_protocol::{Codec, Envelope, Incoming, Push, Reply, Request, envelope, v1};
use std::net::SocketAddr;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpSocket, TcpStream};

/// Longest wait for a connection, or for a write to be taken.
const PATIENCE: Duration = Duration::from_secs(10);
const MESSAGE_BYTES_MAX: usize = 1 << 20;

/// How a device speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Transport {
    Tcp,
    /// Frames in binary messages.
    WebSocket,
    /// JSON envelopes in text messages.
    WebSocketText,
}

/// Where the server of the moment listens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Endpoints {
    pub public: SocketAddr,
    pub tcp: SocketAddr,
}

/// How much the kernel may keep for a device.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Buffers {
    Usual,
    /// As little as it takes, so that the server notices a slow reader soon.
    Small,
}

#[derive(Debug)]
pub enum Heard {
    Reply {
        seq: i32,
        reply: Reply,
    },
    Push(Push),
    /// The server wants a pong with this payload; [`Mouth::pong`].
    Ping(Bytes),
    /// By the server; the code if it gave one.
    Closed(Option<CloseCode>),
}

/// The writing half.
pub struct Mouth {
    writer: OwnedWriteHalf,
    transport: Transport,
    seq: i32,
}

/// The reading half.
pub struct Ears {
    reader: OwnedReadHalf,
    unread: BytesMut,
    decoder: AnyDecoder,
    /// On TCP the reason comes as an error push, before the end of the stream.
    reason: Option<CloseCode>,
}

enum AnyDecoder {
    Tcp(FrameDecoder),
    WebSocket(Decoder),
}

/// Connects and logs in with a token.
pub async fn log_in(at: Endpoints, transport: Transport, buffers: Buffers, token: &str) -> Result<(Mouth, Ears, v1::Hello)> {
    let (mut mouth, mut ears) = open(at, transport, buffers).await?;
    let auth = v1::Auth { token: token.to_owned(), major: skein_protocol::MAJOR, client: "testkit".to_owned(), ..v1::Auth::default() };
    let asked = mouth.ask(&Request::Auth(auth)).await?;
    let answer = tokio::time::timeout(PATIENCE, ears.hear()).await.context("no answer to the log-in")??;
    match answer {
        Heard::Reply { seq, reply: Reply::Hello(hello) } if seq == asked => Ok((mouth, ears, hello)),
        Heard::Closed(Some(code)) => Err(anyhow!("log-in closed with {code}")),
        other => Err(anyhow!("log-in answered by {other:?}")),
    }
}

/// Connects, without a log-in.
pub async fn open(at: Endpoints, transport: Transport, buffers: Buffers) -> Result<(Mouth, Ears)> {
    let address = if transport == Transport::Tcp { at.tcp } else { at.public };
    let mut stream = tokio::time::timeout(PATIENCE, connect(address, buffers)).await.context("connect in time")??;
    stream.set_nodelay(true)?;
    let mut unread = BytesMut::new();
    let decoder = match transport {
        Transport::Tcp => AnyDecoder::Tcp(FrameDecoder::new(frame::Limits::SKEIN, Strictness::Skein)),
        Transport::WebSocket | Transport::WebSocketText => {
            tokio::time::timeout(PATIENCE, upgrade(&mut stream, address, &mut unread)).await.context("upgrade in time")??;
            AnyDecoder::WebSocket(Decoder::new(Role::Client, websocket::Limits::of_message(MESSAGE_BYTES_MAX)))
        }
    };
    let (reader, writer) = stream.into_split();
    Ok((Mouth { writer, transport, seq: 0 }, Ears { reader, unread, decoder, reason: None }))
}

async fn connect(address: SocketAddr, buffers: Buffers) -> Result<TcpStream> {
    let socket = TcpSocket::new_v4()?;
    if buffers == Buffers::Small {
        socket.set_recv_buffer_size(4_096)?;
        socket2::SockRef::from(&socket).set_tcp_mss(536)?;
    }
    Ok(socket.connect(address).await?)
}

/// RFC 6455, section 4.1; what follows the response stays in `unread`.
async fn upgrade(stream: &mut TcpStream, host: SocketAddr, unread: &mut BytesMut) -> Result<()> {
    const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";
    let request = format!(
        "GET /ws HTTP/1.1\r\nHost: {host}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {KEY}\r\n\r\n"
    );
    stream.write_all(request.as_bytes()).await?;
    let end = loop {
        if let Some(at) = unread.windows(4).position(|window| window == b"\r\n\r\n") {
            break at + 4;
        }
        ensure!(unread.len() < 16_384, "the answer to the upgrade has no end");
        ensure!(stream.read_buf(unread).await? > 0, "connection lost in the upgrade");
    };
    let head = unread.split_to(end);
    let head = String::from_utf8_lossy(&head);
    ensure!(head.starts_with("HTTP/1.1 101 "), "upgrade refused: {}", head.lines().next().unwrap_or_default());
    ensure!(head.contains(&websocket::accept_key(KEY)), "wrong Sec-WebSocket-Accept");
    Ok(())
}

// === impl Mouth ===

impl Mouth {
    /// Sends a request; returns its number, by which the reply is known.
    pub async fn ask(&mut self, request: &Request) -> Result<i32> {
        self.seq += 1;
        let bytes = match self.transport {
            Transport::Tcp => Frame::request(request, self.seq, Codec::Protobuf)?.encode(),
            Transport::WebSocket => masked(Opcode::Binary, &Frame::request(request, self.seq, Codec::Protobuf)?.encode()),
            Transport::WebSocketText => masked(Opcode::Text, &envelope::request(request, self.seq)?),
        };
        self.write(&bytes).await?;
        Ok(self.seq)
    }

    pub async fn pong(&mut self, payload: &[u8]) -> Result<()> {
        self.write(&masked(Opcode::Pong, payload)).await
    }

    /// Bytes as they are: for tests of what is not the protocol.
    pub async fn write(&mut self, bytes: &[u8]) -> Result<()> {
        tokio::time::timeout(PATIENCE, self.writer.write_all(bytes)).await.context("write in time")??;
        Ok(())
    }

    /// From now on the kernel drops every packet that comes for this connection, as a firewall on the way does: the server
    /// hears not even an acknowledgement. Whoever asks for it must not write any more.
    pub fn drop_packets(&self) -> Result<()> {
        const RETURN: u16 = 0x06;
        const NOTHING: u32 = 0;
        let drop_all = socket2::SockFilter::new(RETURN, 0, 0, NOTHING);
        socket2::SockRef::from(self.writer.as_ref()).attach_filter(&[drop_all]).context("filter packets")
    }
}

/// The mask hides nothing here: no proxy is between a test and its server.
fn masked(opcode: Opcode, payload: &[u8]) -> Bytes {
    client_frame(opcode, payload, [0x5a, 0xa5, 0x3c, 0xc3])
}

// === impl Ears ===

impl Ears {
    /// The next thing the server says. After [`Heard::Closed`] or an error nothing more comes.
    pub async fn hear(&mut self) -> Result<Heard> {
        loop {
            if let Some(heard) = self.next_heard()? {
                return Ok(heard);
            }
            if self.reader.read_buf(&mut self.unread).await? == 0 {
                return Ok(Heard::Closed(self.reason));
            }
        }
    }

    fn next_heard(&mut self) -> Result<Option<Heard>> {
        match &mut self.decoder {
            AnyDecoder::Tcp(decoder) => match decoder.decode(&mut self.unread)? {
                Some(frame) => self.framed(&frame).map(Some),
                None => Ok(None),
            },
            AnyDecoder::WebSocket(decoder) => {
                let Some(message) = decoder.decode(&mut self.unread)? else { return Ok(None) };
                self.message(message)
            }
        }
    }

    fn message(&mut self, message: Message) -> Result<Option<Heard>> {
        match message {
            Message::Binary(bytes) => {
                let frame = Frame::from_message(&bytes, frame::Limits::SKEIN, Strictness::Skein)?;
                self.framed(&frame).map(Some)
            }
            Message::Text(text) => {
                let envelope = Envelope::parse(&text)?;
                Ok(Some(self.told(envelope.seq, envelope.incoming()?)))
            }
            Message::Ping(payload) => Ok(Some(Heard::Ping(payload))),
            Message::Pong(_) => Ok(None),
            Message::Close(close) => {
                let code = close.and_then(|close| CloseCode::from_number(close.code));
                Ok(Some(Heard::Closed(code.or(self.reason))))
            }
        }
    }

    fn framed(&mut self, frame: &Frame) -> Result<Heard> {
        let incoming = Incoming::decode(frame.op, frame.seq, Codec::Protobuf, &frame.body)?;
        Ok(self.told(frame.seq, incoming))
    }

    fn told(&mut self, seq: i32, incoming: Incoming) -> Heard {
        if let Incoming::Push(Push::Error(error)) = &incoming {
            self.reason = CloseCode::from_name(&error.code).or(self.reason);
        }
        match incoming {
            Incoming::Reply(reply) => Heard::Reply { seq, reply },
            Incoming::Push(push) => Heard::Push(push),
        }
    }
}

/// One request and its reply on a connection that is used for nothing else; pushes in between are passed over.
pub async fn exchange(mouth: &mut Mouth, ears: &mut Ears, request: &Request) -> Result<Reply> {
    let asked = mouth.ask(request).await?;
    let answer = async {
        loop {
            match ears.hear().await? {
                Heard::Reply { seq, reply } if seq == asked => return Ok(reply),
                Heard::Ping(payload) => mouth.pong(&payload).await?,
                Heard::Closed(code) => bail!("closed with {code:?}"),
                Heard::Reply { .. } | Heard::Push(_) => {}
            }
        }
    };
    tokio::time::timeout(PATIENCE, answer).await.context("no answer in time")?
}
