//! `POST /logic/verify`: other gateways ask whose cookie or token they were shown.
//!
//! **Invariant:** the API key is compared by hash, so that the time it takes tells nothing about how much was right.

use super::*;
use crate::gate::address::ClientAddress;
use crate::gate::auth;
use axum::Router;
use axum::http::HeaderMap;
use axum::routing::post;
use dto::account::{Verified, VerifyRequest};
use sha2::{Digest, Sha256};
use skein_protocol::ErrorCode;

/// What a gateway proves itself with. Holds only a hash.
#[derive(Clone, Copy)]
pub struct ApiKey([u8; 32]);

#[derive(Debug, thiserror::Error)]
#[error("an API key has at least {} characters", ApiKey::BYTES_MIN)]
pub struct ShortApiKey;

impl ApiKey {
    pub const BYTES_MIN: usize = 16;

    pub fn new(key: &str) -> Result<Self, ShortApiKey> {
        if key.len() < Self::BYTES_MIN { Err(ShortApiKey) } else { Ok(Self(Sha256::digest(key).into())) }
    }

    fn is(&self, shown: &str) -> bool {
        let shown: [u8; 32] = Sha256::digest(shown).into();
        let difference = self.0.iter().zip(shown).fold(0, |difference, (own, other)| difference | (own ^ other));
        difference == 0
    }
}

pub(in crate::gate) fn routes(key: ApiKey) -> Router<Arc<Shared>> {
    let verify = async move |state: SharedState, from: ClientAddress, headers: HeaderMap, body: Result<Json<VerifyRequest>, Problem>| {
        require_key(&key, &headers)?;
        verify(state, from, body?.0).await
    };
    Router::new().route("/logic/verify", post(verify))
}

/// Not 401: that is the answer about the client's secret.
fn require_key(key: &ApiKey, headers: &HeaderMap) -> Result<(), Problem> {
    if auth::bearer(headers).is_some_and(|shown| key.is(shown)) {
        return Ok(());
    }
    Err(Problem::new(ErrorCode::Forbidden, "this needs the API key: Authorization: Bearer <key>"))
}

async fn verify(state: SharedState, from: ClientAddress, request: VerifyRequest) -> Answer<Verified> {
    let (session, nickname) = auth::verify(&state, &from, request.secret).await?;
    Ok(Json(Verified::new(session, nickname)))
}
