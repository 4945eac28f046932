//! Handing mails over: by SMTP when it is configured, into a mailbox for developers on loopback, or not at all.
//!
//! Leaves to others: what mails say and when they are tried again (logic).
//!
//! **Invariant:** [`mailer`] alone decides which of the three it is; a mailbox exists only while SMTP is unset and the
//! public listener is on loopback. The password appears in no log and no `Debug` output.

use anyhow::{Context, Result, ensure};
use async_trait::async_trait;
use lettre::message::Mailbox as Address;
use lettre::message::header::{ContentType, HeaderName, HeaderValue};
use lettre::transport::smtp::PoolConfig;
use lettre::transport::smtp::authentication::Credentials;
use lettre::transport::smtp::client::{Certificate, Tls, TlsParameters};
use lettre::{AsyncSmtpTransport, AsyncTransport, Message, Tokio1Executor};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use skein_domain::port::{Clock, Mail, Mailer};
use skein_domain::{Code, Error};
use skein_edge::gate::{Mailbox, ReceivedMail};
use std::collections::VecDeque;
use std::fmt;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use tokio::sync::Semaphore;

#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Name of the SMTP server. Empty: none; then a server on loopback keeps mails at /dev/mailbox, and a public one
    /// answers `mail_not_configured`.
    pub host: String,
    /// 0: the usual one of the TLS mode (587, 465 or 25).
    pub port: u16,
    /// How the connection is encrypted.
    pub tls: TlsMode,
    /// Empty: no authentication.
    pub username: String,
    /// Goes with the username. Better set by SKEIN_MAIL__PASSWORD than in a file.
    pub password: String,
    /// Sender of the mails: `skein@example.org` or `Skein <skein@example.org>`.
    pub from: String,
    /// PEM file with further certificate authorities to trust. Empty: only the well-known ones.
    pub ca_file: PathBuf,
    /// Time to hand over one mail, with waiting for a connection, in milliseconds; then it has failed.
    pub timeout_ms: u64,
    /// Connections at the same time; further mails wait.
    pub connections_max: u32,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum TlsMode {
    /// Plain first, then encrypted; a server that does not offer it gets nothing.
    Starttls,
    /// Encrypted from the first byte.
    Tls,
    /// Never encrypted.
    None,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            host: String::new(),
            port: 0,
            tls: TlsMode::Starttls,
            username: String::new(),
            password: String::new(),
            from: String::new(),
            ca_file: PathBuf::new(),
            timeout_ms: 10_000,
            connections_max: 4,
        }
    }
}

impl fmt::Debug for Config {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Config")
            .field("host", &self.host)
            .field("port", &self.port())
            .field("tls", &self.tls)
            .field("username", &self.username)
            .field("from", &self.from)
            .finish_non_exhaustive()
    }
}

impl Config {
    pub fn is_on(&self) -> bool {
        !self.host.is_empty()
    }

    pub fn validate(&self) -> Result<()> {
        if !self.is_on() {
            return Ok(());
        }
        self.sender()?;
        ensure!(self.username.is_empty() == self.password.is_empty(), "mail.username and mail.password go together");
        ensure!(self.timeout_ms > 0, "mail.timeout_ms must not be 0");
        ensure!((1..=64).contains(&self.connections_max), "mail.connections_max must be 1 to 64");
        Ok(())
    }

    fn sender(&self) -> Result<Address> {
        self.from.parse().context("mail.from must be an address such as Skein <skein@example.org>")
    }

    fn port(&self) -> u16 {
        match (self.port, self.tls) {
            (0, TlsMode::Starttls) => 587,
            (0, TlsMode::Tls) => 465,
            (0, TlsMode::None) => 25,
            (port, _) => port,
        }
    }

    fn encryption(&self) -> Result<Tls> {
        let mut parameters = TlsParameters::builder(self.host.clone());
        if !self.ca_file.as_os_str().is_empty() {
            let pem = std::fs::read(&self.ca_file).with_context(|| format!("read mail.ca_file {}", self.ca_file.display()))?;
            parameters = parameters.add_root_certificate(Certificate::from_pem(&pem).context("use mail.ca_file")?);
        }
        let parameters = parameters.build().context("prepare TLS for mail")?;
        Ok(match self.tls {
            TlsMode::Starttls => Tls::Required(parameters),
            TlsMode::Tls => Tls::Wrapper(parameters),
            TlsMode::None => Tls::None,
        })
    }
}

/// The mailer, and the mailbox to show at `/dev/mailbox` if mails are kept.
pub type Chosen = (Arc<dyn Mailer>, Option<Arc<dyn Mailbox>>);

