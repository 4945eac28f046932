//! Opens the socket under a connection and turns its bytes into frames: bare over TCP, in binary messages over
//! WebSocket, either under TLS.
//!
//! **Invariant:** after a transport reported a close or an error it hands out nothing more.

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::{Bytes, BytesMut};
use rustls::pki_types::ServerName;
use skein_protocol::frame::{FrameError, Limits};
use skein_protocol::websocket::{self, Message, Opcode, Role};
use skein_protocol::{CloseCode, Frame, FrameDecoder, Strictness};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use crate::address::Address;
use crate::error::{CloseReason, Error};

pub(super) trait Socket: AsyncRead + AsyncWrite + Unpin + Send {}
impl<S: AsyncRead + AsyncWrite + Unpin + Send> Socket for S {}

/// Longest answer to an upgrade request.
const UPGRADE_BYTES_MAX: usize = 8 * 1024;

/// How frames lie in the byte stream.
pub(super) enum Framing {
    Bare(FrameDecoder),
    WebSocket(websocket::Decoder),
}

pub(super) enum Inbound {
    Frame(Frame),
    /// The peer lives, and that is all it said.
    Alive,
    Closed(CloseReason),
}

/// A socket that is ready for frames, and what was read past the upgrade.
pub(super) async fn open(
    address: &Address,
    tls: Option<&Arc<rustls::ClientConfig>>,
) -> Result<(Box<dyn Socket>, Framing, BytesMut), Error> {
    let stream = TcpStream::connect((address.host.as_str(), address.port)).await.map_err(network)?;
    stream.set_nodelay(true).map_err(network)?;
    let mut socket: Box<dyn Socket> = match address.scheme.is_encrypted() {
        true => encrypt(stream, address, tls).await?,
        false => Box::new(stream),
    };
    if !address.scheme.is_websocket() {
        return Ok((socket, Framing::Bare(FrameDecoder::new(Limits::SKEIN, Strictness::Skein)), BytesMut::new()));
    }
    let rest = upgrade(&mut socket, address).await?;
    let limits = websocket::Limits::of_message(skein_protocol::frame::HEADER_BYTES + skein_protocol::frame::SKEIN_BODY_BYTES_MAX);
    Ok((socket, Framing::WebSocket(websocket::Decoder::new(Role::Client, limits)), rest))
}

async fn encrypt(stream: TcpStream, address: &Address, tls: Option<&Arc<rustls::ClientConfig>>) -> Result<Box<dyn Socket>, Error> {
    let config = match tls {
        Some(config) => Arc::clone(config),
        None => Arc::new(platform_tls()?),
    };
    let name = ServerName::try_from(address.host.clone()).map_err(|_| Error::BadAddress(address.to_string()))?;
    let stream = TlsConnector::from(config).connect(name, stream).await.map_err(network)?;
    Ok(Box::new(stream))
}

/// Trusts what the operating system trusts.
fn platform_tls() -> Result<rustls::ClientConfig, Error> {
    use rustls_platform_verifier::BuilderVerifierExt as _;
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .and_then(|builder| builder.with_platform_verifier())
        .map_err(network)?;
    Ok(config.with_no_client_auth())
}

/// RFC 6455 section 4.1. Gives back what the server sent right behind its answer.
async fn upgrade(socket: &mut Box<dyn Socket>, address: &Address) -> Result<BytesMut, Error> {
    let mut nonce = [0; 16];
    random(&mut nonce)?;
    let key = STANDARD.encode(nonce);
    let request = format!(
        "GET {} HTTP/1.1\r\nHost: {}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Key: {key}\r\nSec-WebSocket-Version: 13\r\n\r\n",
        address.path,
        address.authority()
    );
    socket.write_all(request.as_bytes()).await.map_err(network)?;
    socket.flush().await.map_err(network)?;
    let mut answer = BytesMut::new();
    let end = loop {
        if let Some(at) = answer.windows(4).position(|window| window == b"\r\n\r\n") {
            break at + 4;
        }
        if answer.len() > UPGRADE_BYTES_MAX {
            return Err(Error::Protocol("answer to the upgrade is too long".to_owned()));
        }
        if socket.read_buf(&mut answer).await.map_err(network)? == 0 {
            return Err(Error::Network("closed during the upgrade".to_owned()));
        }
    };
    let head = answer.split_to(end);
    check_upgrade(&String::from_utf8_lossy(&head), &key)?;
    Ok(answer)
}

