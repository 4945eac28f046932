//! The SMTP mailer against a mail server somebody else wrote (aiosmtpd).

use serde_json::Value;
use skein_domain::Code;
use skein_domain::port::{Mail, Mailer};
use skein_server::mail::{Config, SmtpMailer, TlsMode, probe};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};
use tokio::io::{AsyncBufReadExt, BufReader, Lines};
use tokio::process::{Child, ChildStdout, Command};

/// A started mail server; ends with this value.
struct Sink {
    _child: Child,
    lines: Lines<BufReader<ChildStdout>>,
    port: u16,
}

impl Sink {
    async fn start(mode: &str, files: &[&Path]) -> Self {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/mail_sink.py");
        let mut command = Command::new(python());
        command.arg(script).arg(mode).args(files).stdout(Stdio::piped()).kill_on_drop(true);
        let mut child = command.spawn().expect("start the mail sink: `cargo xtask test` sets up its Python");
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let port = lines.next_line().await.unwrap().expect("the mail sink said its port").parse().unwrap();
        Self { _child: child, lines, port }
    }

    async fn next(&mut self) -> Value {
        serde_json::from_str(&self.lines.next_line().await.unwrap().unwrap()).unwrap()
    }

    fn config(&self, tls: TlsMode) -> Config {
        Config {
            host: "127.0.0.1".into(),
            port: self.port,
            tls,
            username: "skein".into(),
            password: "right".into(),
            from: "Skein <skein@example.org>".into(),
            timeout_ms: 5_000,
            ..Config::default()
        }
    }
}

/// Set by `.cargo/config.toml`; the default is for tests started by hand.
fn python() -> PathBuf {
    let default = || Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/peers/bin/python");
    std::env::var_os("SKEIN_PYTHON").map_or_else(default, PathBuf::from)
}

fn mail(text: &str) -> Mail {
    Mail { to: "ann@example.org".into(), subject: "验证码 123456".into(), text: text.into() }
}

async fn send(config: &Config) -> Result<(), Code> {
    SmtpMailer::new(config).unwrap().send(mail("your code")).await.map_err(|error| error.code)
}

/// An authority, and a certificate of it for 127.0.0.1; files in `folder`.
struct Authority {
    folder: tempfile::TempDir,
}

impl Authority {
    fn new() -> Self {
        let mut params = rcgen::CertificateParams::new(vec![]).unwrap();
        params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        let key = rcgen::KeyPair::generate().unwrap();
        let certificate = params.self_signed(&key).unwrap();
        let issuer = rcgen::Issuer::new(params, key);

        let leaf_key = rcgen::KeyPair::generate().unwrap();
        let leaf = rcgen::CertificateParams::new(vec!["127.0.0.1".into()]).unwrap().signed_by(&leaf_key, &issuer).unwrap();

        let authority = Self { folder: tempfile::tempdir().unwrap() };
        std::fs::write(authority.file("ca.pem"), certificate.pem()).unwrap();
        std::fs::write(authority.file("leaf.pem"), leaf.pem()).unwrap();
        std::fs::write(authority.file("key.pem"), leaf_key.serialize_pem()).unwrap();
        authority
    }

    fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    async fn sink(&self, mode: &str) -> Sink {
        Sink::start(mode, &[&self.file("leaf.pem"), &self.file("key.pem")]).await
    }
}

#[tokio::test]
async fn a_mail_arrives_whole_after_authentication() {
    let mut sink = Sink::start("plain", &[]).await;
    let config = sink.config(TlsMode::None);
    assert_eq!(probe(&config).await, Ok(true));
    SmtpMailer::new(&config).unwrap().send(mail("您的验证码\n.\n123456\n")).await.unwrap();

    let received = sink.next().await;
    assert_eq!((&received["from"], &received["to"]), (&"skein@example.org".into(), &serde_json::json!(["ann@example.org"])));
    assert_eq!((&received["user"], &received["encrypted"]), (&"skein".into(), &false.into()));
    let data = received["data"].as_str().unwrap();
    for header in [
        "From: Skein <skein@example.org>",
        "To: ann@example.org",
        "Subject: =?utf-8?b?",
        "Message-ID: <",
        "Date: ",
        "Auto-Submitted: auto-generated",
    ] {
        assert!(data.contains(header), "{header}: {data}");
    }
    assert_eq!(decoded_text(data).await, "您的验证码\n.\n123456\n|验证码 123456");
}

/// Text and subject, as Python's own parser reads them.
async fn decoded_text(data: &str) -> String {
    let script = "import sys, email.policy\n\
                  m = email.message_from_string(sys.argv[1], policy=email.policy.default)\n\
                  sys.stdout.buffer.write((m.get_content() + '|' + m['subject']).encode())";
    let output = Command::new(python()).args(["-c", script, data]).output().await.unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap().replace("\r\n", "\n")
}

