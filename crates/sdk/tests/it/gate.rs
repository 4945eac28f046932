//! HTTP with a scripted gate.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use skein_sdk::{DeviceClass, Error, Gate, Retry};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

/// Answers every request by `answer(request line and headers, body)` → (status, JSON).
pub async fn serve(answer: impl Fn(&str, &str) -> (u16, String) + Send + Sync + 'static) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("binds");
    let address = format!("http://{}", listener.local_addr().expect("an address"));
    let answer = Arc::new(answer);
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let answer = Arc::clone(&answer);
            tokio::spawn(async move {
                let mut bytes = Vec::new();
                while !is_whole(&bytes) && stream.read_buf(&mut bytes).await.is_ok_and(|read| read > 0) {}
                let request = String::from_utf8_lossy(&bytes).into_owned();
                let (head, body) = request.split_once("\r\n\r\n").unwrap_or((&request, ""));
                let (status, json) = answer(head, body);
                let reply = format!(
                    "HTTP/1.1 {status} X\r\ncontent-type: application/json\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{json}",
                    json.len()
                );
                drop(stream.write_all(reply.as_bytes()).await);
            });
        }
    });
    address
}

fn is_whole(bytes: &[u8]) -> bool {
    let text = String::from_utf8_lossy(bytes);
    let Some((head, body)) = text.split_once("\r\n\r\n") else {
        return false;
    };
    let length = head.lines().find_map(|line| line.to_ascii_lowercase().strip_prefix("content-length: ").and_then(|n| n.parse().ok()));
    body.len() >= length.unwrap_or(0)
}

pub const LOGGED_IN: &str = r#"{"uid":"1","nickname":"Ann","session":"9","device_class":"cli","expires_at_ms":"1","token":"t0ken"}"#;

#[tokio::test]
async fn log_in_reads_decimal_strings_and_asks_for_a_token() {
    let server = serve(|head, body| {
        assert!(head.starts_with("POST /api/v1/login HTTP/1.1"), "{head}");
        assert!(body.contains(r#""device_class":"desktop""#) && body.contains(r#""cookie":false"#), "{body}");
        (200, LOGGED_IN.to_owned())
    })
    .await;
    let logged_in =
        Gate::new([server]).expect("a gate").log_in("ann@example.org", "pw", DeviceClass::Desktop, "test").await.expect("logs in");
    assert_eq!((logged_in.uid, logged_in.session, logged_in.token.as_deref()), (1, 9, Some("t0ken")));
}

#[tokio::test]
async fn the_token_travels_in_its_header_and_problems_come_typed() {
    let server = serve(|head, _| {
        assert!(head.to_ascii_lowercase().contains("authorization: bearer t0ken"), "{head}");
        assert!(!head.lines().next().expect("a line").contains("t0ken"));
        (429, r#"{"type":"x","code":"rate_limited","detail":"slow","retry_after_ms":"2500","trace":"t"}"#.to_owned())
    })
    .await;
    let error = Gate::new([server]).expect("a gate").devices("t0ken").await.expect_err("refused");
    assert_eq!((error.code(), error.retry()), ("rate_limited", Retry::After(std::time::Duration::from_millis(2500))));
}

#[tokio::test]
async fn the_next_server_is_asked_when_one_is_not_reached_and_stays_preferred() {
    let closed = TcpListener::bind("127.0.0.1:0").await.expect("binds").local_addr().expect("an address");
    let asked = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&asked);
    let server = serve(move |_, _| {
        counter.fetch_add(1, Ordering::Relaxed);
        (200, r#"{"devices":[]}"#.to_owned())
    })
    .await;
    let gate = Gate::new([format!("http://{closed}"), server]).expect("a gate");
    assert!(gate.devices("t").await.expect("answers").is_empty());
    assert!(gate.devices("t").await.expect("answers").is_empty());
    assert_eq!(asked.load(Ordering::Relaxed), 2);
    let nobody = Gate::new([format!("http://{closed}")]).expect("a gate");
    assert!(matches!(nobody.devices("t").await, Err(Error::Network(_))));
}
