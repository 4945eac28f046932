//! The development mailbox: there only when passed, and only for this machine.

use super::script::*;
use axum::body::Body;
use axum::extract::ConnectInfo;
use axum::http::Request;
use serde_json::json;
use skein_domain::id::Millis;
use skein_edge::gate::{self, Gate, Mailbox, ReceivedMail};
use std::net::SocketAddr;
use std::sync::Arc;

struct OneMail;

impl Mailbox for OneMail {
    fn mails(&self) -> Vec<ReceivedMail> {
        vec![ReceivedMail { at: Millis(5), to: "ann@example.org".into(), subject: "<code>".into(), text: "123456 & <script>".into() }]
    }
}

fn with_mailbox() -> axum::Router {
    gate::router(Gate { mailbox: Some(Arc::new(OneMail)), ..gate(&done()) })
}

#[tokio::test]
async fn programs_get_json_and_people_get_html() {
    let answer = send(&with_mailbox(), request("GET /dev/mailbox", &[], Body::empty())).await;
    assert_eq!(answer.json(), json!([{"at_ms": "5", "to": "ann@example.org", "subject": "<code>", "text": "123456 & <script>"}]));
    assert_eq!(answer.header("cache-control"), "no-store");

    let answer = send(&with_mailbox(), request("GET /dev/mailbox", &["accept: text/html,*/*;q=0.8"], Body::empty())).await;
    assert!(answer.header("content-type").starts_with("text/html"));
    assert!(answer.text.contains("123456 &amp; &lt;script&gt;") && !answer.text.contains("<script"), "{}", answer.text);
}

#[tokio::test]
async fn a_forwarded_request_is_refused() {
    for header in [
        "forwarded: for=1.2.3.4",
        "x-forwarded-for: 127.0.0.1",
        "x-forwarded-host: localhost",
        "x-forwarded-proto: http",
        "x-real-ip: 127.0.0.1",
        "via: 1.1 proxy",
    ] {
        let answer = send(&with_mailbox(), request("GET /dev/mailbox", &[header], Body::empty())).await;
        assert_eq!(answer.problem(), (403, "forbidden".to_owned()), "{header}");
    }
}

fn from(peer: [u8; 4], host: Option<&str>) -> Request<Body> {
    let request = Request::builder().uri("/dev/mailbox").extension(ConnectInfo(SocketAddr::from((peer, 1))));
    host.into_iter().fold(request, |request, host| request.header("host", host)).body(Body::empty()).unwrap()
}

#[tokio::test]
async fn another_host_name_or_machine_is_refused() {
    let local = [127, 0, 0, 1];
    for host in ["localhost", "127.0.0.1:8080", "[::1]:8080"] {
        assert_eq!(send(&with_mailbox(), from(local, Some(host))).await.status, 200, "{host}");
    }
    let refused = [
        from(local, Some("rebound.evil.example:8080")),
        from(local, Some("localhost.evil.example")),
        from(local, None),
        from([192, 0, 2, 1], Some("localhost")),
    ];
    for request in refused {
        assert_eq!(send(&with_mailbox(), request).await.problem(), (403, "forbidden".to_owned()));
    }
}

#[tokio::test]
async fn a_second_host_or_a_target_elsewhere_is_refused() {
    let to = |target: &str, hosts: &[&str]| {
        let request = Request::builder().uri(target).extension(ConnectInfo(SocketAddr::from(([127, 0, 0, 1], 1))));
        hosts.iter().fold(request, |request, host| request.header("host", *host)).body(Body::empty()).unwrap()
    };
    assert_eq!(send(&with_mailbox(), to("http://localhost:8080/dev/mailbox", &["localhost:8080"])).await.status, 200);
    for request in [
        to("http://evil.example/dev/mailbox", &["localhost"]),
        to("/dev/mailbox", &["localhost", "evil.example"]),
        to("/dev/mailbox", &["localhost", "localhost"]),
    ] {
        assert_eq!(send(&with_mailbox(), request).await.problem(), (403, "forbidden".to_owned()));
    }
}

#[tokio::test]
async fn without_a_mailbox_there_is_no_such_path() {
    let answer = send(&app(&done()), request("GET /dev/mailbox", &[], Body::empty())).await;
    assert_eq!(answer.problem(), (404, "not_found".to_owned()));
}
