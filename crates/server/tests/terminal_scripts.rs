//! `skein send`, `skein tail` and `skein chat` as processes against a real server.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use serde_json::Value;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::process::{Child, ChildStdout, Command};
use tokio::time::timeout;

const PATIENCE: Duration = Duration::from_secs(30);

struct Server {
    process: Child,
    folder: tempfile::TempDir,
    address: String,
}

struct Person {
    uid: i64,
    email: String,
    password: String,
}

fn skein() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_skein"));
    command.env_remove("SKEIN_PASSWORD").env_remove("SKEIN_STORE").kill_on_drop(true).stdin(Stdio::null());
    command
}

impl Server {
    async fn start() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let data = folder.path().join("data");
        let log = std::fs::File::create(folder.path().join("server.log")).expect("a log");
        let mut command = skein();
        command.arg("serve").arg("--data").arg(&data).stdout(Stdio::null()).stderr(log);
        for listener in ["public", "tcp", "push", "admin"] {
            command.arg("--set").arg(format!("listen.{listener}=127.0.0.1:0"));
        }
        let process = command.spawn().expect("start the server");
        let public = timeout(PATIENCE, public_address(&data)).await.unwrap_or_else(|_| {
            panic!("server did not start: {}", std::fs::read_to_string(folder.path().join("server.log")).unwrap_or_default())
        });
        Self { process, folder, address: format!("http://{public}") }
    }

    /// Two friends who share a group.
    async fn demo(&self) -> (Person, Person, String) {
        let data = self.folder.path().join("data");
        let answer = skein_server::admin::client::ask(&data, &skein_server::admin::Verb::Demo).await.expect("two accounts");
        let person = |at: usize| {
            let account = &answer["accounts"][at];
            let text = |name: &str| account[name].as_str().map_or_else(|| account[name].to_string(), str::to_owned);
            Person { uid: text("uid").parse().expect("a uid"), email: text("email"), password: text("password") }
        };
        (person(0), person(1), answer["group"].as_str().expect("a title").to_owned())
    }

    fn store(&self) -> PathBuf {
        self.folder.path().join("store")
    }

    fn as_person(&self, verb: &str, person: &Person) -> Command {
        let mut command = skein();
        command.arg(verb).args(["--server", &self.address, "--email", &person.email, "--lang", "en", "--store"]).arg(self.store());
        command.env("SKEIN_PASSWORD", &person.password);
        command
    }
}

