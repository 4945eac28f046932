use crate::Result;
use async_trait::async_trait;

#[async_trait]
pub trait Mailer: Send + Sync + 'static {
    /// Handed to the mail server when it returns. `mail_failed`, `mail_not_configured`.
    async fn send(&self, mail: Mail) -> Result<()>;
}

#[derive(Clone)]
pub struct Mail {
    pub to: String,
    pub subject: String,
    pub text: String,
}
