//! The other end of a door: address, whom to trust there, shared secret, and a channel that connects when it is needed.

use skein_domain::door::CALL_DEADLINE_MS;
use std::sync::Arc;
use std::time::Duration;
use subtle::ConstantTimeEq;
use tonic::metadata::MetadataValue;
use tonic::service::Interceptor;
use tonic::transport::{Certificate, Channel, ClientTlsConfig, Endpoint};
use tonic::{Request, Status};

/// Largest message through a door: a batch of pushes or a sync page, with room to spare.
pub(crate) const MESSAGE_BYTES_MAX: usize = 4 * 1024 * 1024;

/// Shared by all processes of a deployment; never printed.
#[derive(Clone)]
pub struct Secret(Arc<str>);

impl Secret {
    pub fn new(text: &str) -> Self {
        Self(text.trim().into())
    }
}

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Secret(…)")
    }
}

/// Certificates of the authorities whose word is taken for a peer at an `https` address.
#[derive(Clone, Debug)]
pub struct Trust(ClientTlsConfig);

impl Trust {
    pub fn from_pem(pem: impl AsRef<[u8]>) -> Self {
        Self(ClientTlsConfig::new().ca_certificate(Certificate::from_pem(pem)))
    }
}

/// A peer process.
#[derive(Clone, Debug)]
pub struct Peer {
    /// For logs; empty of a given link.
    pub(crate) address: Arc<str>,
    pub(crate) channel: Channel,
    pub(crate) secret: Secret,
}

impl Peer {
    /// Connects lazily and anew whenever the link is gone: with TLS to an `https` address, which needs `trust`, in plain
    /// text to an `http` one.
    pub fn new(address: &str, secret: Secret, trust: Option<&Trust>) -> Result<Self, tonic::transport::Error> {
        let mut endpoint = Self::endpoint(address)?;
        if let Some(Trust(tls)) = trust {
            endpoint = endpoint.tls_config(tls.clone())?;
        }
        Ok(Self { address: address.into(), channel: endpoint.connect_lazy(), secret })
    }

    /// Over a link made elsewhere, such as an in-memory pipe.
    pub fn from_channel(channel: Channel, secret: Secret) -> Self {
        Self { address: "".into(), channel, secret }
    }

    pub fn endpoint(address: &str) -> Result<Endpoint, tonic::transport::Error> {
        let endpoint = Endpoint::from_shared(address.to_owned())?
            .connect_timeout(Duration::from_secs(2))
            .http2_keep_alive_interval(Duration::from_secs(10))
            .keep_alive_timeout(Duration::from_secs(5))
            .keep_alive_while_idle(true)
            .tcp_nodelay(true);
        Ok(endpoint)
    }

    pub(crate) fn present(&self) -> Present {
        Present(self.secret.clone())
    }
}

pub(crate) fn deadline() -> Duration {
    Duration::from_millis(CALL_DEADLINE_MS)
}

/// Puts the secret on every call.
#[derive(Clone)]
pub(crate) struct Present(Secret);

impl Interceptor for Present {
    fn call(&mut self, mut request: Request<()>) -> Result<Request<()>, Status> {
        let value = MetadataValue::try_from(format!("Bearer {}", self.0.0)).map_err(|_| Status::internal("secret is not ASCII"))?;
        request.metadata_mut().insert("authorization", value);
        Ok(request)
    }
}

/// Refuses every call without the secret.
#[derive(Clone)]
pub(crate) struct Demand(pub Secret);

impl Interceptor for Demand {
    fn call(&mut self, request: Request<()>) -> Result<Request<()>, Status> {
        let expected = format!("Bearer {}", self.0.0);
        let given = request.metadata().get("authorization").map(|v| v.as_bytes()).unwrap_or_default();
        if bool::from(given.ct_eq(expected.as_bytes())) { Ok(request) } else { Err(Status::unauthenticated("internal secret required")) }
    }
}
