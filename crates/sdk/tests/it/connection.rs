//! One connection: pairing, order, ends, heartbeats, both transports.

use std::sync::Arc;
use std::time::Duration;

use skein_protocol::websocket::{Message, Opcode, server_frame};
use skein_protocol::{Advice, CloseCode, Op, Push, Request, v1};
use skein_sdk::connection::{Address, Auth, Connection, Options, Pushes};
use skein_sdk::{Error, ErrorCode};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::server::{Peer, Server};

fn token() -> Auth {
    Auth::Token("t0ken".to_owned())
}

fn profiles(uid: i64) -> Request {
    Request::GetProfiles(v1::GetProfiles { uids: vec![uid] })
}

async fn pair(options: Options) -> (Connection, Pushes, Peer) {
    let server = Server::bind().await;
    let address: Address = server.address().parse().expect("an address");
    let (client, peer) = tokio::join!(Connection::connect_with(&address, token(), &options), server.welcome(1));
    let (connection, pushes, _) = client.expect("connects");
    (connection, pushes, peer)
}

#[tokio::test]
async fn replies_in_reverse_order_find_their_requests() {
    let (connection, _pushes, mut peer) = pair(Options::default()).await;
    let first = connection.begin(profiles(1)).expect("room");
    let second = connection.begin(profiles(2)).expect("room");
    let (seq1, request1) = peer.request().await;
    let (seq2, request2) = peer.request().await;
    assert_eq!((request1, request2), (profiles(1), profiles(2)), "begun in order, sent in order");
    for (seq, uid) in [(seq2, 2), (seq1, 1)] {
        let profile = v1::Profile { uid, ..v1::Profile::default() };
        peer.reply(seq, Op::GET_PROFILES, v1::Profiles { profiles: vec![profile], cursor: String::new() }).await;
    }
    for (uid, reply) in [(1, first.await), (2, second.await)] {
        let profiles = v1::Profiles::try_from(reply.expect("a reply")).expect("profiles");
        assert_eq!(profiles.profiles[0].uid, uid);
    }
}

#[tokio::test]
async fn an_error_answers_its_request_and_the_connection_stays() {
    let (connection, _pushes, mut peer) = pair(Options::default()).await;
    let (answer, ()) = tokio::join!(connection.request(profiles(1)), async {
        let (seq, _) = peer.request().await;
        peer.reply(seq, Op::GET_PROFILES, v1::Error { retry_after_ms: 40, ..v1::Error::new(ErrorCode::Busy, "later") }).await;
    });
    assert_eq!(answer.expect_err("refused").code(), "busy");
    assert!(connection.close_reason().is_none());
}

#[tokio::test]
async fn a_request_without_a_reply_ends_at_its_deadline() {
    let options = Options { request_timeout: Duration::from_millis(50), ..Options::default() };
    let (connection, _pushes, mut peer) = pair(options).await;
    assert!(matches!(connection.request(profiles(1)).await, Err(Error::Timeout)));
    let (late, _) = peer.request().await;
    peer.reply(late, Op::GET_PROFILES, v1::Profiles::default()).await;
    let (answer, ()) = tokio::join!(connection.request(profiles(2)), async {
        let (seq, _) = peer.request().await;
        assert_ne!(seq, late);
        peer.reply(seq, Op::GET_PROFILES, v1::Profiles::default()).await;
    });
    answer.expect("the late reply disturbs nobody");
}

#[tokio::test]
async fn what_waits_is_bounded() {
    let (connection, _pushes, _peer) = pair(Options { in_flight_max: 2, ..Options::default() }).await;
    let waiting = (connection.begin(profiles(1)), connection.begin(profiles(2)));
    assert!(connection.begin(profiles(3)).is_none());
    drop(waiting);
    assert!(connection.begin(profiles(4)).is_some());
}

#[tokio::test]
async fn a_kick_names_its_reason_to_requests_and_readers() {
    let (connection, mut pushes, mut peer) = pair(Options::default()).await;
    let waiting = connection.begin(profiles(1)).expect("room");
    peer.request().await;
    peer.close(CloseCode::LoggedInElsewhere).await;
    let reason = connection.closed().await;
    assert_eq!((reason.code, reason.advice()), (Some(CloseCode::LoggedInElsewhere), Advice::Stop));
    assert!(matches!(waiting.await, Err(Error::Closed(closed)) if closed == reason));
    assert!(pushes.recv().await.is_none());
    assert!(matches!(connection.request(profiles(2)).await, Err(Error::Closed(_))));
}

#[tokio::test]
async fn a_loss_without_a_word_means_reconnect() {
    let (connection, _pushes, peer) = pair(Options::default()).await;
    drop(peer);
    assert_eq!(connection.closed().await.advice(), Advice::Reconnect);
}

#[tokio::test]
async fn a_refused_log_in_is_a_close() {
    let server = Server::bind().await;
    let address: Address = server.address().parse().expect("an address");
    let (client, ()) = tokio::join!(Connection::connect(&address, token()), async {
        let mut peer = server.accept().await;
        let (_, auth) = peer.auth().await;
        assert_eq!((auth.token.as_str(), auth.major), ("t0ken", 1));
        peer.close(CloseCode::AuthFailed).await;
    });
    assert!(matches!(client, Err(Error::Closed(reason)) if reason.code == Some(CloseCode::AuthFailed)));
}

