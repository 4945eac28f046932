//! `POST /logic/verify`: other gateways ask whose cookie or token they were shown.

use super::super::dto::account::{Verified, VerifyRequest};
use super::super::extract::Json;
use super::super::problem::Problem;
use super::super::{SharedState, auth};
use super::ask::{Asker, KEY_MAY_NOT, NO_KEY, NO_VALID_KEY};
use skein_domain::Code;
use skein_domain::live::{PushCommand, PushRoute};
use skein_protocol::ErrorCode;

/// Whose cookie or token a gateway was shown
#[utoipa::path(post, path = "/logic/verify", tag = "gateways", request_body = VerifyRequest, responses((status = 200, body = Verified)))]
pub async fn verify(
    state: SharedState,
    asker: Result<Asker, Problem>,
    body: Result<Json<VerifyRequest>, Problem>,
) -> Result<Json<Verified>, Problem> {
    // Not 401: that is the answer about the client's secret.
    let forbidden = |_| Problem::new(ErrorCode::Forbidden, NO_KEY).titled(NO_VALID_KEY);
    let asker = asker.map_err(forbidden)?;
    if let Err(error) = asker.ask(&state, PushCommand::Authorize { route: PushRoute::Verify }).await {
        return Err(match error.code {
            Code::Unauthorized => forbidden(error.into()),
            Code::Forbidden => Problem::from(error).titled(KEY_MAY_NOT),
            _ => error.into(),
        });
    }
    let (session, nickname) = auth::verify(&state, &asker.from, body?.0.secret).await?;
    Ok(Json(Verified::new(session, nickname)))
}