fn check_upgrade(head: &str, key: &str) -> Result<(), Error> {
    let mut lines = head.lines();
    let status = lines.next().unwrap_or_default();
    if status.split(' ').nth(1) != Some("101") {
        return Err(Error::Network(format!("upgrade was answered with {:?}", status.chars().take(64).collect::<String>())));
    }
    let accept = lines
        .filter_map(|line| line.split_once(':'))
        .find(|(name, _)| name.eq_ignore_ascii_case("sec-websocket-accept"))
        .map(|(_, value)| value.trim());
    match accept == Some(websocket::accept_key(key).as_str()) {
        true => Ok(()),
        false => Err(Error::Protocol("upgrade was accepted with a wrong key".to_owned())),
    }
}

impl Framing {
    pub fn encode(&self, frame: &Frame, out: &mut BytesMut) -> Result<(), Error> {
        match self {
            Framing::Bare(_) => frame.encode_into(out),
            Framing::WebSocket(_) => out.extend_from_slice(&masked(Opcode::Binary, &frame.encode())?),
        }
        Ok(())
    }

    /// Says goodbye where the transport has a word for it.
    pub fn encode_close(&self, code: CloseCode, out: &mut BytesMut) {
        if let Framing::WebSocket(_) = self
            && let Ok(frame) = masked(Opcode::Close, &websocket::close_payload(code.number(), code.name()))
        {
            out.extend_from_slice(&frame);
        }
    }

    /// Takes the next thing off `inbound`; answers to pings go to `outbound`. `Ok(None)`: more bytes are needed.
    pub fn decode(&mut self, inbound: &mut BytesMut, outbound: &mut BytesMut) -> Result<Option<Inbound>, CloseReason> {
        let decoder = match self {
            Framing::Bare(decoder) => return Ok(decoder.decode(inbound).map_err(broken)?.map(Inbound::Frame)),
            Framing::WebSocket(decoder) => decoder,
        };
        let message = decoder.decode(inbound).map_err(|error| CloseReason::broken(error.close_code(), error))?;
        Ok(match message {
            None => None,
            Some(Message::Binary(bytes)) => Some(Inbound::Frame(frame_of(&bytes)?)),
            // Text is the answer to text, and this client speaks frames.
            Some(Message::Text(_) | Message::Pong(_)) => Some(Inbound::Alive),
            Some(Message::Ping(payload)) => {
                outbound.extend_from_slice(&masked(Opcode::Pong, &payload).map_err(CloseReason::lost)?);
                Some(Inbound::Alive)
            }
            Some(Message::Close(close)) => Some(Inbound::Closed(reason_of(close))),
        })
    }
}

fn frame_of(message: &Bytes) -> Result<Frame, CloseReason> {
    Frame::from_message(message, Limits::SKEIN, Strictness::Skein).map_err(broken)
}

fn broken(error: FrameError) -> CloseReason {
    CloseReason::broken(error.close_code(), error)
}

fn reason_of(close: Option<websocket::CloseFrame>) -> CloseReason {
    match close {
        None => CloseReason::lost("closed without a reason"),
        Some(close) => CloseReason { code: CloseCode::from_number(close.code), ..CloseReason::lost(close.reason) },
    }
}

fn masked(opcode: Opcode, payload: &[u8]) -> Result<Bytes, Error> {
    let mut mask = [0; 4];
    random(&mut mask)?;
    Ok(websocket::client_frame(opcode, payload, mask))
}

fn random(bytes: &mut [u8]) -> Result<(), Error> {
    getrandom::fill(bytes).map_err(|error| Error::Network(format!("no randomness: {error}")))
}

pub(super) fn network(error: impl std::fmt::Display) -> Error {
    Error::Network(error.to_string())
}
