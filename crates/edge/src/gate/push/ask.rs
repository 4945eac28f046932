//! The way from a request to the door.

use super::super::Shared;
use super::super::address::ClientAddress;
use super::super::auth;
use super::super::problem::Problem;
use axum::extract::FromRequestParts;
use axum::http::HeaderMap;
use axum::http::request::Parts;
use axum::response::Response;
use skein_domain::live::{PushCommand, PushOutcome, PushReply, PushRequest, Pusher};
use skein_domain::{Code, Error, Result};
use skein_protocol::ErrorCode;
use std::sync::Arc;

/// Who asks, and from where.
///
/// **Invariant:** who shows a key has proved it behind the door before anything else of the request is judged, and before
/// its body is read.
pub struct Asker {
    pub pusher: Pusher,
    pub from: ClientAddress,
}

impl FromRequestParts<Arc<Shared>> for Asker {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &Arc<Shared>) -> std::result::Result<Self, Problem> {
        let Ok(from) = ClientAddress::from_request_parts(parts, state).await;
        Ok(Self::with_key(state, &parts.headers, from).await?)
    }
}

pub const NO_KEY: &str = "this needs an API key: Authorization: Bearer <key>";

/// Titles of failures about keys: what the codes mean in general speaks of sessions and roles.
pub const NO_VALID_KEY: &str = "There is no valid API key.";
pub const KEY_MAY_NOT: &str = "This API key may not do that.";

/// Says of a failure of the push API that it is about the key.
pub async fn about_keys(mut response: Response) -> Response {
    if let Some(problem) = response.extensions_mut().remove::<Problem>() {
        let problem = match problem.code {
            ErrorCode::Unauthorized => problem.titled(NO_VALID_KEY),
            ErrorCode::Forbidden => problem.titled(KEY_MAY_NOT),
            _ => problem,
        };
        response.extensions_mut().insert(problem);
    }
    response
}

impl Asker {
    pub async fn with_key(state: &Shared, headers: &HeaderMap, from: ClientAddress) -> Result<Self> {
        let key = auth::bearer(headers).filter(|key| auth::is_plausible(key));
        let key = key.ok_or_else(|| Error::new(Code::Unauthorized, NO_KEY))?;
        let asker = Self { pusher: Pusher::ApiKey(key.to_owned()), from };
        asker.ask(state, PushCommand::Prove).await?;
        Ok(asker)
    }

    /// One command, within the deadline.
    pub async fn ask(&self, state: &Shared, command: PushCommand) -> Result<PushReply> {
        let late = match command {
            PushCommand::Push { .. } => Error::new(Code::RetrySameKey, "the outcome is unknown: push again with the same idempotency key"),
            _ => Error::new(Code::Timeout, "the answer took too long"),
        };
        let asked = state.logic.push(self.pusher.clone(), self.from.origin(), command);
        tokio::time::timeout(state.deadline(), asked).await.unwrap_or(Err(late))
    }

    /// As many outcomes as there are requests, in their order.
    pub async fn push(&self, state: &Shared, requests: Vec<PushRequest>) -> Result<Vec<PushOutcome>> {
        let count = requests.len();
        match self.ask(state, PushCommand::Push { requests }).await? {
            PushReply::Pushed { outcomes } if outcomes.len() == count => Ok(outcomes),
            _ => Err(unexpected_reply()),
        }
    }

    pub async fn push_one(&self, state: &Shared, request: PushRequest) -> Result<PushOutcome> {
        self.push(state, vec![request]).await?.pop().ok_or_else(unexpected_reply)
    }
}

pub fn unexpected_reply() -> Error {
    tracing::error!("unexpected reply from logic");
    Error::internal()
}
