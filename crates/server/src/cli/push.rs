//! `skein push`: one call of the push API, with the key in the data folder or another.

use super::runtime;
use crate::folder::PUSH_KEY;
use crate::node::Listening;
use anyhow::{Context, Result, bail};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use clap::{Args, Subcommand, ValueEnum};
use reqwest::header::CONTENT_TYPE;
use serde::Serialize;
use serde_json::value::RawValue;
use serde_json::{Value, json};
use std::io::Read;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

pub(super) mod when;

const DEADLINE: Duration = Duration::from_secs(15);
/// As the server bounds a message; a larger file is not read.
const MESSAGE_BYTES_MAX: u64 = 64 * 1024;
const ANSWER_BYTES_MAX: usize = 4 * 1024 * 1024;

#[derive(Args)]
pub struct PushArgs {
    /// The data folder of a server on this machine.
    #[arg(long, global = true, default_value = "data", env = "SKEIN_DATA")]
    data: PathBuf,
    /// The push API, for example https://push.example.org:8090; by default that of the server on the data folder.
    #[arg(long, global = true, env = "SKEIN_PUSH_SERVER")]
    server: Option<String>,
    /// File with the API key; by default push-api.key in the data folder.
    #[arg(long, global = true, env = "SKEIN_PUSH_KEY_FILE")]
    key_file: Option<PathBuf>,
    /// Print the answer as JSON.
    #[arg(long, global = true)]
    json: bool,
    #[command(subcommand)]
    what: What,
}

#[derive(Subcommand)]
enum What {
    /// To all connections of these accounts.
    User {
        #[arg(required = true)]
        uids: Vec<i64>,
        #[command(flatten)]
        message: MessageArgs,
    },
    /// To whoever is in the live room, for example live://1000.
    Room {
        room: String,
        #[command(flatten)]
        message: MessageArgs,
    },
    /// To everyone who accepts the operation.
    All {
        /// Only to connections of these platforms.
        #[arg(long)]
        platform: Vec<String>,
        /// Only to connections with one of these tags.
        #[arg(long)]
        tag: Vec<String>,
        /// Connections per second over all nodes; 0: as fast as it goes.
        #[arg(long, default_value_t = 0)]
        speed: u32,
        #[command(flatten)]
        message: MessageArgs,
    },
    /// To goim connections with these keys.
    Key {
        #[arg(required = true)]
        keys: Vec<String>,
        #[command(flatten)]
        message: MessageArgs,
    },
    /// To all connections of these goim users.
    Mid {
        #[arg(required = true)]
        mids: Vec<i64>,
        #[command(flatten)]
        message: MessageArgs,
    },
    /// What became of a push, for ten minutes after its last change.
    Status { push_id: String },
}

#[derive(Args)]
struct MessageArgs {
    /// Business type of the message; receivers choose by it what they accept.
    #[arg(long, default_value_t = 1000, allow_negative_numbers = true)]
    op: i32,
    #[command(flatten)]
    content: Content,
    /// Store it, so that it is synced and replayed: to users, and to live rooms bound to a chat room.
    #[arg(long)]
    durable: bool,
    /// Not before: Unix milliseconds, 2026-01-31T08:00:00Z, or +30s, +10m, +2h, +1d from now.
    #[arg(long, value_parser = when::time)]
    at: Option<when::When>,
    /// Worthless so long after that: 30s, 10m, 2h, 1d.
    #[arg(long, value_parser = when::span)]
    ttl: Option<i64>,
    /// Whether it goes before those that wait.
    #[arg(long, value_enum, default_value_t)]
    priority: Priority,
    /// A repetition with the same key answers what the first answered.
    #[arg(long)]
    idempotency_key: Option<String>,
    /// Judge and count, deliver nothing.
    #[arg(long)]
    dry_run: bool,
}

#[derive(Clone, Copy, PartialEq, Eq, Default, ValueEnum, Serialize)]
#[serde(rename_all = "snake_case")]
enum Priority {
    #[default]
    Normal,
    Urgent,
}

#[derive(Args)]
#[group(required = true, multiple = false)]
struct Content {
    /// The message as text.
    #[arg(long)]
    text: Option<String>,
    /// The message as JSON, sent as it is written.
    #[arg(long)]
    body: Option<String>,
    /// The message from a file, or `-` for standard input; any bytes.
    #[arg(long)]
    file: Option<PathBuf>,
}

pub fn run(args: PushArgs) -> Result<ExitCode> {
    let (method, path, body) = args.what.request()?;
    let api = Api::of(&args)?;
    let answer = runtime()?.block_on(api.ask(method, &path, body))?;
    if args.json {
        println!("{answer}");
    } else {
        print!("{}", shown(&answer));
    }
    Ok(ExitCode::SUCCESS)
}

