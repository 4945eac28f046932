//! Answers `skein admin` inside the running process.

use super::{Answer, DEADLINE, DeadLettersAct, LINE_BYTES_MAX, Verb};
use crate::folder::ADMIN_SOCKET;
use anyhow::{Context, Result};
use serde_json::{Value, json};
use skein_domain::account::User;
use skein_domain::delivery::Push;
use skein_domain::door::Comets;
use skein_domain::id::{NodeId, Uid};
use skein_domain::port::{AccountStore, Audit, Clock, ContactStore, ConversationStore, DeadLetters, NodeInfo, NodeRegistry};
use skein_domain::{Code, Error};
use skein_edge::comet::Hub;
use skein_logic::Service;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

pub(super) const ACTOR: &str = "admin.sock";
/// Administrators at a time; one more waits to be accepted.
const CONNECTIONS_MAX: usize = 16;
const NOTICE_CHARS_MAX: usize = 2_000;

/// What administration works with.
pub struct Admin {
    pub logic: Service,
    pub users: Arc<dyn AccountStore>,
    pub contacts: Arc<dyn ContactStore>,
    pub conversations: Arc<dyn ConversationStore>,
    pub nodes: Arc<dyn NodeRegistry>,
    pub comets: Arc<dyn Comets>,
    /// Only with Kafka.
    pub dead_letters: Option<Arc<dyn DeadLetters>>,
    pub clock: Arc<dyn Clock>,
    /// What newcomers are told to connect to.
    pub server: String,
    pub started: Instant,
    pub friends_max: u32,
    /// The Comet of this process, which is asked and not heard of by its lease.
    pub own: Option<OwnComet>,
}

pub struct OwnComet {
    pub node: String,
    pub hub: Arc<Hub>,
}

impl OwnComet {
    fn connections(&self) -> u32 {
        let counts = self.hub.counts();
        (counts.sessions + counts.guests) as u32
    }
}

/// The socket; gone from the folder when dropped.
pub struct AdminSocket {
    listener: UnixListener,
    path: PathBuf,
}

impl AdminSocket {
    /// The data folder's lock is held, so a socket left behind is nobody's.
    pub fn bind(data: &Path) -> Result<Self> {
        let path = data.join(ADMIN_SOCKET);
        if path.exists() {
            std::fs::remove_file(&path).with_context(|| format!("remove the old {}", path.display()))?;
        }
        let listener = UnixListener::bind(&path).with_context(|| format!("open {}", path.display()))?;
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).context("protect the admin socket")?;
        Ok(Self { listener, path })
    }

    pub async fn serve(self, admin: Arc<Admin>, shutdown: CancellationToken) {
        let places = Arc::new(Semaphore::new(CONNECTIONS_MAX));
        while let Ok(place) = places.clone().acquire_owned().await {
            let accepted = tokio::select! {
                accepted = self.listener.accept() => accepted,
                () = shutdown.cancelled() => return,
            };
            let Ok((stream, _)) = accepted else { continue };
            let admin = admin.clone();
            tokio::spawn(async move {
                if !matches!(tokio::time::timeout(DEADLINE, answer(&admin, stream)).await, Ok(Ok(()))) {
                    tracing::debug!("an admin connection ended early");
                }
                drop(place);
            });
        }
    }
}

impl Drop for AdminSocket {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.path);
    }
}

async fn answer(admin: &Admin, stream: UnixStream) -> Result<()> {
    let (read, mut write) = stream.into_split();
    let mut line = String::new();
    BufReader::new(read.take(LINE_BYTES_MAX)).read_line(&mut line).await?;
    let outcome = match serde_json::from_str(&line) {
        Ok(verb) => admin.run(verb).await,
        Err(error) => Err(Error::new(Code::BadRequest, format!("not an admin request: {error}"))),
    };
    let answer = match outcome {
        Ok(value) => Answer::Ok(value),
        Err(error) => Answer::Failed { code: error.code.as_str().into(), message: error.message.into_owned() },
    };
    let mut line = serde_json::to_vec(&answer)?;
    line.push(b'\n');
    write.write_all(&line).await?;
    Ok(())
}

impl Admin {
    async fn run(&self, verb: Verb) -> skein_domain::Result<Value> {
        match verb {
            Verb::Users { after, count } => {
                let users = self.users.users(Uid(after), count.clamp(1, 1_000)).await?;
                Ok(users.iter().map(shown).collect())
            }
            Verb::Disable { user } => self.set_disabled(&user, true).await,
            Verb::Enable { user } => self.set_disabled(&user, false).await,
            Verb::Reset { user } => {
                let uid = self.find(&user).await?.uid;
                let password = crate::secrets::random().map_err(|_| Error::internal())?;
                self.logic.accounts().set_password(uid, password.clone(), ACTOR).await?;
                Ok(json!({"uid": uid, "password": password}))
            }
            Verb::Notice { text, title } => self.notice(title, text).await,
            Verb::Stats => self.stats().await,
            Verb::Connections { user } => self.connections(&user).await,
            Verb::Audit { count } => {
                let audits = self.users.audits(count.clamp(1, 1_000)).await?;
                serde_json::to_value(audits).map_err(|_| Error::internal())
            }
            Verb::Key { act } => self.key(act).await,
            Verb::Room { act } => self.room(act).await,
            Verb::DeadLetters { act } => self.dead_letters(act).await,
            Verb::Tag { user, tags } => self.tag(&user, tags).await,
            Verb::Demo => self.demo().await,
        }
    }

