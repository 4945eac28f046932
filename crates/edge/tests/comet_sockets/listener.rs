//! Sockets before anything is said on them.

use super::script::Script;
use super::world::*;
use skein_edge::comet::Config;
use skein_edge::listen;
use std::net::SocketAddr;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

async fn world(listener: listen::Config) -> World {
    World::new(Config { listener, ..patient() }, Script::plain()).await
}

/// Everything that is answered until the server closes.
async fn answer(address: SocketAddr, request: &[u8]) -> String {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(request).await.unwrap();
    let mut answer = Vec::new();
    let read = tokio::time::timeout(Duration::from_secs(10), stream.read_to_end(&mut answer)).await;
    // A reset is an end too.
    let _ = read.expect("the server closes");
    String::from_utf8_lossy(&answer).into_owned()
}

#[tokio::test]
async fn half_a_header_and_an_idle_connection_end_by_the_clock() {
    let world = world(listen::Config { header_timeout_ms: 100, ..Default::default() }).await;
    assert!(!answer(world.http, b"GET /hello HTTP/1.1\r\nhost: ").await.contains("200"));
    let idle = answer(world.http, b"GET /hello HTTP/1.1\r\nhost: x\r\n\r\n").await;
    assert!(idle.contains("from the gate"), "{idle}");
}

#[tokio::test]
async fn a_header_over_the_limit_is_refused() {
    let world = world(listen::Config { header_bytes_max: 8 * 1024, ..Default::default() }).await;
    let request = format!("GET /hello HTTP/1.1\r\nhost: x\r\nx: {}\r\n\r\n", "x".repeat(20_000));
    let refused = answer(world.http, request.as_bytes()).await;
    assert!(refused.is_empty() || refused.starts_with("HTTP/1.1 431"), "{refused}");
    assert!(answer(world.http, b"GET /hello HTTP/1.1\r\nconnection: close\r\n\r\n").await.contains("from the gate"));
}

#[tokio::test]
async fn at_the_limit_of_sockets_the_next_waits_for_one_to_end() {
    let world = world(listen::Config { connections_max: 1, ..Default::default() }).await;
    let first = world.user("1").await;
    let mut second = world.client().await;
    let seq = second.auth(skein_protocol::v1::Auth { token: "2".into(), ..Default::default() }).await;
    // The kernel has accepted it, so there is nothing to await that would show it is not served.
    tokio::time::sleep(Duration::from_millis(50)).await;
    assert_eq!((world.hub.counts().connections, world.logic.connects.lock().unwrap().len()), (1, 1));
    drop(first);
    assert!(matches!(second.reply(seq).await, skein_protocol::Reply::Hello(_)));
}

#[tokio::test]
async fn a_websocket_keeps_its_permit_and_gives_it_back() {
    let world = world(listen::Config { connections_max: 1, ..Default::default() }).await;
    let raw = super::websocket::Raw::log_in(&world, "1").await;
    let waiting = tokio::spawn(answer(world.http, b"GET /hello HTTP/1.1\r\nconnection: close\r\n\r\n"));
    tokio::time::sleep(Duration::from_millis(50)).await;
    assert!(!waiting.is_finished());
    drop(raw);
    assert!(waiting.await.unwrap().contains("from the gate"));
}

#[tokio::test]
async fn after_shutdown_nobody_is_accepted_and_whoever_is_here_stays() {
    let world = world(listen::Config::default()).await;
    let mut client = world.user("1").await;
    world.accepting.cancel();
    for address in [world.tcp, world.http] {
        let refused = async {
            while TcpStream::connect(address).await.is_ok() {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(Duration::from_secs(10), refused).await.expect("the listener is gone");
    }
    client.beat().await;
}