#[tokio::test]
async fn both_ways_of_encryption_work_with_a_trusted_certificate() {
    let authority = Authority::new();
    for (mode, tls) in [("starttls", TlsMode::Starttls), ("tls", TlsMode::Tls)] {
        let mut sink = authority.sink(mode).await;
        let config = Config { ca_file: authority.file("ca.pem"), ..sink.config(tls) };
        assert_eq!(probe(&config).await, Ok(true), "{mode}");
        assert_eq!(send(&config).await, Ok(()), "{mode}");
        let received = sink.next().await;
        assert_eq!((&received["encrypted"], &received["user"]), (&true.into(), &"skein".into()), "{mode}");
    }
}

#[tokio::test]
async fn a_certificate_nobody_vouches_for_is_refused() {
    let authority = Authority::new();
    for (mode, tls) in [("starttls", TlsMode::Starttls), ("tls", TlsMode::Tls)] {
        let sink = authority.sink(mode).await;
        assert_eq!(send(&sink.config(tls)).await, Err(Code::MailFailed), "{mode}");
        let reason = probe(&sink.config(tls)).await.unwrap_err();
        assert!(reason.message.contains("certificate"), "{}", reason.message);
    }
}

/// Else whoever sits between could take the password by leaving the offer out.
#[tokio::test]
async fn a_server_that_does_not_offer_encryption_gets_nothing() {
    let mut sink = Sink::start("plain", &[]).await;
    assert_eq!(send(&sink.config(TlsMode::Starttls)).await, Err(Code::MailFailed));
    assert_eq!(send(&sink.config(TlsMode::None)).await, Ok(()));
    assert_eq!(sink.next().await["attempts"], 1, "the password was shown to a plain connection");
}

#[tokio::test]
async fn a_wrong_password_fails_and_is_not_told() {
    let sink = Sink::start("plain", &[]).await;
    let config = Config { password: "wrong-but-secret".into(), ..sink.config(TlsMode::None) };
    assert_eq!(send(&config).await, Err(Code::MailFailed));
    let reason = probe(&config).await.unwrap_err();
    assert!(reason.message.contains("535") && !reason.message.contains("wrong-but-secret"), "{}", reason.message);
}

#[tokio::test]
async fn a_server_that_is_down_fails_within_the_time() {
    let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let silent = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    for port in [closed, silent.local_addr().unwrap().port()] {
        let config = Config {
            host: "127.0.0.1".into(),
            port,
            tls: TlsMode::None,
            from: "skein@example.org".into(),
            timeout_ms: 500,
            ..Config::default()
        };
        let started = Instant::now();
        assert_eq!(send(&config).await, Err(Code::MailFailed));
        assert_eq!(probe(&config).await.unwrap_err().code, Code::MailFailed);
        assert!(started.elapsed() < Duration::from_secs(5), "{:?}", started.elapsed());
    }
}

#[tokio::test]
async fn a_recipient_that_is_no_address_fails_alone() {
    let mut sink = Sink::start("plain", &[]).await;
    let mailer = SmtpMailer::new(&sink.config(TlsMode::None)).unwrap();
    for to in ["", "ann", "ann@example.org\r\nBcc: all@example.org", "ann@example.org, bob@example.org"] {
        let refused = mailer.send(Mail { to: to.into(), ..mail("x") }).await;
        assert_eq!(refused.unwrap_err().code, Code::MailFailed, "{to:?}");
    }
    mailer.send(mail("x")).await.unwrap();
    assert_eq!(sink.next().await["to"], serde_json::json!(["ann@example.org"]));
}

#[tokio::test]
async fn many_mails_share_few_connections() {
    let mut sink = Sink::start("plain", &[]).await;
    let config = Config { connections_max: 2, ..sink.config(TlsMode::None) };
    let mailer = std::sync::Arc::new(SmtpMailer::new(&config).unwrap());
    let mut sends = tokio::task::JoinSet::new();
    for n in 0..12 {
        let mailer = mailer.clone();
        sends.spawn(async move { mailer.send(mail(&n.to_string())).await });
    }
    for outcome in sends.join_all().await {
        outcome.unwrap();
    }
    let mut most = 0;
    for _ in 0..12 {
        most = most.max(sink.next().await["most_connections"].as_u64().unwrap());
    }
    assert_eq!(most, 2);
}

#[tokio::test]
async fn without_smtp_there_is_nothing_to_probe() {
    assert_eq!(probe(&Config::default()).await, Ok(false));
}
