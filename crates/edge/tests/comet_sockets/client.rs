//! A client over TCP, made of the protocol crate and nothing of the edge.

use bytes::BytesMut;
use skein_protocol::frame::Limits;
use skein_protocol::table::Incoming;
use skein_protocol::{Codec, Frame, FrameDecoder, Op, Push, Reply, Request, Strictness, v1};
use std::net::SocketAddr;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};

const PATIENCE: Duration = Duration::from_secs(10);

/// The next thing that `parse` finds; `None` at the end of the stream.
pub async fn next_in<T>(
    stream: &mut (impl AsyncRead + Unpin),
    buf: &mut BytesMut,
    parse: impl Fn(&mut BytesMut) -> Option<T>,
) -> Option<T> {
    let reading = async {
        loop {
            if let Some(found) = parse(buf) {
                return Some(found);
            }
            match stream.read_buf(buf).await {
                Ok(0) | Err(_) => return None,
                Ok(_) => {}
            }
        }
    };
    tokio::time::timeout(PATIENCE, reading).await.expect("the server says something or closes")
}

pub struct Client<S = TcpStream> {
    pub stream: S,
    buf: BytesMut,
    codec: Codec,
    seq: i32,
}

impl Client {
    pub async fn connect(address: SocketAddr) -> Self {
        Self::over(TcpStream::connect(address).await.unwrap())
    }

    /// Takes in little before it reads.
    pub async fn narrow(address: SocketAddr) -> Self {
        let socket = TcpSocket::new_v4().unwrap();
        socket.set_recv_buffer_size(8 * 1024).unwrap();
        Self::over(socket.connect(address).await.unwrap())
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> Client<S> {
    pub fn over(stream: S) -> Self {
        Self { stream, buf: BytesMut::new(), codec: Codec::Protobuf, seq: 0 }
    }

    pub async fn send(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).await.unwrap();
    }

    /// Returns the seq.
    pub async fn ask(&mut self, request: Request) -> i32 {
        self.seq += 1;
        let frame = Frame::request(&request, self.seq, self.codec).unwrap();
        self.send(&frame.encode()).await;
        self.seq
    }

    /// `None` at the end of the stream.
    pub async fn frame(&mut self) -> Option<Frame> {
        let decoder = FrameDecoder::new(Limits { body_bytes_max: 1 << 20 }, Strictness::Skein);
        next_in(&mut self.stream, &mut self.buf, |buf| decoder.decode(buf).unwrap()).await
    }

    pub async fn hear(&mut self) -> Option<(i32, Incoming)> {
        let frame = self.frame().await?;
        Some((frame.seq, Incoming::decode(frame.op, frame.seq, self.codec, &frame.body).unwrap()))
    }

    pub async fn push(&mut self) -> Push {
        match self.hear().await {
            Some((0, Incoming::Push(push))) => push,
            other => panic!("expected a push, heard {other:?}"),
        }
    }

    pub async fn notice(&mut self) -> String {
        match self.push().await {
            Push::Notice(notice) => notice.text,
            other => panic!("expected a notice, heard {other:?}"),
        }
    }

    pub async fn reply(&mut self, seq: i32) -> Reply {
        match self.hear().await {
            Some((heard, Incoming::Reply(reply))) if heard == seq => reply,
            other => panic!("expected the reply to {seq}, heard {other:?}"),
        }
    }

    /// The code of the error that answers `seq`.
    pub async fn error(&mut self, seq: i32) -> String {
        match self.reply(seq).await {
            Reply::Error(error) => error.code,
            other => panic!("expected an error, heard {other:?}"),
        }
    }

    /// The name of the close, which is the last thing said.
    pub async fn closed(&mut self) -> String {
        let mut last = String::from("nothing");
        while let Some(frame) = self.frame().await {
            last = match Incoming::decode(frame.op, 0, self.codec, &frame.body) {
                Ok(Incoming::Push(Push::Error(error))) => error.code,
                other => format!("{other:?}"),
            };
        }
        last
    }

    pub async fn auth(&mut self, auth: v1::Auth) -> i32 {
        let seq = self.ask(Request::Auth(v1::Auth { major: 1, client: "test".into(), ..auth.clone() })).await;
        self.codec = Codec::from_name(&auth.codec).unwrap_or_default();
        seq
    }

    pub async fn log_in(&mut self, token: &str) -> v1::Hello {
        let seq = self.auth(v1::Auth { token: token.into(), ..Default::default() }).await;
        match self.reply(seq).await {
            Reply::Hello(hello) => hello,
            other => panic!("expected hello, heard {other:?}"),
        }
    }

    pub async fn beat(&mut self) {
        let seq = self.ask(Request::Heartbeat(v1::Heartbeat {})).await;
        let frame = self.frame().await.unwrap();
        assert_eq!((frame.op, frame.seq), (Op(3), seq));
    }
}

pub fn typing() -> Request {
    Request::Typing(v1::Typing { conversation: 5 })
}

pub fn sync() -> Request {
    Request::Sync(v1::Sync::default())
}

pub fn send(key: &str) -> Request {
    let segments = vec![v1::Segment { part: Some(v1::segment::Part::Text("hi".into())) }];
    let body = v1::Body { kind: "text".into(), segments, ..Default::default() };
    Request::Send(v1::Send { conversation: 5, key: key.into(), body: Some(body), ..Default::default() })
}
