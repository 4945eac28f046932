//! The gRPC listeners of a node: joined with another over TLS, and shown to strangers who hardly speak.

use bytes::BytesMut;
use metrics_exporter_prometheus::PrometheusBuilder;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use skein_protocol::frame::{Frame, FrameDecoder, Limits, Strictness};
use skein_protocol::{Codec, Incoming, MAJOR, Reply, Request, v1};
use skein_server::config::Config;
use skein_server::node::Node;
use skein_server::roles::Role;
use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// Who signs certificates here.
fn authority() -> CertifiedIssuer<'static, KeyPair> {
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap()
}

async fn node(folder: &Path, change: impl FnOnce(&mut Config)) -> Node {
    let mut config = Config::default();
    let listen = &mut config.listen;
    for address in [&mut listen.public, &mut listen.tcp, &mut listen.push, &mut listen.admin, &mut listen.comet_rpc, &mut listen.logic_rpc]
    {
        address.set_port(0);
    }
    change(&mut config);
    config.validate().unwrap();
    std::fs::create_dir_all(folder).unwrap();
    Node::start(config, folder, PrometheusBuilder::new().build_recorder().handle()).await.unwrap()
}

/// What a Comet answers to a token that nobody has: `unauthorized` is Logic's word.
async fn answer(comet: SocketAddr) -> String {
    let mut stream = TcpStream::connect(comet).await.unwrap();
    let auth = Request::Auth(v1::Auth { token: "nobody's".into(), major: MAJOR, ..v1::Auth::default() });
    stream.write_all(&Frame::request(&auth, 1, Codec::Protobuf).unwrap().encode()).await.unwrap();
    let (mut unread, decoder) = (BytesMut::new(), FrameDecoder::new(Limits::SKEIN, Strictness::Skein));
    let frame = loop {
        match decoder.decode(&mut unread).unwrap() {
            Some(frame) => break frame,
            None => assert_ne!(stream.read_buf(&mut unread).await.unwrap(), 0, "closed without an answer"),
        }
    };
    match Incoming::decode(frame.op, frame.seq, Codec::Protobuf, &frame.body).unwrap() {
        Incoming::Reply(Reply::Error(error)) => error.code,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn nodes_speak_over_tls_and_a_plain_or_distrustful_one_is_refused() {
    let folder = TempDir::new().unwrap();
    let at = |name: &str| folder.path().join(name);
    let (authority, stranger) = (authority(), authority());
    let key = KeyPair::generate().unwrap();
    let certificate = CertificateParams::new(vec!["localhost".into()]).unwrap().signed_by(&key, &authority).unwrap();
    for (name, text) in
        [("node.pem", certificate.pem()), ("node.key", key.serialize_pem()), ("ca.pem", authority.pem()), ("stranger.pem", stranger.pem())]
    {
        std::fs::write(at(name), text).unwrap();
    }
    let core = node(&at("core"), |config| {
        config.node.roles = vec![Role::Gate, Role::Status, Role::Verify, Role::Logic, Role::Job];
        (config.tls.certificate, config.tls.private_key) = (at("node.pem"), at("node.key"));
    })
    .await;
    let port = core.listening().logic_rpc.unwrap().port();
    for (nth, (scheme, ca_file, wanted)) in
        [("https", "ca.pem", "unauthorized"), ("https", "stranger.pem", "unavailable"), ("http", "ca.pem", "unavailable")]
            .into_iter()
            .enumerate()
    {
        let comet = node(&at(&format!("comet-{nth}")), |config| {
            config.node.name = format!("comet-{nth}");
            config.node.roles = vec![Role::Comet];
            config.peers.logic = format!("{scheme}://localhost:{port}");
            config.peers.ca_file = at(ca_file);
            config.peers.secret_file = at("core/internal.secret");
        })
        .await;
        assert_eq!(answer(comet.listening().tcp.unwrap()).await, wanted, "{scheme} trusting {ca_file}");
        comet.stop().await;
    }
    core.stop().await;
}

const PATIENCE: Duration = Duration::from_secs(20);
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
/// Of HTTP/2: length, type, flags, stream.
const SETTINGS: [u8; 9] = [0, 0, 0, 4, 0, 0, 0, 0, 0];
const PING: [u8; 17] = [0, 0, 8, 6, 0, 0, 0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8];
const PONG: [u8; 17] = [0, 0, 8, 6, 1, 0, 0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8];

async fn says(door: SocketAddr, words: &[u8]) -> TcpStream {
    let mut stream = TcpStream::connect(door).await.unwrap();
    stream.write_all(words).await.unwrap();
    stream
}

/// What comes until the other end closes, in whatever way.
async fn ends(stream: &mut TcpStream) -> bool {
    let mut buffer = [0; 1_024];
    let reading = async { while stream.read(&mut buffer).await.is_ok_and(|count| count > 0) {} };
    tokio::time::timeout(PATIENCE, reading).await.is_ok()
}

#[tokio::test]
async fn who_connects_to_a_grpc_listener_and_says_nothing_is_let_go_and_who_speaks_stays() {
    let folder = TempDir::new().unwrap();
    let node = node(folder.path(), |config| {
        config.listen.push_rpc = Some(SocketAddr::from(([127, 0, 0, 1], 0)));
        config.comet.listener.header_timeout_ms = 300;
    })
    .await;
    let door = node.listening().push_rpc.unwrap();
    let mut peer = says(door, &[PREFACE, &SETTINGS].concat()).await;
    for words in [b"".as_slice(), b"P", &PREFACE[..PREFACE.len() - 1]] {
        assert!(ends(&mut says(door, words).await).await, "after {words:?} it may stay for ever");
    }
    // Its time has passed, too.
    peer.write_all(&PING).await.unwrap();
    let mut heard = Vec::new();
    let hearing = async { while !heard.ends_with(&PONG) && peer.read_buf(&mut heard).await.unwrap() > 0 {} };
    tokio::time::timeout(PATIENCE, hearing).await.expect("an answer");
    assert!(heard.ends_with(&PONG), "{heard:?}");
    drop(peer);
    node.stop().await;
}