#[tokio::test]
async fn a_slow_reader_hears_one_resync_and_replies_flow_on() {
    let (connection, mut pushes, mut peer) = pair(Options { pushes_max: 2, ..Options::default() }).await;
    for uid in 0..20 {
        peer.push(v1::TypingPush { conversation: 1, uid }).await;
    }
    let (answer, ()) = tokio::join!(connection.request(profiles(1)), async {
        let (seq, _) = peer.request().await;
        peer.reply(seq, Op::GET_PROFILES, v1::Profiles::default()).await;
    });
    answer.expect("the reply passes unread pushes");
    peer.push(v1::Notice::default()).await;
    drop(peer);
    connection.closed().await;
    let mut heard = Vec::new();
    while let Some(push) = pushes.recv().await {
        heard.push(push);
    }
    let typing = |uid| Push::TypingPush(v1::TypingPush { conversation: 1, uid });
    assert_eq!(heard, [typing(0), typing(1), Push::Resync(v1::Resync::default())]);
}

#[tokio::test]
async fn heartbeats_are_sent_and_silence_ends_the_connection() {
    let options = Options { heartbeat: Duration::from_millis(40), liveness: Duration::from_millis(400), ..Options::default() };
    let (connection, _pushes, mut peer) = pair(options).await;
    for _ in 0..3 {
        let (seq, request) = peer.any_request().await.expect("a request");
        assert!(matches!(request, Request::Heartbeat(_)), "{request:?}");
        peer.reply(seq, Op::HEARTBEAT, v1::HeartbeatReply::default()).await;
    }
    assert_eq!(connection.closed().await.code, Some(CloseCode::HeartbeatTimeout));
    peer.gone().await;
}

#[tokio::test]
async fn rubbish_ends_the_connection() {
    let (connection, _pushes, mut peer) = pair(Options::default()).await;
    peer.raw(&[0xff; 32]).await;
    let reason = connection.closed().await;
    assert_eq!((reason.code, reason.is_broken, reason.advice()), (Some(CloseCode::ProtocolError), true, Advice::Reconnect));
}

#[tokio::test]
async fn a_reply_over_the_limit_is_told_as_such() {
    let (connection, _pushes, mut peer) = pair(Options::default()).await;
    let (answer, ()) = tokio::join!(connection.request(profiles(1)), async {
        let (seq, _) = peer.request().await;
        peer.oversized(seq, Op::GET_PROFILES).await;
    });
    let error = answer.expect_err("it cannot be read");
    assert_eq!(error.code(), "too_big");
    assert!(matches!(error, Error::Closed(reason) if reason.is_broken && reason.text.contains("over the limit")));
}

#[tokio::test]
async fn dropping_the_last_handle_closes() {
    let (connection, pushes, peer) = pair(Options::default()).await;
    let second = connection.clone();
    drop((connection, pushes));
    assert!(second.close_reason().is_none());
    drop(second);
    peer.gone().await;
}

#[tokio::test]
async fn websocket_carries_the_same_frames() {
    let server = Server::bind().await;
    let address: Address = format!("ws://{}/ws", server.address()).parse().expect("an address");
    let (client, mut peer) = tokio::join!(Connection::connect(&address, token()), async {
        let mut peer = server.accept().await;
        peer.upgrade().await;
        peer.welcome(v1::Hello { uid: 7, ..v1::Hello::default() }).await;
        peer
    });
    let (connection, mut pushes, hello) = client.expect("connects");
    assert_eq!(hello.uid, 7);
    peer.raw(&server_frame(Opcode::Ping, b"are you there")).await;
    assert_eq!(peer.message().await, Some(Message::Pong("are you there".into())));
    peer.push(v1::Notice { text: "hi".to_owned(), ..v1::Notice::default() }).await;
    assert!(matches!(pushes.recv().await, Some(Push::Notice(notice)) if notice.text == "hi"));
    let (answer, ()) = tokio::join!(connection.request(profiles(1)), async {
        let (seq, _) = peer.request().await;
        peer.reply(seq, Op::GET_PROFILES, v1::Profiles::default()).await;
    });
    answer.expect("a reply");
    peer.close(CloseCode::Slow).await;
    let reason = connection.closed().await;
    assert_eq!((reason.code, reason.advice()), (Some(CloseCode::Slow), Advice::Resync));
}

#[tokio::test]
async fn tls_encrypts_and_trusts_only_whom_it_should() {
    let key = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).expect("a certificate");
    let der = key.cert.der().clone();
    let private = rustls::pki_types::PrivateKeyDer::try_from(key.signing_key.serialize_der()).expect("a key");
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_no_client_auth()
        .with_single_cert(vec![der.clone()], private)
        .expect("a config");
    let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(config));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("binds");
    let port = listener.local_addr().expect("an address").port();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            if let Ok(mut stream) = acceptor.accept(stream).await {
                let hello = skein_protocol::Reply::Hello(v1::Hello { uid: 7, ..v1::Hello::default() });
                let frame = skein_protocol::Frame::reply(&hello, Op::AUTH, 1, skein_protocol::Codec::Protobuf).expect("encodes");
                stream.write_all(&frame.encode()).await.expect("writes");
                // Reads on until the client goes.
                drop(stream.read_to_end(&mut Vec::new()).await);
            }
        }
    });
    let address: Address = format!("tls://localhost:{port}").parse().expect("an address");

    let stranger = Connection::connect(&address, token()).await;
    assert!(matches!(stranger, Err(Error::Network(_))), "a certificate nobody vouches for");

    let mut roots = rustls::RootCertStore::empty();
    roots.add(der).expect("a root");
    let trusting = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_root_certificates(roots)
        .with_no_client_auth();
    let options = Options { tls: Some(Arc::new(trusting)), ..Options::default() };
    let (_connection, _pushes, hello) = Connection::connect_with(&address, token(), &options).await.expect("connects");
    assert_eq!(hello.uid, 7);
}
