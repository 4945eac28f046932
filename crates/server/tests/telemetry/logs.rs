//! The log: lines for machines, and not too many of them.

use super::world::{Client, Server, until};
use serde_json::Value;
use skein_protocol::{MAJOR, Reply, Request, v1};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

#[tokio::test]
async fn json_lines_carry_the_fields_of_their_span() {
    let server = Server::start(&["telemetry.log_format=json", "telemetry.log=info,skein_edge=debug"], &[]).await;
    let [ann, _] = server.friends().await;
    let mut device = server.connect(&ann).await;
    let Reply::Error(error) = device.send(1_000_000, "nowhere").await else { panic!("accepted") };
    let told = |line: &str| -> Option<Value> {
        let line: Value = serde_json::from_str(line).unwrap();
        (line["failure"] == error.trace.as_str()).then_some(line)
    };
    let line = until("the failure is in the log", || server.log().lines().find_map(told)).await;
    let span = &line["span"];
    assert_eq!((&span["name"], &span["user"], &span["seq"]), (&"comet.command".into(), &ann.uid.into(), &2.into()), "{line}");
    assert!(span["conn"].is_i64() && line["message"].is_string(), "{line}");
}

#[tokio::test]
async fn the_start_tells_what_was_configured_and_what_is_reached_in_plain_text() {
    let settings = ["telemetry.log_format=json", "listen.public=0.0.0.0:0", "mail.password=hunter2"];
    let server = Server::start(&settings, &[]).await;
    let log = server.log();
    let lines: Vec<Value> = log.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let configuration = lines.iter().find(|line| line["message"] == "configuration").expect("the configuration is told");
    let changed = configuration["changed"].as_str().unwrap();
    assert!(changed.contains(r#"listen.public="0.0.0.0:0""#) && changed.contains(r#"mail.password="…""#), "{changed}");
    assert!(!log.contains("hunter2"), "{log}");
    let warnings: Vec<_> = lines.iter().filter(|line| line["level"] == "WARN" && line["setting"].is_string()).collect();
    let [warning] = warnings[..] else { panic!("one warning: {warnings:?}") };
    assert_eq!((&warning["setting"], &warning["address"]), (&"listen.public".into(), &"0.0.0.0:0".into()));
    assert!(warning["fix"].as_str().unwrap().contains("tls.certificate"), "{warning}");
}

#[tokio::test]
async fn a_flood_of_bad_handshakes_is_a_few_lines() {
    const FLOOD: usize = 1_000;
    let server = Server::start(&[], &[]).await;
    let before = server.log().lines().count();
    let address = server.listening.tcp.unwrap();
    let public = server.listening.public.unwrap();
    for nth in 0..FLOOD {
        match nth % 4 {
            // A log-in with a token that nobody has.
            0 | 1 => {
                let auth = v1::Auth { token: format!("wrong-{nth}"), major: MAJOR, ..v1::Auth::default() };
                let refused = Client::open(address).await.ask(Request::Auth(auth)).await;
                assert!(matches!(refused, Reply::Error(error) if error.code == "unauthorized"));
            }
            2 => shout(address, &[0xff; 64]).await,
            _ => {
                let upgrade =
                    "GET /ws HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 8\r\n\r\n";
                shout(public, upgrade.as_bytes()).await;
            }
        }
    }
    let lines = server.log().lines().count() - before;
    assert!(lines > 0, "the first refusals are told");
    assert!(lines <= 60, "{lines} lines for {FLOOD} bad handshakes:\n{}", server.log());
    let metrics = server.metrics().await;
    assert_eq!(metrics.sum("skein_comet_auth_failures_total", &[]), Some(FLOOD as f64 / 2.0), "counted, if not told");
}

/// Says something, and waits until the server has had enough or has answered.
async fn shout(address: std::net::SocketAddr, bytes: &[u8]) {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(bytes).await.unwrap();
    let _ = stream.read(&mut [0; 512]).await;
}