async fn public_address(data: &Path) -> String {
    loop {
        let told = std::fs::read(data.join("listening.json")).ok().and_then(|text| serde_json::from_slice::<Value>(&text).ok());
        if let Some(public) = told.as_ref().and_then(|told| told["public"].as_str()) {
            return public.to_owned();
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

struct Tail {
    process: Child,
    lines: Lines<BufReader<ChildStdout>>,
}

impl Tail {
    /// Returns once it follows.
    async fn start(mut command: Command) -> Self {
        let mut process = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("start tail");
        let mut told = BufReader::new(process.stderr.take().expect("piped")).lines();
        let lines = BufReader::new(process.stdout.take().expect("piped")).lines();
        let line = timeout(PATIENCE, told.next_line()).await.expect("tail begins in time").expect("readable");
        assert_eq!(line.as_deref(), Some("skein: following"));
        Self { process, lines }
    }

    async fn next(&mut self) -> Value {
        let line = timeout(PATIENCE, self.lines.next_line()).await.expect("a line in time").expect("readable").expect("a line");
        serde_json::from_str(&line).expect("one JSON object a line")
    }
}

async fn sent(mut command: Command) -> Value {
    let output = timeout(PATIENCE, command.output()).await.expect("send ends in time").expect("send runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).expect("a JSON answer")
}

#[tokio::test]
async fn scripts_send_and_follow_and_resume_where_they_were() {
    let server = Server::start().await;
    let (ann, bo, group) = server.demo().await;
    let tail = || {
        let mut command = server.as_person("tail", &bo);
        command.arg("--json");
        command
    };
    let mut following = Tail::start(tail()).await;

    let mut to_group = server.as_person("send", &ann);
    to_group.args(["--to", &group, "你好 👋 first"]);
    let first = sent(to_group).await;
    let heard = following.next().await;
    assert_eq!((&heard["text"], &heard["seq"], &heard["name"]), (&"你好 👋 first".into(), &first["seq"], &"Ann".into()));
    assert_eq!(heard["author"], ann.uid);

    // Without a password now: the session is kept. The text comes from standard input, and holds what terminals obey.
    let mut to_uid = server.as_person("send", &ann);
    to_uid.env_remove("SKEIN_PASSWORD").args(["--to", &bo.uid.to_string(), "-"]).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut sending = to_uid.spawn().expect("start send");
    let mut stdin = sending.stdin.take().expect("piped");
    stdin.write_all("two\n\u{1b}[31mlines\n".as_bytes()).await.expect("write the text");
    drop(stdin);
    assert!(sending.wait_with_output().await.expect("send runs").status.success());
    assert_eq!(following.next().await["text"], "two\n\u{1b}[31mlines");

    following.process.kill().await.expect("kill tail");
    for text in ["missed one", "missed two"] {
        let mut by_email = server.as_person("send", &ann);
        by_email.args(["--to", &bo.email, text]);
        sent(by_email).await;
    }
    let mut again = Tail::start(tail()).await;
    let mut resumed = again.next().await;
    if resumed["text"] == "two\n\u{1b}[31mlines" {
        // Killed after it printed and before it kept the position: the last line comes once more.
        resumed = again.next().await;
    }
    assert_eq!(resumed["text"], "missed one");
    assert_eq!(again.next().await["text"], "missed two");

    // Whoever read the lines has gone: it ends without a word.
    drop(again.lines);
    let mut last = server.as_person("send", &ann);
    last.args(["--to", &group, "anybody there?"]);
    sent(last).await;
    let status = timeout(PATIENCE, again.process.wait()).await.expect("tail ends in time").expect("tail runs");
    assert!(status.success(), "{status}");
}

#[tokio::test]
async fn failures_name_their_code() {
    let server = Server::start().await;
    let (ann, _, _) = server.demo().await;
    let failure = async |mut command: Command| {
        let output = timeout(PATIENCE, command.output()).await.expect("ends in time").expect("runs");
        assert_eq!(output.status.code(), Some(1));
        assert!(output.stdout.is_empty());
        String::from_utf8(output.stderr).expect("text")
    };
    let mut nobody = server.as_person("send", &ann);
    nobody.args(["--to", "no such group", "x"]);
    let said = failure(nobody).await;
    assert!(said.contains("skein: not_found:") && said.matches("not_found").count() == 1, "{said}");
    let stranger = Person { uid: 0, email: "nobody@example.org".into(), password: "wrong and long enough".into() };
    let mut wrong = server.as_person("send", &stranger);
    wrong.args(["--to", "1", "x"]);
    assert!(failure(wrong).await.contains("skein: bad_credentials:"));
    let mut asked = server.as_person("tail", &stranger);
    asked.env_remove("SKEIN_PASSWORD");
    assert!(failure(asked).await.contains("SKEIN_PASSWORD"));
}

impl Server {
    /// In a terminal of its own, by Python's `pty`, which also looks whether the terminal is given back.
    async fn drive(&self, mode: &str, person: &Person, group: &str, arguments: &[&str]) {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/terminal_pty.py");
        let mut python = Command::new("python3");
        python.arg(script).args([mode, env!("CARGO_BIN_EXE_skein"), "chat", "--server", &self.address, "--email", &person.email]);
        python.args(["--lang", "en", "--store"]).arg(self.store()).args(arguments).env_remove("SKEIN_PASSWORD");
        python.env("SKEIN_TEST_GROUP", group).env("SKEIN_TEST_MAILBOX", format!("{}/dev/mailbox", self.address));
        if !person.password.is_empty() {
            python.env("SKEIN_PASSWORD", &person.password);
        }
        let driven = python.stdin(Stdio::null()).kill_on_drop(true).output();
        let output = timeout(PATIENCE, driven).await.expect("ends in time").expect("python3 runs");
        assert!(output.status.success(), "{mode}: {}", String::from_utf8_lossy(&output.stderr));
    }
}

#[tokio::test]
async fn chat_writes_and_shows_its_history_without_a_server() {
    let mut server = Server::start().await;
    let (mut ann, bo, group) = server.demo().await;
    let mut tail = server.as_person("tail", &bo);
    tail.arg("--json");
    let mut following = Tail::start(tail).await;
    server.drive("write", &ann, &group, &[]).await;
    assert_eq!(following.next().await["text"], "从终端来 hello");
    server.process.kill().await.expect("kill the server");
    // Its session is kept: nobody is asked for a password.
    ann.password.clear();
    server.drive("offline", &ann, &group, &[]).await;
}

#[tokio::test]
async fn a_newcomer_registers_in_the_terminal() {
    let server = Server::start().await;
    let newcomer = Person { uid: 0, email: "newcomer@example.org".into(), password: "correct horse battery".into() };
    server.drive("register", &newcomer, "", &["--register"]).await;
    let mut alone = server.as_person("tail", &newcomer);
    alone.arg("--json");
    Tail::start(alone).await;
}

#[tokio::test]
async fn a_reader_who_has_had_enough_ends_a_command_without_a_word() {
    let (reader, writer) = std::io::pipe().expect("a pipe");
    drop(reader);
    let command = skein().args(["docs", "metrics"]).stdout(writer).stderr(Stdio::piped()).spawn().expect("skein runs");
    let output = command.wait_with_output().await.expect("it ends");
    assert_eq!((output.status.code(), String::from_utf8_lossy(&output.stderr).as_ref()), (Some(141), ""));
}
