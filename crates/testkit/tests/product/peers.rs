//! Programs somebody else wrote: aiosmtpd takes the mails, `websockets` is the client.

use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};

const PATIENCE: Duration = Duration::from_secs(20);

/// A Python program that is told and tells line by line; ends with this value.
struct Script {
    _child: Child,
    stdin: ChildStdin,
    lines: Lines<BufReader<ChildStdout>>,
}

impl Script {
    fn start(path: &Path, arguments: &[&str]) -> Self {
        let mut command = Command::new(python());
        command.arg(path).args(arguments);
        Self::of(command)
    }

    fn of(mut command: Command) -> Self {
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).kill_on_drop(true);
        let mut child = command.spawn().expect("start a peer: `cargo xtask peers` sets up its Python");
        let (stdin, stdout) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
        Self { _child: child, stdin, lines: BufReader::new(stdout).lines() }
    }

    async fn next(&mut self) -> String {
        let line = tokio::time::timeout(PATIENCE, self.lines.next_line()).await.expect("the peer says something");
        line.unwrap().expect("the peer goes on")
    }

    async fn ask(&mut self, order: Value) -> Value {
        self.stdin.write_all(format!("{order}\n").as_bytes()).await.unwrap();
        serde_json::from_str(&self.next().await).unwrap()
    }
}

/// Set by `.cargo/config.toml`; the default is for tests started by hand.
fn python() -> PathBuf {
    let default = || Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/peers/bin/python");
    std::env::var_os("SKEIN_PYTHON").map_or_else(default, PathBuf::from)
}

/// A client of the push guide, as its reader starts it; what it prints, line by line. Ends with this value.
pub struct Listener(Script);

impl Listener {
    pub fn python(arguments: &[&str], password: &str) -> Self {
        let mut command = Command::new(python());
        command.arg(example("client.py")).args(arguments).env("SKEIN_PASSWORD", password);
        Self(Script::of(command))
    }

    pub fn node(arguments: &[&str]) -> Self {
        let packages = python().parent().unwrap().parent().unwrap().join("node_modules");
        let mut command = Command::new("node");
        command.arg(example("client.js")).args(arguments).env("NODE_PATH", std::path::absolute(packages).unwrap());
        Self(Script::of(command))
    }

    pub async fn says(&mut self) -> String {
        self.0.next().await
    }
}

fn example(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/push").join(name)
}

// === mail ===

/// A mail server whose only user is "skein" with password [`MailSink::PASSWORD`].
pub struct MailSink {
    script: Script,
    port: String,
}

impl MailSink {
    pub const PASSWORD: &str = "right";

    pub async fn start() -> Self {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../server/tests/mail_sink.py");
        let mut script = Script::start(&path, &["plain"]);
        let port = script.next().await;
        Self { script, port }
    }

    pub fn settings(&self) -> Vec<(&'static str, String)> {
        vec![
            ("mail.host", "127.0.0.1".into()),
            ("mail.port", self.port.clone()),
            ("mail.tls", "none".into()),
            ("mail.username", "skein".into()),
            ("mail.password", Self::PASSWORD.into()),
            ("mail.from", "skein@example.org".into()),
        ]
    }

    /// To whom the next mail goes, and the code in it.
    pub async fn next_code(&mut self) -> (String, String) {
        let mail: Value = serde_json::from_str(&self.script.next().await).unwrap();
        let data = mail["data"].as_str().unwrap().replace("\r\n", "\n");
        let (_, text) = data.split_once("\n\n").unwrap();
        (mail["to"][0].as_str().unwrap().to_owned(), code_in(text))
    }
}

/// The first six digits in a row.
pub fn code_in(text: &str) -> String {
    let runs = text.split(|c: char| !c.is_ascii_digit());
    runs.into_iter().find(|run| run.len() == 6).unwrap_or_else(|| panic!("no code in {text:?}")).to_owned()
}

// === WebSocket ===

/// Any number of WebSocket connections of the Python package `websockets`, by name.
pub struct WebSockets(Script);

impl WebSockets {
    pub fn start() -> Self {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/product/websocket_client.py");
        Self(Script::start(&path, &[]))
    }

    /// With these headers in the upgrade; whatever they mean, the upgrade succeeds.
    pub async fn connect(&mut self, name: &str, url: &str, headers: &[(&str, &str)]) {
        let answer = self.0.ask(json!({"do": "connect", "on": name, "url": url, "headers": headers})).await;
        assert_eq!(answer, json!({"open": true}), "{name}");
    }

    pub async fn say_text(&mut self, name: &str, text: &str) {
        assert_eq!(self.0.ask(json!({"do": "send", "on": name, "text": text})).await, json!({"sent": true}), "{name}");
    }

    pub async fn say(&mut self, name: &str, envelope: Value) {
        self.say_text(name, &envelope.to_string()).await;
    }

    /// The next envelope.
    pub async fn hear(&mut self, name: &str) -> Value {
        let answer = self.0.ask(json!({"do": "receive", "on": name})).await;
        let text = answer["text"].as_str().unwrap_or_else(|| panic!("{name}: {answer}"));
        serde_json::from_str(text).unwrap()
    }

    /// The next envelope of this type; others before it are passed over.
    pub async fn hear_of(&mut self, name: &str, kind: &str) -> Value {
        loop {
            let envelope = self.hear(name).await;
            if envelope["type"] == kind {
                return envelope;
            }
        }
    }

    pub async fn ask(&mut self, name: &str, seq: i32, kind: &str, payload: Value) -> Value {
        self.say(name, json!({"type": kind, "seq": seq, "payload": payload})).await;
        loop {
            let envelope = self.hear(name).await;
            if envelope["seq"] == seq {
                return envelope;
            }
        }
    }

    /// The code and reason with which the server closes; nothing else is said before.
    pub async fn closed(&mut self, name: &str) -> (u64, String) {
        let answer = self.0.ask(json!({"do": "receive", "on": name})).await;
        let code = answer["closed"].as_u64().unwrap_or_else(|| panic!("{name}: {answer}"));
        (code, answer["reason"].as_str().unwrap_or_default().to_owned())
    }

    pub async fn close(&mut self, name: &str) {
        assert_eq!(self.0.ask(json!({"do": "close", "on": name})).await, json!({"closed": true}), "{name}");
    }
}
