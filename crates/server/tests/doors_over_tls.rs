//! Two nodes of one deployment, joined by the internal gRPC over TLS.

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
