//! E-mail codes, and what they are good for: registration and password reset.
//!
//! **Invariant:** who asks for a code learns nothing about the address: the same steps are taken, the same limits counted
//! and the same answer given whether it is known or not. What differs is the mail, and it leaves in the background.

use super::{Accounts, email, mail, password, rate, secret};
use skein_domain::account::CodePurpose;
use skein_domain::door::Origin;
use skein_domain::id::Uid;
use skein_domain::port::NewUser;
use skein_domain::{Code, Error, Result, policy};

impl Accounts {
    #[tracing::instrument(name = "account.request_code", skip_all, fields(purpose = purpose.as_str()))]
    pub(super) async fn request_code(&self, from: &Origin, email: &str, purpose: CodePurpose) -> Result<()> {
        let email = email::normalise(email)?;
        self.mailer.ready()?;
        self.limits.codes.check(rate::network(&from.address))?;
        let place = self.post.place()?;
        let code = secret::new_code()?;
        let at = self.clock.now();
        self.codes.put(&email, purpose, &code, at, self.config.code_limits()).await?;
        let known = self.store.user_by_email(&email).await?.is_some();
        let good_for_ms = self.config.code_ttl_ms;
        let mail = match (purpose, known) {
            (CodePurpose::Register, false) | (CodePurpose::Reset, true) => mail::code(email, purpose, &code, good_for_ms),
            (CodePurpose::Register, true) => mail::account_exists(email),
            (CodePurpose::Reset, false) => return Ok(()),
        };
        place.post(mail, at.plus(good_for_ms));
        Ok(())
    }

    #[tracing::instrument(name = "account.register", skip_all)]
    pub(super) async fn register(&self, from: &Origin, email: &str, code: &str, password: String, nickname: &str) -> Result<Uid> {
        let email = email::normalise(email)?;
        password::check(&password, &email)?;
        let nickname = policy::checked_nickname(nickname)?;
        self.limits.attempts.check(rate::network(&from.address))?;
        // Room to hash comes first: being too busy must not use up the code.
        let slot = self.passwords.slot().await?;
        self.check_code(&email, CodePurpose::Register, code).await?;
        let password_hash = self.passwords.hash(slot, password).await?;
        self.store.create_user(NewUser { email, nickname, password_hash, at: self.clock.now() }).await
    }

    #[tracing::instrument(name = "account.reset_password", skip_all)]
    pub(super) async fn reset_password(&self, from: &Origin, email: &str, code: &str, password: String) -> Result<()> {
        let email = email::normalise(email)?;
        password::check(&password, &email)?;
        self.limits.attempts.check(rate::network(&from.address))?;
        let slot = self.passwords.slot().await?;
        self.check_code(&email, CodePurpose::Reset, code).await?;
        // A code of an address without a user was never sent: whoever has it guessed it.
        let user = self.store.user_by_email(&email).await?.ok_or_else(wrong_code)?;
        let password_hash = self.passwords.hash(slot, password).await?;
        self.sessions.set_password(user.uid, password_hash, None).await
    }

    /// What cannot be a code is refused without counting.
    async fn check_code(&self, email: &str, purpose: CodePurpose, code: &str) -> Result<()> {
        let code = code.trim();
        if !secret::is_code(code) {
            return Err(wrong_code());
        }
        let checked = self.codes.check(email, purpose, code, self.clock.now(), self.config.code_limits()).await;
        let outcome = checked.as_ref().err().map_or("right", |error| error.code.as_str());
        metrics::counter!("skein_codes_checked_total", "outcome" => outcome).increment(1);
        checked
    }
}

fn wrong_code() -> Error {
    Error::new(Code::CodeWrong, "this code is not right")
}
