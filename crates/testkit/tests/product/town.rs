//! A server on a folder of its own, and the people who were in it before it started.

use crate::http::Api;
use crate::line::Line;
use skein_domain::account::DeviceClass;
use skein_domain::id::Uid;
use skein_server::admin::{Verb, client};
use skein_server::node::Listening;
use skein_testkit::seed::Seed;
use skein_testkit::server::{Options, ServerProcess};
use skein_testkit::wire::Transport;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};
use tempfile::TempDir;

const PATIENCE: Duration = Duration::from_secs(20);
const LOOK_EVERY: Duration = Duration::from_millis(10);

/// A town before its server starts.
pub struct Draft {
    names: Vec<String>,
    are_friends: bool,
    settings: Vec<(String, String)>,
    environment: Vec<(String, String)>,
}

pub struct Town {
    pub server: ServerProcess,
    people: BTreeMap<String, Uid>,
    tokens: BTreeMap<String, String>,
    draft: Draft,
    folder: TempDir,
}

impl Town {
    /// All are friends of each other. `ann` has a session of class desktop; `ann/mobile` a further one of that class.
    pub fn of(names: &[&str]) -> Draft {
        let names = names.iter().map(|name| (*name).to_owned()).collect();
        Draft { names, are_friends: true, settings: cheap_passwords(), environment: Vec::new() }
    }

    /// Nobody knows anybody.
    pub fn strangers(names: &[&str]) -> Draft {
        Draft { are_friends: false, ..Self::of(names) }
    }

    pub fn uid(&self, name: &str) -> i64 {
        self.people[name].0
    }

    pub fn token(&self, name: &str) -> &str {
        &self.tokens[name]
    }

    pub fn data(&self) -> &Path {
        self.server.data()
    }

    pub fn api(&self) -> Api {
        Api::new(self.server.endpoints().unwrap().public)
    }

    pub fn api_of(&self, name: &str) -> Api {
        self.api().bearer(self.token(name))
    }

    pub fn listening(&self) -> Listening {
        listening(self.data())
    }

    pub async fn line(&self, name: &str) -> Line {
        self.line_over(Transport::Tcp, name).await
    }

    pub async fn line_over(&self, transport: Transport, name: &str) -> Line {
        Line::open(self.server.endpoints().unwrap(), transport, self.token(name)).await
    }

    pub async fn admin(&self, verb: Verb) -> serde_json::Value {
        client::ask(self.data(), &verb).await.unwrap()
    }

    /// A new password of a person, by the operator: the people here never had one. Ends their sessions.
    pub async fn password(&self, name: &str) -> String {
        let reset = self.admin(Verb::Reset { user: format!("{name}@example.org") }).await;
        reset["password"].as_str().unwrap().to_owned()
    }

    pub async fn metric(&self, series: &str) -> f64 {
        metric(&self.server, series).await
    }

    /// All that the server said so far.
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.data().with_extension("log")).unwrap()
    }

    /// SIGKILL, and the same again.
    pub async fn crash(&mut self) {
        self.server.kill().await.unwrap();
        self.start_again().await;
    }

    pub async fn start_again(&mut self) {
        self.server = ServerProcess::start(self.draft.options(&self.folder.path().join("data"))).await.unwrap();
    }
}

impl Draft {
    pub fn set(mut self, key: &str, value: impl ToString) -> Self {
        self.settings.push((key.to_owned(), value.to_string()));
        self
    }

    pub fn environment(mut self, name: &str, value: &str) -> Self {
        self.environment.push((name.to_owned(), value.to_owned()));
        self
    }

    /// For what these tests are not about: one machine does what many people do elsewhere.
    pub fn without_rates(mut self) -> Self {
        for rate in ["login", "code", "register", "search"] {
            self = self.set(&format!("gate.rates.{rate}"), "{burst=10000,per_minute=10000}");
        }
        for rate in ["account.log_ins_per_account", "account.log_ins_per_address", "account.code_requests_per_address", "contact.searches"]
        {
            self = self.set(&format!("logic.{rate}"), "{burst=10000,every_ms=1}");
        }
        self
    }

    pub async fn start(self) -> Town {
        let folder = tempfile::Builder::new().prefix("skein-town-").tempdir().unwrap();
        let data = folder.path().join("data");
        let (people, tokens) = seed(&data, &self.names, self.are_friends).await;
        let server = ServerProcess::start(self.options(&data)).await.unwrap();
        Town { server, people, tokens, draft: self, folder }
    }

    fn options(&self, data: &Path) -> Options {
        let mut options = Options::on(data);
        options.settings = self.settings.clone();
        options.environment = self.environment.iter().map(|(name, value)| (name.clone(), value.into())).collect();
        options
    }
}

/// People of the folder before any server runs on it; returns their uids, and the tokens of their devices.
pub async fn seed(data: &Path, names: &[String], are_friends: bool) -> (BTreeMap<String, Uid>, BTreeMap<String, String>) {
    let seed = Seed::open(data).unwrap();
    let (mut people, mut tokens) = (BTreeMap::new(), BTreeMap::new());
    for name in names {
        let (user, class) = name.split_once('/').unwrap_or((name, "desktop"));
        if !people.contains_key(user) {
            let uid = seed.user(user).await.unwrap();
            for friend in people.values().filter(|_| are_friends) {
                seed.befriend(*friend, uid).await.unwrap();
            }
            people.insert(user.to_owned(), uid);
        }
        tokens.insert(name.clone(), seed.session(people[user], DeviceClass::parse(class).unwrap()).await.unwrap());
    }
    seed.close();
    (people, tokens)
}

/// What a test spends on a hash, it does not spend on the product.
pub fn cheap_passwords() -> Vec<(String, String)> {
    let set = |key: &str, value: &str| (format!("logic.account.{key}"), value.to_owned());
    vec![set("password_memory_kib", "64"), set("password_passes", "1")]
}

pub fn listening(data: &Path) -> Listening {
    Listening::read(data).unwrap()
}

/// The sum of all series that begin so: `name`, or `name{label="value"`.
pub async fn metric(server: &ServerProcess, series: &str) -> f64 {
    let text = Api::new(server.admin().unwrap()).get("/metrics").await.text;
    let is_it = |line: &&str| line.strip_prefix(series).is_some_and(|rest| rest.starts_with(['{', ' ', ',', '}']));
    text.lines().filter(is_it).filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok()).sum()
}

/// Looks until it is so.
pub async fn until<F: Future<Output = bool>>(what: &str, is_so: impl Fn() -> F) {
    let started = Instant::now();
    while !is_so().await {
        assert!(started.elapsed() < PATIENCE, "not within {PATIENCE:?}: {what}");
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

/// The product's program beside the tests, for what a person types.
pub fn program() -> PathBuf {
    let here = std::env::current_exe().unwrap();
    let program = here.ancestors().nth(2).unwrap().join("skein-under-test");
    assert!(program.exists(), "{} is built with these tests", program.display());
    program
}
