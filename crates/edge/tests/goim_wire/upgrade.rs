//! The WebSocket port: goim's own handshake, and its tolerance of frames.

use super::client::*;
use super::world::*;
use skein_domain::live::GuestCommand;
use skein_edge::comet::Clients;
use std::sync::Arc;
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;

async fn asked(world: &World, request: &str) -> Goim {
    let mut client = Goim { stream: TcpStream::connect(world.websocket).await.unwrap(), via: Via::WebSocket };
    client.raw(request.as_bytes()).await;
    client
}

#[tokio::test]
async fn an_upgrade_is_answered_with_three_headers_and_nothing_else() {
    let world = World::plain().await;
    let many = UPGRADE.replace(
        "Host: h",
        "Origin: https://evil.example\r\nSec-WebSocket-Protocol: skein.json\r\nSec-WebSocket-Extensions: permessage-deflate\r\nX: y",
    );
    for request in [UPGRADE, &many, &UPGRADE.replace("websocket", "WEBSOCKET"), &UPGRADE.replace(": Upgrade", ": keep-alive, upgrade")] {
        let mut client = asked(&world, request).await;
        client.is(UPGRADED.as_bytes()).await;
        client.log_in("{}").await;
    }
}

#[tokio::test]
async fn what_is_no_upgrade_is_closed_without_an_http_answer() {
    let world = World::plain().await;
    let changed = |from: &str, to: &str| UPGRADE.replace(from, to);
    for request in [
        changed("/sub", "/sub?x=1"),
        changed("/sub", "/sub/"),
        changed("/sub", "/"),
        changed("/sub", "http://h/sub"),
        changed("GET", "POST"),
        changed(" HTTP/1.1", ""),
        changed("Version: 13", "Version: 8"),
        changed("Sec-WebSocket-Version: 13\r\n", ""),
        changed("Upgrade: websocket", "Upgrade: h2c"),
        changed("Connection: Upgrade", "Connection: close"),
        changed("dGhlIHNhbXBsZSBub25jZQ==", ""),
        changed("Host: h", "no colon"),
        changed("Host: h", &format!("X: {}", "x".repeat(9_000))),
    ] {
        asked(&world, &request).await.closed().await;
    }
    world.is_empty_again().await;
}

#[tokio::test]
async fn the_cookie_of_the_upgrade_goes_to_logic_and_may_come_with_the_log_in() {
    let world = World::plain().await;
    let log_in = fragment(true, 2, true, &frame(7, 1, b"{}"));
    let mut client = asked(&world, "").await;
    client.raw(&[UPGRADE.replace("Host: h", "Cookie: a=b; c=d").as_bytes(), &log_in].concat()).await;
    client.is(UPGRADED.as_bytes()).await;
    client.hears(&frame(8, 1, b"")).await;
    let heard = world.logic.heard.lock().unwrap().clone();
    assert!(matches!(&heard[0], GuestCommand::Connect { cookie, address, .. } if cookie == "a=b; c=d" && address == "127.0.0.1"));
}

#[tokio::test]
async fn text_and_unmasked_frames_are_heard() {
    let world = World::plain().await;
    for (opcode, masked) in [(1, true), (2, true), (1, false), (2, false)] {
        let mut client = world.client(Via::WebSocket).await;
        // A packLen of 0x95 is no UTF-8, which goim does not mind.
        let body = format!("{{\"other\":\"{}\"}}", "x".repeat(120));
        assert!(std::str::from_utf8(&frame(7, 1, body.as_bytes())).is_err());
        client.raw(&fragment(true, opcode, masked, &frame(7, 1, body.as_bytes()))).await;
        client.hears(&frame(8, 1, b"")).await;
    }
}

