//! An acceptor without file descriptors waits and goes on. Alone in its process, because it takes all of them.
//!
//! goim's acceptor ends for good at the first such error: nobody is let in until a restart.

use skein_domain::id::NodeId;
use skein_domain::live::{Guest, GuestCommand, GuestKey, GuestReply, Mid};
use skein_domain::port::CometAddress;
use skein_domain::testing::{ScriptedLogic, at_once};
use skein_edge::comet::{Clients, Comet, Config, Hub};
use std::fs::File;
use std::io::ErrorKind;
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;

/// More than the process has open, few enough to use up.
const DESCRIPTORS_MAX: usize = 256;

#[tokio::test]
async fn every_acceptor_survives_the_want_of_descriptors() {
    let hub = Hub::new(Config::default(), NodeId("node-1".into()));
    let comet = Comet::new(hub.clone(), Arc::new(porter()), CometAddress::default());
    let mut addresses = Vec::new();
    for clients in [Clients::SkeinAndGoim, Clients::GoimWebSocket] {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        addresses.push(listener.local_addr().unwrap());
        let serving = comet.clone();
        tokio::spawn(async move { serving.serve(listener, None, clients, CancellationToken::new()).await });
    }
    let limit = format!("--nofile={DESCRIPTORS_MAX}:{DESCRIPTORS_MAX}");
    let limited = Command::new("prlimit").args(["--pid", &std::process::id().to_string(), &limit]).status();
    assert!(limited.expect("prlimit of util-linux").success());

    let mut taken: Vec<File> = Vec::new();
    let exhausted = loop {
        match File::open("/dev/null") {
            Ok(file) => taken.push(file),
            Err(error) => break error,
        }
    };
    assert!(taken.len() > 2 && exhausted.kind() != ErrorKind::NotFound, "{exhausted}");
    let mut clients = Vec::new();
    for address in addresses {
        // One for the client's end, none for the server's.
        taken.pop();
        clients.push(TcpStream::connect(address).await.unwrap());
    }
    // Nothing announces that nothing happens: several tries fit into this time.
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert_eq!(hub.counts().connections, 0, "there is nothing to accept them with");
    drop(taken);

    let accepted = async {
        while hub.counts().connections < 2 {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(10), accepted).await.expect("the acceptors go on");
    let log_in = b"\0\0\0\x12\0\x10\0\x01\0\0\0\x07\0\0\0\x01{}";
    let mut answer = [0; 16];
    clients[0].write_all(log_in).await.unwrap();
    clients[0].read_exact(&mut answer).await.unwrap();
    assert_eq!(&answer[8..12], [0, 0, 0, 8]);
}

/// Lets every guest in and knows nothing else.
fn porter() -> ScriptedLogic {
    let on_guest = at_once(|command| match command {
        GuestCommand::Connect { .. } => {
            let key = GuestKey::parse("guest")?;
            let guest = Guest { mid: Mid(0), key, room: None, accepts: Vec::new(), platform: String::new(), tags: Vec::new() };
            Ok(GuestReply::Connected { guest, heartbeat_ms: 480_000, replaced: None })
        }
        _ => Ok(GuestReply::Done),
    });
    ScriptedLogic { on_guest, ..ScriptedLogic::default() }
}
