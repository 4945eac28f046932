//! The same over TLS.

use super::client::*;
use super::script::Script;
use super::world::*;
use skein_domain::id::NodeId;
use skein_domain::port::CometAddress;
use skein_edge::comet::{Clients, Comet, Hub};
use skein_protocol::Reply;
use std::sync::Arc;
use tokio::io::AsyncReadExt;
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::rustls::pki_types::{PrivateKeyDer, ServerName};
use tokio_rustls::rustls::{ClientConfig, RootCertStore, ServerConfig};
use tokio_rustls::{TlsAcceptor, TlsConnector};
use tokio_util::sync::CancellationToken;

#[tokio::test]
async fn frames_travel_over_tls_and_plain_text_there_costs_one_handshake() {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let certificate = made.cert.der().clone();
    let key = PrivateKeyDer::try_from(made.signing_key.serialize_der()).unwrap();
    let server = ServerConfig::builder().with_no_client_auth().with_single_cert(vec![certificate.clone()], key).unwrap();
    let mut roots = RootCertStore::empty();
    roots.add(certificate).unwrap();
    let connector = TlsConnector::from(Arc::new(ClientConfig::builder().with_root_certificates(roots).with_no_client_auth()));

    let hub = Hub::new(patient(), NodeId("node-1".into()));
    let comet = Comet::new(hub.clone(), Script::plain(), CometAddress::default());
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let accepting = CancellationToken::new();
    let acceptor = TlsAcceptor::from(Arc::new(server));
    let serving = tokio::spawn({
        let (comet, accepting) = (comet.clone(), accepting.clone());
        async move { comet.serve(listener, Some(acceptor), Clients::Skein, accepting).await }
    });

    let stream = connector.connect(ServerName::try_from("localhost").unwrap(), TcpStream::connect(address).await.unwrap()).await.unwrap();
    let mut client = Client::over(stream);
    client.log_in("1").await;
    let seq = client.ask(sync()).await;
    assert!(matches!(client.reply(seq).await, Reply::SyncPage(_)));

    let mut plain = Client::connect(address).await;
    plain.send(&[0; 64]).await;
    let mut alert = Vec::new();
    plain.stream.read_to_end(&mut alert).await.unwrap();
    assert_eq!(hub.counts().connections, 1, "no TLS, no connection");
    drop(client);
    eventually("the connection has ended", || hub.counts().connections == 0).await;
    accepting.cancel();
    serving.await.unwrap();
}