impl What {
    /// Method, path, and the body as JSON text.
    fn request(&self) -> Result<(reqwest::Method, String, Option<String>)> {
        let (to, message) = match self {
            What::User { uids, message } => (json!({ "users": uids }), message),
            What::Room { room, message } => (json!({ "room": room }), message),
            What::All { platform, tag, speed, message } => (json!({"all": {"platforms": platform, "tags": tag, "speed": speed}}), message),
            What::Key { keys, message } => (json!({ "keys": keys }), message),
            What::Mid { mids, message } => (json!({ "mids": mids }), message),
            What::Status { push_id } => {
                if push_id.is_empty() || !push_id.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
                    bail!("a push id has letters and digits only");
                }
                return Ok((reqwest::Method::GET, format!("/api/v1/push/{push_id}"), None));
            }
        };
        Ok((reqwest::Method::POST, "/api/v1/push".into(), Some(message.body(to)?)))
    }
}

/// A push as the API reads it.
#[derive(Serialize)]
struct Push<'m> {
    to: Value,
    operation: i32,
    #[serde(flatten)]
    message: Message<'m>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    durable: bool,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    dry_run: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    not_before: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    ttl_ms: Option<String>,
    #[serde(skip_serializing_if = "Priority::is_normal")]
    priority: Priority,
    #[serde(skip_serializing_if = "Option::is_none")]
    idempotency_key: Option<&'m str>,
}

impl Priority {
    fn is_normal(&self) -> bool {
        *self == Self::Normal
    }
}

#[derive(Serialize)]
#[serde(rename_all = "snake_case")]
enum Message<'m> {
    Text(&'m str),
    /// As it was written: the server sends it on byte by byte.
    Body(&'m RawValue),
    Base64(String),
}

impl MessageArgs {
    fn body(&self, to: Value) -> Result<String> {
        let message = match &self.content {
            Content { text: Some(text), .. } => Message::Text(text),
            Content { body: Some(json), .. } => {
                Message::Body(serde_json::from_str(json).context("--body is not JSON (--text takes text)")?)
            }
            Content { file: Some(file), .. } => Message::Base64(STANDARD.encode(read_message(file)?)),
            _ => bail!("one of --text, --body and --file is needed"),
        };
        let push = Push {
            to,
            operation: self.op,
            message,
            durable: self.durable,
            dry_run: self.dry_run,
            not_before: self.at.map(|when| when.millis(unix_ms()).to_string()),
            ttl_ms: self.ttl.map(|ttl| ttl.to_string()),
            priority: self.priority,
            idempotency_key: self.idempotency_key.as_deref(),
        };
        serde_json::to_string(&push).context("write the request")
    }
}

fn unix_ms() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as i64)
}

fn read_message(file: &Path) -> Result<Vec<u8>> {
    let reader: Box<dyn Read> = match file.as_os_str() == "-" {
        true => Box::new(std::io::stdin()),
        false => Box::new(std::fs::File::open(file).with_context(|| format!("open {}", file.display()))?),
    };
    let mut bytes = Vec::new();
    reader.take(MESSAGE_BYTES_MAX + 1).read_to_end(&mut bytes).with_context(|| format!("read {}", file.display()))?;
    if bytes.len() as u64 > MESSAGE_BYTES_MAX {
        bail!("a message holds at most {MESSAGE_BYTES_MAX} bytes");
    }
    Ok(bytes)
}

// === the call ===

struct Api {
    server: String,
    key: String,
}

impl Api {
    fn of(args: &PushArgs) -> Result<Self> {
        let data = &args.data;
        let server = match &args.server {
            Some(server) => server.trim_end_matches('/').to_owned(),
            None => local(data)?,
        };
        let file = args.key_file.clone().unwrap_or_else(|| data.join(PUSH_KEY));
        let key = std::fs::read_to_string(&file).with_context(|| format!("read the API key {}", file.display()))?;
        Ok(Self { server, key: key.trim().to_owned() })
    }

    async fn ask(&self, method: reqwest::Method, path: &str, body: Option<String>) -> Result<Value> {
        let client = reqwest::Client::builder().timeout(DEADLINE).build().context("set up HTTP")?;
        let mut request = client.request(method, format!("{}{path}", self.server)).bearer_auth(&self.key);
        if let Some(body) = body {
            request = request.header(CONTENT_TYPE, "application/json").body(body);
        }
        let mut answer = request.send().await.with_context(|| format!("ask {}", self.server))?;
        let status = answer.status();
        let mut bytes = Vec::new();
        while let Some(chunk) = answer.chunk().await.context("read the answer")? {
            bytes.extend_from_slice(&chunk);
            if bytes.len() > ANSWER_BYTES_MAX {
                bail!("the answer is too long");
            }
        }
        let value: Value = serde_json::from_slice(&bytes).with_context(|| format!("the answer ({status}) is not JSON"))?;
        if status.is_success() {
            return Ok(value);
        }
        let text = |field: &str| value[field].as_str().unwrap_or_default().to_owned();
        let wait = value["retry_after_ms"].as_str().map(|ms| format!("; try again in {ms} ms")).unwrap_or_default();
        bail!("{} ({}){wait}", text("detail"), text("code"))
    }
}