/// What this configuration asks for. Needs a runtime (see [`SmtpMailer::new`]).
pub fn mailer(config: &Config, is_public: bool, clock: Arc<dyn Clock>) -> Result<Chosen> {
    if config.is_on() {
        return Ok((Arc::new(SmtpMailer::new(config)?), None));
    }
    if is_public {
        return Ok((Arc::new(NoMailer), None));
    }
    let kept = Arc::new(DevMailer::new(clock));
    Ok((kept.clone(), Some(kept)))
}

/// Whether SMTP is configured; if so, its server took the connection and the credentials.
pub async fn probe(config: &Config) -> Result<bool, Error> {
    if !config.is_on() {
        return Ok(false);
    }
    let failed = |reason: String| Error::new(Code::MailFailed, reason);
    let mailer = SmtpMailer::new(config).map_err(|error| failed(format!("{error:#}")))?;
    match tokio::time::timeout(mailer.timeout, mailer.transport.test_connection()).await {
        Ok(Ok(true)) => Ok(true),
        Ok(Ok(false)) => Err(failed("the mail server ended the connection".into())),
        Ok(Err(error)) => Err(failed(chain(&error))),
        Err(_) => Err(failed(format!("the mail server did not answer within {} ms", config.timeout_ms))),
    }
}

/// Hands mails to an SMTP server. **Bound:** `connections_max` mails at once; others wait, at most `timeout_ms` in all.
pub struct SmtpMailer {
    transport: AsyncSmtpTransport<Tokio1Executor>,
    from: Address,
    places: Semaphore,
    timeout: Duration,
}

impl SmtpMailer {
    /// Needs a runtime: the pool closes idle connections in a task.
    pub fn new(config: &Config) -> Result<Self> {
        config.validate()?;
        let timeout = Duration::from_millis(config.timeout_ms);
        let mut builder = AsyncSmtpTransport::<Tokio1Executor>::builder_dangerous(&config.host)
            .port(config.port())
            .tls(config.encryption()?)
            .timeout(Some(timeout))
            .pool_config(PoolConfig::new().max_size(config.connections_max));
        if !config.username.is_empty() {
            builder = builder.credentials(Credentials::new(config.username.clone(), config.password.clone()));
            if config.tls == TlsMode::None {
                tracing::warn!("mail password travels unencrypted, set mail.tls to starttls or tls");
            }
        }
        let places = Semaphore::new(config.connections_max as usize);
        Ok(Self { transport: builder.build(), from: config.sender()?, places, timeout })
    }

    fn message(&self, mail: Mail) -> Result<Message> {
        let to = mail.to.parse().context("read the recipient")?;
        // Keeps holiday notices away.
        let automatic = HeaderValue::new(HeaderName::new_from_ascii_str("Auto-Submitted"), "auto-generated".to_owned());
        let builder = Message::builder().from(self.from.clone()).to(to).subject(mail.subject).raw_header(automatic);
        builder.message_id(None).header(ContentType::TEXT_PLAIN).body(mail.text).context("compose the mail")
    }

    async fn hand_over(&self, mail: Mail) -> Result<()> {
        let message = self.message(mail)?;
        let _place = self.places.acquire().await.context("wait for a connection")?;
        self.transport.send(message).await.context("hand over the mail")?;
        Ok(())
    }
}

#[async_trait]
impl Mailer for SmtpMailer {
    async fn send(&self, mail: Mail) -> Result<(), Error> {
        let started = Instant::now();
        let outcome = match tokio::time::timeout(self.timeout, self.hand_over(mail)).await {
            Ok(outcome) => outcome,
            Err(late) => Err(late).context("hand over the mail"),
        };
        let label = if outcome.is_ok() { "sent" } else { "failed" };
        metrics::histogram!("skein_smtp_send_seconds", "outcome" => label).record(started.elapsed().as_secs_f64());
        outcome.map_err(|error| {
            tracing::warn!(error = format!("{error:#}"), "smtp send failed");
            Error::new(Code::MailFailed, "the mail could not be handed over; try again later")
        })
    }
}

/// An error with its causes, in one line.
fn chain(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(error.source(), |cause| cause.source());
    causes.fold(error.to_string(), |line, cause| format!("{line}: {cause}"))
}

/// Keeps mails in memory and prints the line that matters, for whoever runs a server on their own machine.
/// **Bound:** the last [`DevMailer::MAILS_MAX`] mails.
pub struct DevMailer {
    clock: Arc<dyn Clock>,
    /// Newest first.
    mails: Mutex<VecDeque<ReceivedMail>>,
}

