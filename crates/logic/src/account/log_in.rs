//! Log-in: rate limits, the password, the session, the Comet.
//!
//! **Invariant:** until the password was right, the answer and its cost are the same for every address.

use super::session::disabled;
use super::{Accounts, email, password, rate};
use skein_domain::account::{DeviceClass, User};
use skein_domain::command::LoggedIn;
use skein_domain::door::Origin;
use skein_domain::id::SessionId;
use skein_domain::port::{CometAddress, WhichSessions};
use skein_domain::{Code, Error, Result};

impl Accounts {
    #[tracing::instrument(name = "account.log_in", skip_all, fields(user, session, class = class.as_str()))]
    pub(super) async fn log_in(&self, from: &Origin, email: &str, password: String, class: DeviceClass, client: &str) -> Result<LoggedIn> {
        let email = email::normalise(email)?;
        self.limits.attempts.check(rate::network(&from.address))?;
        self.limits.log_ins.check(&email)?;
        let user = self.authenticate(&email, &password).await?;
        let (session, token) = self.sessions.open(user.uid, class, client).await?;
        tracing::Span::current().record("user", user.uid.0).record("session", session.id.0);
        self.confirm(&user, &password, session.id).await?;
        self.refresh_hash(&user, password).await;
        let comet = self.comet().await;
        Ok(LoggedIn { uid: user.uid, nickname: user.nickname, session, token, comet })
    }

    /// The session is open and HTTP works with it: not knowing a Comet now is no reason to fail.
    async fn comet(&self) -> Option<CometAddress> {
        match self.status.choose().await {
            Ok(node) => node.map(|node| node.comet),
            Err(error) => {
                tracing::warn!(code = error.code.as_str(), "no comet chosen");
                None
            }
        }
    }

    async fn authenticate(&self, email: &str, password: &str) -> Result<User> {
        if password.len() > password::BYTES_MAX {
            return Err(bad_credentials());
        }
        let user = self.store.user_by_email(email).await?;
        let stored = user.as_ref().map(|user| user.password_hash.as_str());
        let right = self.passwords.verify(password.to_owned(), stored).await?;
        metrics::counter!("skein_log_ins_total", "outcome" => if right { "right" } else { "wrong" }).increment(1);
        match user {
            Some(user) if right && user.disabled => Err(disabled()),
            Some(user) if right => Ok(user),
            _ => Err(bad_credentials()),
        }
    }

    /// Between the look at the password and the new session, the password may have been reset or the user disabled, which
    /// ended all sessions but not this one.
    async fn confirm(&self, judged: &User, password: &str, session: SessionId) -> Result<()> {
        let refused = match self.store.user(judged.uid).await? {
            Some(now) if now.disabled => disabled(),
            Some(now) if now.password_hash == judged.password_hash => return Ok(()),
            Some(now) if self.passwords.verify(password.to_owned(), Some(&now.password_hash)).await? => return Ok(()),
            _ => bad_credentials(),
        };
        self.store.end_sessions(judged.uid, WhichSessions::One(session)).await?;
        Err(refused)
    }

    /// Stored hashes move to the configured cost as their owners log in. Failing costs nothing but a later try.
    async fn refresh_hash(&self, user: &User, password: String) {
        if !self.passwords.is_outdated(&user.password_hash) {
            return;
        }
        let refreshed = async {
            let hash = self.passwords.hash(self.passwords.slot().await?, password).await?;
            self.store.rehash(user.uid, &user.password_hash, hash).await
        };
        if let Err(error) = refreshed.await {
            tracing::warn!(code = error.code.as_str(), "password hash not renewed");
        }
    }
}

fn bad_credentials() -> Error {
    Error::new(Code::BadCredentials, "wrong e-mail address or password")
}
