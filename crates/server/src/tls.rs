//! TLS by configuration: one certificate for every listener.

use anyhow::{Context, Result, ensure};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tokio_rustls::TlsAcceptor;
use tonic::transport::{Identity, ServerTlsConfig};

/// Time for the handshake of another process of the deployment.
const RPC_HANDSHAKE: Duration = Duration::from_secs(10);

#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct TlsConfig {
    /// PEM file with the certificate chain. Empty: plain text.
    pub certificate: PathBuf,
    /// PEM file with the private key.
    pub private_key: PathBuf,
}

impl TlsConfig {
    pub fn is_on(&self) -> bool {
        !self.certificate.as_os_str().is_empty()
    }

    pub fn validate(&self) -> Result<()> {
        let key = !self.private_key.as_os_str().is_empty();
        ensure!(self.is_on() == key, "tls.certificate and tls.private_key go together");
        Ok(())
    }

    /// `None` when TLS is off.
    pub fn acceptor(&self) -> Result<Option<TlsAcceptor>> {
        if !self.is_on() {
            return Ok(None);
        }
        let chain = CertificateDer::pem_file_iter(&self.certificate)
            .and_then(|certificates| certificates.collect::<Result<Vec<_>, _>>())
            .with_context(|| format!("read tls.certificate {}", self.certificate.display()))?;
        let key = PrivateKeyDer::from_pem_file(&self.private_key)
            .with_context(|| format!("read tls.private_key {}", self.private_key.display()))?;
        let config = rustls::ServerConfig::builder()
            .with_no_client_auth()
            .with_single_cert(chain, key)
            .context("use tls.certificate with tls.private_key")?;
        Ok(Some(TlsAcceptor::from(Arc::new(config))))
    }

    /// The same for the internal gRPC.
    pub fn rpc(&self) -> Result<Option<ServerTlsConfig>> {
        if !self.is_on() {
            return Ok(None);
        }
        let certificate =
            std::fs::read(&self.certificate).with_context(|| format!("read tls.certificate {}", self.certificate.display()))?;
        let key = std::fs::read(&self.private_key).with_context(|| format!("read tls.private_key {}", self.private_key.display()))?;
        Ok(Some(ServerTlsConfig::new().identity(Identity::from_pem(certificate, key)).timeout(RPC_HANDSHAKE)))
    }
}
