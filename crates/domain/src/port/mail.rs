use crate::Result;
use async_trait::async_trait;

#[async_trait]
pub trait Mailer: Send + Sync + 'static {
    /// Whether mail can be sent at all; `mail_not_configured`. Asked before a code is made, so that the answer does not
    /// depend on whether the address is known.
    fn ready(&self) -> Result<()> {
        Ok(())
    }

    /// Handed to the mail server when it returns. `mail_failed`, `mail_not_configured`.
    async fn send(&self, mail: Mail) -> Result<()>;
}

#[derive(Clone)]
pub struct Mail {
    pub to: String,
    pub subject: String,
    pub text: String,
}