impl DevMailer {
    pub const MAILS_MAX: usize = 100;

    pub fn new(clock: Arc<dyn Clock>) -> Self {
        Self { clock, mails: Mutex::default() }
    }
}

#[async_trait]
impl Mailer for DevMailer {
    async fn send(&self, mail: Mail) -> Result<(), Error> {
        eprintln!("mail to {}: {}", mail.to.escape_debug(), code_line(&mail).escape_debug());
        let received = ReceivedMail { at: self.clock.now(), to: mail.to, subject: mail.subject, text: mail.text };
        // Poison means a panic between two pushes; what is in the queue is still whole.
        let mut mails = self.mails.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        mails.push_front(received);
        mails.truncate(Self::MAILS_MAX);
        Ok(())
    }
}

impl Mailbox for DevMailer {
    fn mails(&self) -> Vec<ReceivedMail> {
        let mails = self.mails.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        mails.iter().cloned().collect()
    }
}

/// The first line with six digits in a row, or else the subject.
fn code_line(mail: &Mail) -> &str {
    let has_code = |line: &&str| line.split(|c: char| !c.is_ascii_digit()).any(|digits| digits.len() == 6);
    mail.text.lines().find(has_code).unwrap_or(&mail.subject).trim()
}

/// For a public server without SMTP: says so.
pub struct NoMailer;

#[async_trait]
impl Mailer for NoMailer {
    async fn send(&self, _: Mail) -> Result<(), Error> {
        Err(Error::new(Code::MailNotConfigured, "this server cannot send mail: its operator has to configure SMTP"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use skein_domain::port::SystemClock;

    fn mail(text: &str) -> Mail {
        Mail { to: "ann@example.org".into(), subject: "subject".into(), text: text.into() }
    }

    fn smtp() -> Config {
        Config { host: "smtp.example.org".into(), from: "Skein <skein@example.org>".into(), ..Config::default() }
    }

    #[test]
    fn what_is_wrong_is_named() {
        let wrong = |config: Config| format!("{:#}", config.validate().unwrap_err());
        assert!(wrong(Config { from: String::new(), ..smtp() }).contains("mail.from"));
        assert!(wrong(Config { username: "u".into(), ..smtp() }).contains("mail.password"));
        assert!(wrong(Config { timeout_ms: 0, ..smtp() }).contains("mail.timeout_ms"));
        assert!(wrong(Config { connections_max: 0, ..smtp() }).contains("mail.connections_max"));
        assert!(smtp().validate().is_ok() && Config::default().validate().is_ok());
    }

    #[test]
    fn the_port_follows_the_encryption() {
        let port = |tls, port| Config { tls, port, ..smtp() }.port();
        assert_eq!([TlsMode::Starttls, TlsMode::Tls, TlsMode::None].map(|tls| port(tls, 0)), [587, 465, 25]);
        assert_eq!(port(TlsMode::Tls, 2525), 2525);
    }

    #[test]
    fn the_password_is_never_printed() {
        let config = Config { username: "u".into(), password: "hunter2".into(), ..smtp() };
        assert!(!format!("{config:?}").contains("hunter2"));
    }

    #[tokio::test]
    async fn which_mailer_follows_from_smtp_and_the_listener() {
        let clock = || Arc::new(SystemClock);
        assert!(mailer(&smtp(), false, clock()).unwrap().1.is_none());

        let (none, mailbox) = mailer(&Config::default(), true, clock()).unwrap();
        assert!(mailbox.is_none());
        assert_eq!(none.send(mail("")).await.unwrap_err().code, Code::MailNotConfigured);

        let (kept, mailbox) = mailer(&Config::default(), false, clock()).unwrap();
        kept.send(mail("123456")).await.unwrap();
        assert_eq!(mailbox.unwrap().mails()[0].text, "123456");
    }

    #[tokio::test]
    async fn the_mailbox_keeps_the_newest() {
        let mailer = DevMailer::new(Arc::new(SystemClock));
        for n in 0..=DevMailer::MAILS_MAX {
            mailer.send(mail(&n.to_string())).await.unwrap();
        }
        let mails = mailer.mails();
        assert_eq!(mails.len(), DevMailer::MAILS_MAX);
        assert_eq!((mails[0].text.as_str(), mails[99].text.as_str()), ("100", "1"));
    }

    #[test]
    fn the_line_that_matters_is_the_one_with_the_code() {
        assert_eq!(code_line(&mail("你好 20261121\n  验证码 123456。\nmore 654321")), "验证码 123456。");
        assert_eq!(code_line(&mail("nothing 1234567")), "subject");
    }
}