    /// By uid or e-mail address.
    pub(super) async fn find(&self, user: &str) -> skein_domain::Result<User> {
        let found = match user.parse() {
            Ok(uid) => self.users.user(Uid(uid)).await?,
            Err(_) => self.users.user_by_email(&user.trim().to_lowercase()).await?,
        };
        found.ok_or_else(|| Error::new(Code::NotFound, format!("no user {user}")))
    }

    async fn set_disabled(&self, user: &str, disabled: bool) -> skein_domain::Result<Value> {
        let uid = self.find(user).await?.uid;
        self.logic.accounts().set_disabled(uid, disabled, ACTOR).await?;
        Ok(json!({"uid": uid, "disabled": disabled}))
    }

    async fn notice(&self, title: String, text: String) -> skein_domain::Result<Value> {
        if text.trim().is_empty() || text.chars().count() > NOTICE_CHARS_MAX || title.chars().count() > 100 {
            return Err(Error::new(Code::BadRequest, "a notice has 1 to 2000 characters, its title at most 100"));
        }
        let at = self.clock.now();
        let audit = Audit { at, actor: ACTOR.into(), act: "notice".into(), subject: title.clone(), detail: text.clone() };
        self.users.audit(audit).await?;
        self.logic.fanout().everyone(Push::Notice { title, text, at }).await;
        Ok(json!({"sent": true}))
    }

    /// Each one by itself, as its node sees it now; of a node that does not answer, why.
    async fn connections(&self, user: &str) -> skein_domain::Result<Value> {
        let uid = self.find(user).await?.uid;
        let mut nodes = self.comets.nodes();
        nodes.sort_unstable();
        let mut asked = JoinSet::new();
        for (place, node) in nodes.into_iter().enumerate() {
            let Some(comet) = self.comets.comet(&node) else { continue };
            asked.spawn(async move { (place, node, comet.connections(uid).await) });
        }
        let mut answers = asked.join_all().await;
        answers.sort_unstable_by_key(|(place, ..)| *place);
        Ok(answers.into_iter().flat_map(|(_, node, answer)| at_node(&node, answer)).collect())
    }

    async fn dead_letters(&self, act: DeadLettersAct) -> skein_domain::Result<Value> {
        let Some(dead) = &self.dead_letters else {
            return Err(Error::new(Code::Unsupported, "without [kafka] nothing is set aside"));
        };
        match act {
            DeadLettersAct::List { count } => {
                let waiting = dead.waiting(count.clamp(1, 1_000)).await?;
                serde_json::to_value(waiting).map_err(|_| Error::internal())
            }
            DeadLettersAct::Replay { count } => {
                let (replayed, unreadable) = dead.replay(count.clamp(1, 1_000)).await?;
                let detail = format!("{replayed} replayed, {unreadable} unreadable");
                let (actor, act, subject) = (ACTOR.to_owned(), "replay dead letters".to_owned(), String::new());
                self.users.audit(Audit { at: self.clock.now(), actor, act, subject, detail }).await?;
                Ok(json!({"replayed": replayed, "unreadable": unreadable}))
            }
        }
    }

    async fn stats(&self) -> skein_domain::Result<Value> {
        let nodes = self.nodes.nodes().await?;
        let is_own = |node: &NodeInfo| self.own.as_ref().is_some_and(|own| own.node == node.node.0);
        let elsewhere: u32 = nodes.iter().filter(|node| !is_own(node)).map(|node| node.connections).sum();
        let connections = elsewhere + self.own.as_ref().map_or(0, OwnComet::connections);
        Ok(json!({
            "version": env!("CARGO_PKG_VERSION"),
            "pid": std::process::id(),
            "uptime_s": self.started.elapsed().as_secs(),
            "resident_kib": resident_kib(),
            "nodes": nodes.len(),
            "connections": connections,
        }))
    }
}

fn at_node(node: &NodeId, answer: skein_domain::Result<Vec<Value>>) -> Vec<Value> {
    let mut rows = answer.unwrap_or_else(|error| vec![json!({"error": error.to_string()})]);
    rows.iter_mut().for_each(|row| row["node"] = json!(node));
    rows
}

fn shown(user: &User) -> Value {
    json!({
        "uid": user.uid,
        "email": user.email,
        "nickname": user.nickname,
        "role": user.role,
        "disabled": user.disabled,
        "created_at_ms": user.created_at,
    })
}

fn resident_kib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    line.and_then(|text| text.trim().trim_end_matches("kB").trim().parse().ok()).unwrap_or(0)
}
