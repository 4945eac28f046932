//! Accounts: who somebody is, and what proves it.
//!
//! Owns registration, log-in, codes, passwords, profiles and the life of sessions; [`status`] says where their connections
//! go and are. E-mail addresses are normalised here and nowhere else. What crosses to storage is hashes only.
//!
//! **Invariant:** a stranger never learns which addresses have an account: not from an answer, not from its time, not from a
//! limit. Only the owner of an address does, by a mail or by a right code or password.
//!
//! Leaves to others: transactions (the store ends sessions together with what ends them), closing connections (the
//! fan-out), counting codes (the code store).

mod choice;
mod config;
pub(crate) mod email;
mod log_in;
mod mail;
mod password;
mod post;
pub(crate) mod profile;
pub mod rate;
mod register;
pub(crate) mod secret;
mod session;
pub mod status;

pub use config::{CometChoice, Config};
pub use password::Passwords;

use crate::job::fanout::Fanout;
use post::{Post, Postman};
use rate::RateLimit;
use session::Sessions;
use skein_domain::account::{Ended, Session};
use skein_domain::command::{AccountCommand, AccountReply};
use skein_domain::door::{Caller, Origin};
use skein_domain::id::{NodeId, SessionId, Uid};
use skein_domain::port::{AccountStore, Audit, Clock, CodeStore, Mailer, NewUser, WhichSessions};
use skein_domain::{Result, policy};
use status::Status;
use std::sync::Arc;
use std::time::Duration;
use tokio_util::sync::CancellationToken;

const PURGE_EVERY: Duration = Duration::from_secs(60 * 60);
/// Sessions that ended are kept this long, for whoever looks into what happened.
const PURGE_AFTER_MS: i64 = 7 * 24 * 60 * 60 * 1_000;

pub struct Accounts {
    store: Arc<dyn AccountStore>,
    codes: Arc<dyn CodeStore>,
    mailer: Arc<dyn Mailer>,
    clock: Arc<dyn Clock>,
    status: Arc<Status>,
    sessions: Sessions,
    passwords: Passwords,
    post: Post,
    limits: RateLimits,
    config: Config,
}

struct RateLimits {
    /// Code requests per network.
    codes: RateLimit,
    /// Whatever costs a password hash, per network.
    attempts: RateLimit,
    /// Log-ins per e-mail address.
    log_ins: RateLimit,
}

/// What accounts do in the background: mails leave, and sessions long ended are removed.
pub struct Chores {
    postman: Postman,
    store: Arc<dyn AccountStore>,
    clock: Arc<dyn Clock>,
}

impl Accounts {
    /// Fails only on password costs that are none. Without its [`Chores`] running no mail leaves.
    pub fn new(
        store: Arc<dyn AccountStore>,
        codes: Arc<dyn CodeStore>,
        mailer: Arc<dyn Mailer>,
        status: Arc<Status>,
        fanout: Fanout,
        clock: Arc<dyn Clock>,
        config: Config,
    ) -> Result<(Self, Chores)> {
        let (post, postman) = Post::new(mailer.clone(), clock.clone());
        let chores = Chores { postman, store: store.clone(), clock: clock.clone() };
        let limits = RateLimits {
            codes: RateLimit::new("codes", config.code_requests_per_address, clock.clone()),
            attempts: RateLimit::new("log_ins_of_address", config.log_ins_per_address, clock.clone()),
            log_ins: RateLimit::new("log_ins_of_account", config.log_ins_per_account, clock.clone()),
        };
        let sessions = Sessions::new(store.clone(), fanout, clock.clone(), &config);
        let passwords = Passwords::new(&config)?;
        Ok((Self { store, codes, mailer, clock, status, sessions, passwords, post, limits, config }, chores))
    }

