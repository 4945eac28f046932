//! The same over a real socket: what only shows once HTTP writes the bytes.

use super::script::*;
use std::net::SocketAddr;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

async fn raw(address: SocketAddr, request: &str) -> String {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    answer
}

#[tokio::test]
async fn problems_are_framed_and_the_peer_is_known() {
    let script = done();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let service = app(&script).into_make_service_with_connect_info::<SocketAddr>();
    let server = tokio::spawn(async move { axum::serve(listener, service).await });

    let answer = raw(address, "GET /nothing HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n").await;
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    assert!(head.starts_with("HTTP/1.1 404 "), "{head}");
    assert!(head.contains(&format!("content-length: {}", body.len())), "{head}");
    assert!(body.contains("\"not_found\""), "{body}");

    let answer = raw(address, "HEAD /api/v1/friends HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n").await;
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    assert!(head.starts_with("HTTP/1.1 401 ") && body.is_empty(), "{answer}");

    let request =
        format!("POST /api/v1/logout HTTP/1.1\r\nhost: localhost\r\n{}\r\nx-forwarded-for: 1.2.3.4\r\nconnection: close\r\n\r\n", bearer());
    assert!(raw(address, &request).await.starts_with("HTTP/1.1 204 "));
    let (caller, _) = script.called.lock().unwrap().pop().unwrap();
    assert_eq!(caller.address, "127.0.0.1");
    server.abort();
}
