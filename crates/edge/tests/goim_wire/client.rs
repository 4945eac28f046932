//! goim's client as bytes on a socket. Knows nothing of this project's codecs.

use std::net::SocketAddr;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};

const PATIENCE: Duration = Duration::from_secs(10);
pub const UPGRADE: &str = "GET /sub HTTP/1.1\r\nHost: h\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
                           Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
pub const UPGRADED: &str = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
                            Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n";
const MASK: [u8; 4] = [0x37, 0xfa, 0x21, 0x3d];

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Via {
    Tcp,
    WebSocket,
}

impl Via {
    pub const BOTH: [Via; 2] = [Via::Tcp, Via::WebSocket];
}

pub struct Goim {
    pub stream: TcpStream,
    pub via: Via,
}

/// Spaces are for the reader.
pub fn hex(text: &str) -> Vec<u8> {
    let digits: Vec<u8> = text.bytes().filter(|byte| !byte.is_ascii_whitespace()).collect();
    digits.chunks(2).map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap()).collect()
}

/// packLen, headerLen, ver, op, seq.
pub fn header(pack_len: i32, header_len: i16, ver: i16, op: i32, seq: i32) -> Vec<u8> {
    let mut bytes = pack_len.to_be_bytes().to_vec();
    bytes.extend(header_len.to_be_bytes());
    bytes.extend(ver.to_be_bytes());
    bytes.extend(op.to_be_bytes());
    bytes.extend(seq.to_be_bytes());
    bytes
}

pub fn frame(op: i32, seq: i32, body: &[u8]) -> Vec<u8> {
    [header(16 + body.len() as i32, 16, 1, op, seq), body.to_vec()].concat()
}

/// One frame of a WebSocket client.
pub fn fragment(fin: bool, opcode: u8, masked: bool, payload: &[u8]) -> Vec<u8> {
    let mask_bit = if masked { 0x80 } else { 0 };
    let mut bytes = vec![if fin { 0x80 | opcode } else { opcode }];
    match payload.len() {
        0..=125 => bytes.push(mask_bit | payload.len() as u8),
        len => {
            bytes.push(mask_bit | 126);
            bytes.extend((len as u16).to_be_bytes());
        }
    }
    if !masked {
        return [bytes, payload.to_vec()].concat();
    }
    bytes.extend(MASK);
    bytes.extend(payload.iter().zip(MASK.iter().cycle()).map(|(byte, mask)| byte ^ mask));
    bytes
}

/// What a client hears of a push: bare frames, or the messages of containers of twenty.
pub fn pushed(via: Via, messages: &[(i32, &[u8])]) -> Vec<u8> {
    let inner = |messages: &[(i32, &[u8])]| messages.iter().flat_map(|(op, body)| frame(*op, 0, body)).collect::<Vec<_>>();
    match via {
        Via::Tcp => inner(messages),
        Via::WebSocket => messages.chunks(20).flat_map(|some| fragment(true, 2, false, &frame(9, 0, &inner(some)))).collect(),
    }
}

impl Goim {
    pub async fn connect(via: Via, address: SocketAddr) -> Self {
        Self::over(via, TcpStream::connect(address).await.unwrap()).await
    }

    /// Takes in little before it reads.
    pub async fn narrow(via: Via, address: SocketAddr) -> Self {
        let socket = TcpSocket::new_v4().unwrap();
        socket.set_recv_buffer_size(8 * 1024).unwrap();
        Self::over(via, socket.connect(address).await.unwrap()).await
    }

    async fn over(via: Via, stream: TcpStream) -> Self {
        let mut client = Self { stream, via };
        if via == Via::WebSocket {
            client.raw(UPGRADE.as_bytes()).await;
            client.is(UPGRADED.as_bytes()).await;
        }
        client
    }

    pub async fn raw(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).await.unwrap();
    }

    /// One frame of goim's, as the transport carries it.
    pub async fn say(&mut self, frame: &[u8]) {
        let bytes = if self.via == Via::Tcp { frame.to_vec() } else { fragment(true, 2, true, frame) };
        self.raw(&bytes).await;
    }

    /// The next bytes are these.
    pub async fn is(&mut self, wanted: &[u8]) {
        let mut heard = vec![0; wanted.len()];
        let read = tokio::time::timeout(PATIENCE, self.stream.read_exact(&mut heard)).await;
        read.expect("the server says something").expect("the connection stays");
        assert_eq!(heard, wanted, "{:?}: {} instead of {}", self.via, text(&heard), text(wanted));
    }

    /// The next thing is this frame.
    pub async fn hears(&mut self, frame: &[u8]) {
        let wanted = if self.via == Via::Tcp { frame.to_vec() } else { fragment(true, 2, false, frame) };
        self.is(&wanted).await;
    }

    pub async fn hears_push(&mut self, messages: &[(i32, &[u8])]) {
        self.is(&pushed(self.via, messages)).await;
    }

    pub async fn log_in(&mut self, body: &str) {
        self.say(&frame(7, 1, body.as_bytes())).await;
        self.hears(&frame(8, 1, b"")).await;
    }

    /// Says op 2 and hears how many are in its room.
    pub async fn beats(&mut self, online: i32) {
        self.say(&frame(2, 9, b"")).await;
        self.hears(&frame(3, 9, &online.to_be_bytes())).await;
    }

    /// The connection ends, and not a byte comes before.
    pub async fn closed(mut self) {
        let mut rest = Vec::new();
        // A reset is an end, too.
        let _ = tokio::time::timeout(PATIENCE, self.stream.read_to_end(&mut rest)).await.expect("the server closes");
        assert_eq!(rest, b"", "{:?} hears {}", self.via, text(&rest));
    }

    /// How much comes until nothing comes for a while.
    pub async fn drained(&mut self) -> Vec<u8> {
        let mut heard = Vec::new();
        while let Ok(Ok(1..)) = tokio::time::timeout(Duration::from_millis(300), self.stream.read_buf(&mut heard)).await {}
        heard
    }
}

fn text(bytes: &[u8]) -> String {
    bytes.iter().take(80).map(|byte| format!("{byte:02x}")).collect()
}
