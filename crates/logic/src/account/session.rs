//! The life of a session: opened, found by its secret, renewed, ended.
//!
//! **Invariant:** a session that ended in the store has its connection closed, also if who asked for the end went away
//! meanwhile: both happen in one task that nobody's cancellation stops. The closing itself is bounded by the fan-out;
//! callers wait for it at most [`CLOSE_WAIT`].

use super::{Config, secret};
use crate::detached::to_the_end;
use crate::job::fanout::Fanout;
use skein_domain::account::{DeviceClass, Ended, Session, User};
use skein_domain::id::{SessionId, Uid};
use skein_domain::port::{AccountStore, Audit, Clock, NewSession, WhichSessions};
use skein_domain::{Code, Error, Result};
use std::sync::Arc;
use std::time::Duration;
use tracing::Instrument;

const CLOSE_WAIT: Duration = Duration::from_secs(1);
const CLIENT_CHARS_MAX: usize = 64;

#[derive(Clone)]
pub(super) struct Sessions {
    store: Arc<dyn AccountStore>,
    fanout: Fanout,
    clock: Arc<dyn Clock>,
    ttl_ms: i64,
    renew_ms: i64,
}

impl Sessions {
    pub(super) fn new(store: Arc<dyn AccountStore>, fanout: Fanout, clock: Arc<dyn Clock>, config: &Config) -> Self {
        Self { store, fanout, clock, ttl_ms: config.session_ttl_ms, renew_ms: config.session_renew_ms }
    }

    /// A new session and its token. Those of its class that it displaces end.
    pub(super) async fn open(&self, uid: Uid, class: DeviceClass, client: &str) -> Result<(Session, String)> {
        let (token, hash) = secret::new_secret()?;
        let client = client.chars().filter(|c| !c.is_control()).take(CLIENT_CHARS_MAX).collect();
        let at = self.clock.now();
        let new = NewSession { uid, class, secret: hash, client, at, expires_at: at.plus(self.ttl_ms) };
        let this = self.clone();
        let session = to_the_end(async move {
            let (session, displaced) = this.store.open_session(new).await?;
            this.close(displaced, Ended::LoggedInElsewhere).await;
            Ok(session)
        });
        Ok((session.await?, token))
    }

    /// Whose secret this is. `unauthorized`, `disabled`.
    pub(super) async fn authenticate(&self, secret: &str) -> Result<(Session, User)> {
        let session = self.by_secret(secret).await?;
        let user = self.user_of(&session).await?;
        self.renew(&session).await;
        Ok((session, user))
    }

    pub(super) async fn by_secret(&self, secret: &str) -> Result<Session> {
        let hash = secret::hash_of(secret).ok_or_else(unauthorized)?;
        self.store.session_by_secret(hash, self.clock.now()).await?.ok_or_else(unauthorized)
    }

    pub(super) async fn by_id(&self, session: SessionId) -> Result<Session> {
        self.store.session(session, self.clock.now()).await?.ok_or_else(unauthorized)
    }

    /// `disabled` if the user is.
    pub(super) async fn user_of(&self, session: &Session) -> Result<User> {
        let user = self.store.user(session.uid).await?.ok_or_else(unauthorized)?;
        if user.disabled { Err(disabled()) } else { Ok(user) }
    }

    /// Writes down that the session is used, at most once a day. Failing costs nothing but a later try.
    pub(super) async fn renew(&self, session: &Session) {
        let now = self.clock.now();
        if now.0 - session.seen_at.0 < self.renew_ms {
            return;
        }
        if let Err(error) = self.store.renew_session(session.id, now, now.plus(self.ttl_ms)).await {
            tracing::warn!(code = error.code.as_str(), session = session.id.0, "session not renewed");
        }
    }

    pub(super) async fn end(&self, uid: Uid, which: WhichSessions, reason: Ended) -> Result<()> {
        let this = self.clone();
        to_the_end(async move {
            let ended = this.store.end_sessions(uid, which).await?;
            this.close(ended, reason).await;
            Ok(())
        })
        .await
    }

    /// A new password ends all sessions.
    pub(super) async fn set_password(&self, uid: Uid, password_hash: String, audit: Option<Audit>) -> Result<()> {
        let this = self.clone();
        to_the_end(async move {
            let ended = this.store.set_password(uid, password_hash, None, audit).await?;
            this.close(ended, Ended::PasswordReset).await;
            Ok(())
        })
        .await
    }

    pub(super) async fn set_disabled(&self, uid: Uid, disabled: bool, audit: Audit) -> Result<()> {
        let this = self.clone();
        to_the_end(async move {
            let ended = this.store.set_disabled(uid, disabled, audit).await?;
            this.close(ended, Ended::Disabled).await;
            Ok(())
        })
        .await
    }

    /// A Comet that does not answer must not hold up the log-in that displaces its connection.
    async fn close(&self, ended: Vec<Session>, reason: Ended) {
        if ended.is_empty() {
            return;
        }
        metrics::counter!("skein_sessions_ended_total", "reason" => label(reason)).increment(ended.len() as u64);
        let fanout = self.fanout.clone();
        let closing = async move { fanout.end_sessions(&ended, reason).await };
        if tokio::time::timeout(CLOSE_WAIT, tokio::spawn(closing.in_current_span())).await.is_err() {
            tracing::debug!("connections of ended sessions are still being closed");
        }
    }
}

fn label(reason: Ended) -> &'static str {
    match reason {
        Ended::LoggedInElsewhere => "logged_in_elsewhere",
        Ended::Replaced => "replaced",
        Ended::LoggedOut => "logged_out",
        Ended::PasswordReset => "password_reset",
        Ended::Disabled => "disabled",
    }
}

pub(super) fn unauthorized() -> Error {
    Error::new(Code::Unauthorized, "log in first")
}

pub(super) fn disabled() -> Error {
    Error::new(Code::Disabled, "this account is disabled")
}