#[tokio::test]
async fn a_message_may_come_in_a_hundred_fragments() {
    let world = World::plain().await;
    let whole = frame(14, 5, &[b'5'; 200]);
    let cut = |pieces: usize| -> Vec<u8> {
        let piece = |at: usize| {
            let payload = if at == 0 { &whole[..20] } else { whole.get(18 + at * 2..20 + at * 2).unwrap_or_default() };
            fragment(at == pieces - 1, if at == 0 { 2 } else { 0 }, at.is_multiple_of(2), payload)
        };
        (0..pieces).flat_map(piece).collect()
    };
    let mut client = world.guest(Via::WebSocket, "{}").await;
    client.raw(&cut(99)).await;
    client.hears(&whole.iter().enumerate().map(|(at, byte)| if at == 11 { 15 } else { *byte }).collect::<Vec<_>>()).await;
    client.raw(&cut(100)).await;
    client.hears(&whole.iter().enumerate().map(|(at, byte)| if at == 11 { 15 } else { *byte }).collect::<Vec<_>>()).await;
    client.raw(&cut(110)).await;
    client.closed().await;
}

#[tokio::test]
async fn reserved_bits_and_opcodes_close_without_a_word() {
    let world = World::plain().await;
    for first in [0xc2, 0xa2, 0x92, 0x83, 0x8b] {
        let mut client = world.guest(Via::WebSocket, "{}").await;
        let mut bytes = fragment(true, 2, true, &frame(2, 1, b""));
        bytes[0] = first;
        client.raw(&bytes).await;
        client.closed().await;
    }
}

/// goim leaves the pong in its buffer until something else is written.
#[tokio::test]
async fn a_ping_is_answered_at_once() {
    let world = World::plain().await;
    let mut client = world.client(Via::WebSocket).await;
    client.raw(&fragment(true, 9, true, b"before the log-in")).await;
    client.is(&fragment(true, 10, false, b"before the log-in")).await;
    client.log_in("{}").await;
    client.raw(&fragment(true, 9, true, b"and after")).await;
    client.is(&fragment(true, 10, false, b"and after")).await;
    client.raw(&fragment(true, 10, true, b"nobody asked")).await;
    client.beats(0).await;
}

#[tokio::test]
async fn a_close_frame_ends_the_stream_without_one_in_return() {
    let world = World::plain().await;
    for payload in [&b""[..], &[0x03, 0xe8], b"x", &[0, 1]] {
        let mut client = world.guest(Via::WebSocket, "{}").await;
        client.raw(&fragment(true, 8, true, payload)).await;
        client.closed().await;
    }
    world.is_empty_again().await;
}

#[tokio::test]
async fn the_same_is_spoken_over_tls() {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio_rustls::rustls::pki_types::{PrivateKeyDer, ServerName};
    use tokio_rustls::rustls::{ClientConfig, RootCertStore, ServerConfig};
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let key = PrivateKeyDer::try_from(made.signing_key.serialize_der()).unwrap();
    let mut roots = RootCertStore::empty();
    roots.add(made.cert.der().clone()).unwrap();
    let server = ServerConfig::builder().with_no_client_auth().with_single_cert(vec![made.cert.der().clone()], key).unwrap();
    let connector: tokio_rustls::TlsConnector =
        Arc::new(ClientConfig::builder().with_root_certificates(roots).with_no_client_auth()).into();

    let world = World::plain().await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (comet, stop) = (world.comet.clone(), CancellationToken::new());
    let _stopping = stop.clone().drop_guard();
    tokio::spawn(async move { comet.serve(listener, Some(Arc::new(server).into()), Clients::GoimWebSocket, stop).await });

    let stream = TcpStream::connect(address).await.unwrap();
    let mut stream = connector.connect(ServerName::try_from("localhost").unwrap(), stream).await.unwrap();
    stream.write_all(&[UPGRADE.as_bytes(), &fragment(true, 2, true, &frame(7, 1, b"{}"))].concat()).await.unwrap();
    let wanted = [UPGRADED.as_bytes(), &fragment(true, 2, false, &frame(8, 1, b""))].concat();
    let mut heard = vec![0; wanted.len()];
    stream.read_exact(&mut heard).await.unwrap();
    assert_eq!(heard, wanted);
}
