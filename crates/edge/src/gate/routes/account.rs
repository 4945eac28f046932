//! Codes, registration, log-in, log-out, devices and tickets.

use super::*;
use crate::gate::address::ClientAddress;
use crate::gate::auth;
use crate::gate::rates::Limit;
use axum::http::{HeaderMap, header};
use axum::response::{AppendHeaders, IntoResponse, Response};
use dto::account::*;
use skein_domain::command::{AccountCommand, AccountReply, Command, Reply};
use skein_domain::id::{NodeId, SessionId};

pub(super) fn routes() -> OpenApiRouter<Arc<Shared>> {
    OpenApiRouter::default()
        .routes(routes!(request_code))
        .routes(routes!(register))
        .routes(routes!(log_in))
        .routes(routes!(reset_password))
        .routes(routes!(log_out))
        .routes(routes!(log_out_everywhere))
        .routes(routes!(list_devices))
        .routes(routes!(end_device))
        .routes(routes!(ticket))
}

/// Ask for an e-mail code
///
/// The answer is the same for known and unknown addresses. A new code voids the one before.
#[utoipa::path(post, path = "/code", tag = "account", security(()), request_body = CodeRequest, responses((status = 204)))]
async fn request_code(state: SharedState, from: ClientAddress, Json(body): Json<CodeRequest>) -> Done {
    state.limits.take(Limit::Code, from.ip)?;
    let command = AccountCommand::RequestCode { email: body.email, purpose: body.purpose.into() };
    expect_reply!(state.account(from.origin(), command).await?, AccountReply::Done => StatusCode::NO_CONTENT)
}

/// Open an account with an e-mail code
#[utoipa::path(post, path = "/register", tag = "account", security(()), request_body = RegisterRequest, responses((status = 201, body = Registered)))]
async fn register(
    state: SharedState,
    from: ClientAddress,
    Json(body): Json<RegisterRequest>,
) -> Result<(StatusCode, Json<Registered>), Problem> {
    state.limits.take(Limit::Register, from.ip)?;
    let RegisterRequest { email, code, password, nickname } = body;
    let reply = state.account(from.origin(), AccountCommand::Register { email, code, password, nickname }).await?;
    expect_reply!(reply, AccountReply::Registered { uid } => (StatusCode::CREATED, Json(Registered { uid: uid.into() })))
}

/// Log in
///
/// Ends the older session of the same device class. Browsers (`web`) get the secret as the cookie `skein_session`, all
/// others as `token`.
#[utoipa::path(post, path = "/login", tag = "account", security(()), request_body = LogInRequest, responses((status = 200, body = LoggedIn)))]
async fn log_in(state: SharedState, from: ClientAddress, headers: HeaderMap, Json(body): Json<LogInRequest>) -> Result<Response, Problem> {
    state.limits.take(Limit::LogIn, from.ip)?;
    let by_cookie = body.wants_cookie();
    if by_cookie && auth::is_from_page(&headers) {
        auth::require_own_page(&headers, &state)?;
    }
    let class = body.device_class.into();
    let command = AccountCommand::LogIn { email: body.email, password: body.password, class, client: body.client };
    let logged_in = expect_reply!(state.account(from.origin(), command).await?, AccountReply::LoggedIn(logged_in) => *logged_in)?;
    if by_cookie {
        let cookie = auth::set_cookie(&logged_in.token, from.https)?;
        return Ok((AppendHeaders([(header::SET_COOKIE, cookie)]), Json(LoggedIn::new(logged_in, false))).into_response());
    }
    Ok(Json(LoggedIn::new(logged_in, true)).into_response())
}

/// Set a new password with an e-mail code
///
/// Ends all sessions.
#[utoipa::path(post, path = "/password/reset", tag = "account", security(()), request_body = ResetRequest, responses((status = 204)))]
async fn reset_password(state: SharedState, from: ClientAddress, Json(body): Json<ResetRequest>) -> Done {
    state.limits.take(Limit::Register, from.ip)?;
    let ResetRequest { email, code, password } = body;
    let reply = state.account(from.origin(), AccountCommand::ResetPassword { email, code, password }).await?;
    expect_reply!(reply, AccountReply::Done => StatusCode::NO_CONTENT)
}

/// End this session
#[utoipa::path(post, path = "/logout", tag = "account", responses((status = 204)))]
async fn log_out(state: SharedState, who: Authenticated, from: ClientAddress) -> Result<Response, Problem> {
    log_out_by(state, who, from, Command::LogOut { session: None }).await
}

/// End all my sessions
#[utoipa::path(post, path = "/logout/everywhere", tag = "account", responses((status = 204)))]
async fn log_out_everywhere(state: SharedState, who: Authenticated, from: ClientAddress) -> Result<Response, Problem> {
    log_out_by(state, who, from, Command::LogOutEverywhere).await
}

async fn log_out_by(state: SharedState, who: Authenticated, from: ClientAddress, command: Command) -> Result<Response, Problem> {
    expect_reply!(state.call(who.caller, command).await?, Reply::Done => ())?;
    let cookie = who.by_cookie.then(|| (header::SET_COOKIE, auth::clear_cookie(from.https)));
    Ok((StatusCode::NO_CONTENT, AppendHeaders(cookie)).into_response())
}

/// My sessions
#[utoipa::path(get, path = "/devices", tag = "account", responses((status = 200, body = Devices)))]
async fn list_devices(state: SharedState, who: Authenticated) -> Answer<Devices> {
    let reply = state.call(who.caller, Command::ListDevices).await?;
    expect_reply!(reply, Reply::Devices { sessions, current } => {
        let devices = sessions.into_iter().map(|session| Device::new(session, current)).collect();
        Json(Devices { devices })
    })
}

/// End one of my sessions
#[utoipa::path(delete, path = "/devices/{session}", tag = "account", params(("session" = Int64, Path)), responses((status = 204)))]
async fn end_device(state: SharedState, who: Authenticated, PathId(session): PathId<SessionId>) -> Done {
    let reply = state.call(who.caller, Command::LogOut { session: Some(session) }).await?;
    expect_reply!(reply, Reply::Done => StatusCode::NO_CONTENT)
}

/// A ticket that takes this session to a Comet
///
/// For clients that must not show their token to another node. Good once, for 60 seconds.
#[utoipa::path(post, path = "/ticket", tag = "account", request_body = TicketRequest, responses((status = 200, body = Ticket)))]
async fn ticket(state: SharedState, who: Authenticated, from: ClientAddress, Json(body): Json<TicketRequest>) -> Answer<Ticket> {
    let command = AccountCommand::Ticket { secret: who.secret, node: body.node.map(NodeId) };
    let reply = state.account(from.origin(), command).await?;
    expect_reply!(reply, AccountReply::Ticket { ticket, comet } => Json(Ticket { ticket, comet: comet.map(Comet::from) }))
}
