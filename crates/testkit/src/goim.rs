//! A client of goim's own protocol: bytes over TCP, and over a WebSocket that wants `/sub`.

use bytes::{Buf, Bytes, BytesMut};
use skein_protocol::websocket::{self, Decoder, Message, Opcode, Role, client_frame};
use std::net::SocketAddr;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

const PATIENCE: Duration = Duration::from_secs(20);
const HEADER: usize = 16;
const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";
const RAW: i32 = 9;

pub struct Goim {
    stream: TcpStream,
    unread: BytesMut,
    websocket: Option<Decoder>,
    /// Frames of a container that have not been handed out.
    inner: BytesMut,
}

impl Goim {
    pub async fn tcp(at: SocketAddr, auth: &str) -> Self {
        let stream = TcpStream::connect(at).await.unwrap();
        Self { stream, unread: BytesMut::new(), websocket: None, inner: BytesMut::new() }.logged_in(auth).await
    }

    pub async fn websocket(at: SocketAddr, auth: &str) -> Self {
        let mut stream = TcpStream::connect(at).await.unwrap();
        let request = format!(
            "GET /sub HTTP/1.1\r\nHost: {at}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {KEY}\r\n\r\n"
        );
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut unread = BytesMut::new();
        let end = loop {
            if let Some(at) = unread.windows(4).position(|window| window == b"\r\n\r\n") {
                break at + 4;
            }
            assert!(stream.read_buf(&mut unread).await.unwrap() > 0, "refused");
        };
        let head = unread.split_to(end);
        assert!(head.starts_with(b"HTTP/1.1 101 "), "{}", String::from_utf8_lossy(&head));
        let decoder = Decoder::new(Role::Client, websocket::Limits::of_message(1 << 20));
        Self { stream, unread, websocket: Some(decoder), inner: BytesMut::new() }.logged_in(auth).await
    }

    async fn logged_in(mut self, auth: &str) -> Self {
        self.say(7, 1, auth.as_bytes()).await;
        assert_eq!(self.next().await, (8, 1, Bytes::new()), "no answer to {auth}");
        self
    }

    pub async fn say(&mut self, op: i32, seq: i32, body: &[u8]) {
        let mut frame = Vec::new();
        frame.extend(((HEADER + body.len()) as i32).to_be_bytes());
        frame.extend([0, HEADER as u8, 0, 1]);
        frame.extend(op.to_be_bytes());
        frame.extend(seq.to_be_bytes());
        frame.extend(body);
        let bytes = match self.websocket {
            Some(_) => client_frame(Opcode::Binary, &frame, [1, 2, 3, 4]),
            None => frame.into(),
        };
        self.stream.write_all(&bytes).await.unwrap();
    }

    /// How many goim says are in this client's room.
    pub async fn online(&mut self) -> i32 {
        self.say(2, 77, b"").await;
        loop {
            if let (3, 77, mut body) = self.next().await {
                return body.get_i32();
            }
        }
    }

    /// The next push, as (operation, text).
    pub async fn push(&mut self) -> (i32, String) {
        let (op, seq, body) = self.next().await;
        assert_eq!(seq, 0, "op {op} is no push");
        (op, String::from_utf8(body.to_vec()).unwrap())
    }

    /// The next `count` pushes, sorted: for pushes whose order nobody promises.
    pub async fn pushes(&mut self, count: usize) -> Vec<(i32, String)> {
        let mut pushes = Vec::new();
        for _ in 0..count {
            pushes.push(self.push().await);
        }
        pushes.sort();
        pushes
    }

    /// The next frame as (op, seq, body), out of its container if it is in one.
    async fn next(&mut self) -> (i32, i32, Bytes) {
        tokio::time::timeout(PATIENCE, self.frame()).await.expect("the server says something")
    }

    async fn frame(&mut self) -> (i32, i32, Bytes) {
        loop {
            if let Some(frame) = take(&mut self.inner) {
                return frame;
            }
            let found = match &mut self.websocket {
                None => take(&mut self.unread),
                Some(decoder) => match decoder.decode(&mut self.unread).unwrap() {
                    Some(Message::Binary(message)) => take(&mut BytesMut::from(message)),
                    _ => None,
                },
            };
            match found {
                Some((RAW, 0, body)) if self.websocket.is_some() => self.inner = body.into(),
                Some(frame) => return frame,
                None => assert!(self.stream.read_buf(&mut self.unread).await.unwrap() > 0, "closed"),
            }
        }
    }
}

fn take(bytes: &mut BytesMut) -> Option<(i32, i32, Bytes)> {
    let mut header = bytes.get(..HEADER)?;
    let pack_len = header.get_i32() as usize;
    assert_eq!((header.get_u16(), header.get_u16()), (HEADER as u16, 1));
    let (op, seq) = (header.get_i32(), header.get_i32());
    if bytes.len() < pack_len {
        return None;
    }
    let mut frame = bytes.split_to(pack_len).freeze();
    Some((op, seq, frame.split_off(HEADER)))
}
