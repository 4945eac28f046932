//! `POST /logic/verify`: other gateways ask whose cookie or token they were shown.

use super::super::address::ClientAddress;
use super::super::dto::account::{Verified, VerifyRequest};
use super::super::extract::Json;
use super::super::problem::Problem;
use super::super::{Shared, SharedState, auth};
use super::ask::{Asker, KEY_MAY_NOT, NO_KEY, NO_VALID_KEY};
use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use skein_domain::live::{PushCommand, PushRoute};
use skein_domain::{Code, Error};
use skein_protocol::ErrorCode;
use std::sync::Arc;

/// Whose cookie or token a gateway was shown
#[utoipa::path(post, path = "/logic/verify", tag = "gateways", request_body = VerifyRequest, responses((status = 200, body = Verified)))]
pub async fn verify(state: SharedState, Gateway(asker): Gateway, body: Json<VerifyRequest>) -> Result<Json<Verified>, Problem> {
    let (session, nickname) = auth::verify(&state, &asker.from, body.0.secret).await?;
    Ok(Json(Verified::new(session, nickname)))
}

/// Whoever may ask about others' secrets.
pub struct Gateway(Asker);

impl FromRequestParts<Arc<Shared>> for Gateway {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &Arc<Shared>) -> Result<Self, Problem> {
        let Ok(from) = ClientAddress::from_request_parts(parts, state).await;
        let asker = Asker::with_key(state, &parts.headers, from).await.map_err(about_the_key)?;
        asker.ask(state, PushCommand::Authorize { route: PushRoute::Verify }).await.map_err(about_the_key)?;
        Ok(Self(asker))
    }
}

/// Never 401: that is the answer about the client's secret.
fn about_the_key(error: Error) -> Problem {
    match error.code {
        Code::Unauthorized => Problem::new(ErrorCode::Forbidden, NO_KEY).titled(NO_VALID_KEY),
        Code::Forbidden => Problem::from(error).titled(KEY_MAY_NOT),
        _ => error.into(),
    }
}