/// The push API of the server that runs on this folder.
fn local(data: &Path) -> Result<String> {
    let hint = || format!("no server runs on {} (--server names another)", data.display());
    let listening = Listening::read(data).with_context(hint)?;
    let push = listening.push.context("this node has no push API: role logic has it (--server names it)")?;
    let ip = if push.ip().is_unspecified() { IpAddr::V4(Ipv4Addr::LOCALHOST) } else { push.ip() };
    Ok(format!("http://{}", SocketAddr::new(ip, push.port())))
}

// === the answer, for people ===

fn shown(answer: &Value) -> String {
    let text = |field: &str| match &answer[field] {
        Value::String(text) => text.clone(),
        Value::Null => String::new(),
        other => other.to_string(),
    };
    let mut lines = Vec::new();
    if let Some(state) = answer["state"].as_str() {
        lines.push(format!("{} {state} {}", text("push_id"), state_in_chinese(state)));
        lines.push(format!("  found 找到 {}  queued 入队 {}  dropped 丢弃 {}", text("found"), text("queued"), text("dropped")));
    } else {
        let repeated = if answer["repeated"] == true { "  repeated 重复" } else { "" };
        lines.push(format!("accepted 已接受  {}{repeated}", text("push_id")));
    }
    if answer["would_reach"].is_number() {
        lines.push(format!("  would reach 将送达 {} (dry run 试运行)", text("would_reach")));
    }
    for stored in answer["stored"].as_array().into_iter().flatten() {
        let field = |name: &str| stored[name].as_str().unwrap_or_default().to_owned();
        let user = stored["user"].as_str().map(|uid| format!("user 用户 {uid}, ")).unwrap_or_default();
        lines.push(format!("  stored 已存储  {user}conversation 会话 {}, seq 序号 {}", field("conversation"), field("seq")));
    }
    lines.join("\n") + "\n"
}

fn state_in_chinese(state: &str) -> &'static str {
    match state {
        "scheduled" => "已安排",
        "waiting" => "进行中",
        "delivered" => "已送出",
        "expired" => "已过期",
        "failed" => "失败",
        _ => "",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        args: PushArgs,
    }

    fn sent(line: &str) -> Result<String> {
        let words = std::iter::once("push").chain(line.split(' '));
        Ok(Line::try_parse_from(words)?.args.what.request()?.2.unwrap_or_default())
    }

    fn body(line: &str) -> Result<Value> {
        Ok(serde_json::from_str(&sent(line)?)?)
    }

    #[test]
    fn a_body_is_sent_as_it_was_written() {
        let written = r#"{"z":1.0,"a":12345678901234567890123,"z":1e2}"#;
        let sent = sent(&format!("room live://1 --body {written}")).unwrap();
        assert!(sent.contains(&format!("\"body\":{written}")), "{sent}");
    }

    #[test]
    fn a_line_becomes_one_call() {
        let expected = json!({"to": {"users": [7, 8]}, "operation": 1000, "text": "hi"});
        assert_eq!(body("user 7 8 --text hi").unwrap(), expected);
        let expected = json!({"to": {"room": "live://1"}, "operation": 5, "body": {"a": 1}, "durable": true, "ttl_ms": "600000"});
        assert_eq!(body(r#"room live://1 --op 5 --body {"a":1} --durable --ttl 10m"#).unwrap(), expected);
        let all = json!({"all": {"platforms": ["web", "ios"], "tags": ["vip"], "speed": 50}});
        let expected = json!({"to": all, "operation": -1, "text": "x", "dry_run": true, "not_before": "5", "idempotency_key": "k"});
        let line = "all --platform web --platform ios --tag vip --speed 50 --op -1 --text x --dry-run --at 5 --idempotency-key k";
        assert_eq!(body(line).unwrap(), expected);
        let expected = json!({"to": {"room": "live://1"}, "operation": 1000, "text": "fire", "priority": "urgent"});
        assert_eq!(body("room live://1 --text fire --priority urgent").unwrap(), expected);
        assert_eq!(body("key a b --text x").unwrap()["to"], json!({"keys": ["a", "b"]}));
        assert_eq!(body("mid 1 --text x --json --server http://h").unwrap()["to"], json!({"mids": [1]}));
    }

    #[test]
    fn a_line_without_receivers_or_with_two_messages_is_refused() {
        for line in [
            "user --text x",
            "user x --text x",
            "room live://1",
            "room a --text x --body {}",
            "all --text x --at soon",
            "all --text x --priority high",
            "status",
        ] {
            assert!(body(line).is_err(), "{line}");
        }
        assert!(body("room a --body {").is_err());
        assert!(body("status ../../etc").is_err());
    }

    #[test]
    fn an_answer_is_told_in_both_languages() {
        let pushed = json!({"push_id": "P", "stored": [{"user": "7", "conversation": "5", "seq": "6"}], "repeated": true});
        let expected = "accepted 已接受  P  repeated 重复\n  stored 已存储  user 用户 7, conversation 会话 5, seq 序号 6\n";
        assert_eq!(shown(&pushed), expected);
        let receipt = json!({"push_id": "P", "state": "delivered", "at": "1", "found": 3, "queued": 2, "dropped": 1});
        assert_eq!(shown(&receipt), "P delivered 已送出\n  found 找到 3  queued 入队 2  dropped 丢弃 1\n");
    }
}
