//! Public HTTP: accounts, contacts and what curl needs of conversations, as JSON under `/api/v1`.
//!
//! Owns the HTTP shape of the product: routes, data types with their OpenAPI, problem answers, cookies, limits per
//! address, and the few pages that need no web client. Every request becomes one call of the [`Logic`] door; whether it
//! is allowed is decided there.
//!
//! Leaves to others: listening and TLS (the listener puts `ConnectInfo<SocketAddr>` into each request), live chat (comet),
//! business rules and storage (logic).
//!
//! **Invariant:** a request without a valid session reaches nothing but log-in, registration, e-mail codes, password
//! reset, health, documentation and static pages; the walk over the OpenAPI in `tests/gate_http/routes.rs` proves it.
//!
//! **Invariant:** passwords, codes and session secrets appear in no log, no URL and no `Debug` output.
//!
//! **Invariant:** every response leaves through [`guard`]: with a request id, security headers, and problems rendered there.

mod address;
mod auth;
mod config;
mod docs;
mod dto;
mod extract;
mod guard;
mod html;
mod int64;
mod mailbox;
mod pages;
mod problem;
mod push;
mod rates;
mod routes;
mod web;
mod web_folder;

use axum::Router;
use skein_domain::command::{AccountCommand, AccountReply, Command, Reply};
use skein_domain::door::{CALL_DEADLINE_MS, Caller, Logic, Origin};
use skein_domain::trace::Sampling;
use skein_protocol::ErrorCode;
use std::sync::Arc;
use std::time::Duration;

pub use address::Network;
pub use auth::{COOKIE, WebOrigin};
pub use config::{Config, Rate, Rates};
pub use docs::{endpoint_table, error_table, openapi, openapi_json};
pub use mailbox::{Mailbox, ReceivedMail};
pub use push::{MESSAGE_BYTES_MAX, REQUEST_BYTES_MAX, open_push_router, push_endpoint_table, push_openapi, push_openapi_json, push_router};
pub use web_folder::{NoWebClient, WebFolder};

use problem::Problem;

/// What the gate is made of.
pub struct Gate {
    pub logic: Arc<dyn Logic>,
    pub config: Config,
    /// The public listener speaks TLS itself; cookies are then `Secure`.
    pub tls: bool,
    /// Development mails to show at `/dev/mailbox`. Pass it only while SMTP is unset and the listener is on loopback.
    pub mailbox: Option<Arc<dyn Mailbox>>,
    /// Which requests are traced.
    pub sampling: Sampling,
}

/// The public HTTP API and its pages. Has a fallback (404 as a problem): merge routers without one into it.
pub fn router(gate: Gate) -> Router {
    let state = Arc::new(Shared::new(gate));
    let (api, _) = routes::api().split_for_parts();
    let mut router = api.merge(pages::routes()).merge(web::routes(&state.config.web_folder));
    if state.mailbox.is_some() {
        router = router.merge(mailbox::routes());
    }
    guard::wrap(router.with_state(state.clone()), state)
}

/// What all handlers share.
struct Shared {
    logic: Arc<dyn Logic>,
    config: Config,
    tls: bool,
    mailbox: Option<Arc<dyn Mailbox>>,
    sampling: Sampling,
    limits: rates::Limits,
    in_flight: tokio::sync::Semaphore,
}

type SharedState = axum::extract::State<Arc<Shared>>;

impl Shared {
    fn new(gate: Gate) -> Self {
        Self {
            limits: rates::Limits::new(&gate.config.rates),
            in_flight: tokio::sync::Semaphore::new(gate.config.in_flight_max.get() as usize),
            logic: gate.logic,
            config: gate.config,
            tls: gate.tls,
            mailbox: gate.mailbox,
            sampling: gate.sampling,
        }
    }

    /// The door's own, but at most half of the request's: a request asks who calls, and then the command.
    fn deadline(&self) -> Duration {
        Duration::from_millis(CALL_DEADLINE_MS.min(u64::from(self.config.request_timeout_ms.get()) / 2))
    }

    /// One command, within the deadline. After it the outcome of a change is unknown, so a command with a key answers
    /// `retry_same_key`.
    async fn call(&self, caller: Caller, command: Command) -> Result<Reply, Problem> {
        let has_key =
            matches!(command, Command::Send { .. } | Command::Change { .. } | Command::CreateGroup { .. } | Command::CreateRoom { .. });
        let late = if has_key { ErrorCode::RetrySameKey } else { ErrorCode::Timeout };
        match tokio::time::timeout(self.deadline(), self.logic.call(caller, command)).await {
            Ok(outcome) => Ok(outcome?),
            Err(_) => Err(Problem::new(late, "the answer took too long")),
        }
    }

    async fn account(&self, from: Origin, command: AccountCommand) -> Result<AccountReply, Problem> {
        match tokio::time::timeout(self.deadline(), self.logic.account(from, command)).await {
            Ok(outcome) => Ok(outcome?),
            Err(_) => Err(Problem::new(ErrorCode::Timeout, "the answer took too long")),
        }
    }
}