    /// See [`skein_domain::door::Logic::account`].
    pub async fn handle(&self, from: Origin, command: AccountCommand) -> Result<AccountReply> {
        match command {
            AccountCommand::RequestCode { email, purpose } => {
                self.request_code(&from, &email, purpose).await?;
                Ok(AccountReply::Done)
            }
            AccountCommand::Register { email, code, password, nickname } => {
                let uid = self.register(&from, &email, &code, password, &nickname).await?;
                Ok(AccountReply::Registered { uid })
            }
            AccountCommand::ResetPassword { email, code, password } => {
                self.reset_password(&from, &email, &code, password).await?;
                Ok(AccountReply::Done)
            }
            AccountCommand::LogIn { email, password, class, client } => {
                let logged_in = self.log_in(&from, &email, password, class, &client).await?;
                Ok(AccountReply::LoggedIn(Box::new(logged_in)))
            }
            AccountCommand::Verify { secret } => {
                let (session, user) = self.sessions.authenticate(&secret).await?;
                Ok(AccountReply::Verified { session, nickname: user.nickname, email: user.email })
            }
            AccountCommand::Ticket { secret, node } => self.ticket(&secret, node).await,
        }
    }

    async fn ticket(&self, secret: &str, node: Option<NodeId>) -> Result<AccountReply> {
        let (session, _) = self.sessions.authenticate(secret).await?;
        let (ticket, comet) = self.status.ticket(&session, node).await?;
        Ok(AccountReply::Ticket { ticket, comet: Some(comet) })
    }

    // === Of logged-in users ===

    /// Live sessions of the caller.
    pub async fn devices(&self, caller: &Caller) -> Result<Vec<Session>> {
        self.store.sessions(caller.uid, self.clock.now()).await
    }

    /// Ends one of the caller's sessions; `None`: the calling one. Idempotent.
    pub async fn log_out(&self, caller: &Caller, session: Option<SessionId>) -> Result<()> {
        let which = WhichSessions::One(session.unwrap_or(caller.session));
        self.sessions.end(caller.uid, which, Ended::LoggedOut).await
    }

    pub async fn log_out_everywhere(&self, caller: &Caller) -> Result<()> {
        self.sessions.end(caller.uid, WhichSessions::All, Ended::LoggedOut).await
    }

    // === Of administration ===

    /// An account without a code by mail. `bad_email`, `weak_password`, `bad_nickname`, `user_exists`.
    pub async fn create(&self, email: &str, password: String, nickname: &str) -> Result<Uid> {
        let email = email::normalise(email)?;
        password::check(&password, &email)?;
        let nickname = policy::checked_nickname(nickname)?;
        let password_hash = self.passwords.hash(self.passwords.slot().await?, password).await?;
        self.store.create_user(NewUser { email, nickname, password_hash, at: self.clock.now() }).await
    }

    /// Ends all sessions. `not_found`, `weak_password`.
    pub async fn set_password(&self, uid: Uid, password: String, actor: &str) -> Result<()> {
        let user = self.store.user(uid).await?.ok_or_else(no_such_user)?;
        password::check(&password, &user.email)?;
        let password_hash = self.passwords.hash(self.passwords.slot().await?, password).await?;
        self.sessions.set_password(uid, password_hash, Some(self.audit(actor, "set_password", uid))).await
    }

    /// Disabling ends all sessions. `not_found`.
    pub async fn set_disabled(&self, uid: Uid, disabled: bool, actor: &str) -> Result<()> {
        self.store.user(uid).await?.ok_or_else(no_such_user)?;
        let act = if disabled { "disable" } else { "enable" };
        self.sessions.set_disabled(uid, disabled, self.audit(actor, act, uid)).await
    }

    fn audit(&self, actor: &str, act: &str, subject: Uid) -> Audit {
        Audit { at: self.clock.now(), actor: actor.into(), act: act.into(), subject: subject.to_string(), detail: String::new() }
    }

    pub fn passwords(&self) -> &Passwords {
        &self.passwords
    }
}

impl Chores {
    pub async fn run(self, shutdown: CancellationToken) {
        tokio::join!(self.postman.run(shutdown.clone()), purge(self.store, self.clock, shutdown));
    }
}

async fn purge(store: Arc<dyn AccountStore>, clock: Arc<dyn Clock>, shutdown: CancellationToken) {
    let mut hours = tokio::time::interval(PURGE_EVERY);
    while shutdown.run_until_cancelled(hours.tick()).await.is_some() {
        match store.purge_sessions(clock.now().plus(-PURGE_AFTER_MS)).await {
            Ok(0) => {}
            Ok(purged) => tracing::info!(purged, "old sessions removed"),
            Err(error) => tracing::warn!(code = error.code.as_str(), "old sessions not removed"),
        }
    }
}

fn no_such_user() -> skein_domain::Error {
    skein_domain::Error::new(skein_domain::Code::NotFound, "no such user")
}
