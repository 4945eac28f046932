//! More than one process: gate, comets and the rest apart, by static addresses.

use crate::accounts::log_in;
use crate::http::Api;
use crate::line::{Line, refused};
use crate::town::{cheap_passwords, listening, metric, seed, until};
use serde_json::json;
use skein_domain::id::Uid;
use skein_protocol::close::CloseCode;
use skein_protocol::{Push, Reply};
use skein_server::admin::{Verb, client};
use skein_testkit::goim::Goim;
use skein_testkit::server::{Options, ServerProcess};
use skein_testkit::wire::Transport::{self, Tcp, WebSocket};
use std::collections::BTreeMap;
use std::net::TcpListener;
use std::path::PathBuf;
use tempfile::TempDir;

/// `core` (status, verify, logic, job), `gate`, and any number of comets.
struct Deployment {
    core: Option<ServerProcess>,
    gate: Option<ServerProcess>,
    comets: Vec<ServerProcess>,
    people: BTreeMap<String, Uid>,
    tokens: BTreeMap<String, String>,
    logic_port: u16,
    comet_ports: Vec<u16>,
    settings: Vec<(String, String)>,
    folder: TempDir,
}

impl Deployment {
    async fn start(names: &[&str], comets: usize, settings: &[(&str, &str)]) -> Self {
        let folder = tempfile::Builder::new().prefix("skein-roles-").tempdir().unwrap();
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        let (people, tokens) = seed(&folder.path().join("core"), &names, true).await;
        let mut ports = free_ports(comets + 1);
        let logic_port = ports.remove(0);
        let mut settings: Vec<(String, String)> = settings.iter().map(|(key, value)| ((*key).into(), (*value).into())).collect();
        settings.extend(cheap_passwords());
        // Log-in finds a comet as soon as it has said that it lives.
        settings.push(("comet.renew_interval_ms".into(), "200".into()));
        let mut deployment =
            Self { core: None, gate: None, comets: Vec::new(), people, tokens, logic_port, comet_ports: ports, settings, folder };
        deployment.start_core().await;
        deployment.gate = Some(deployment.start_edge("gate", "gate", None).await);
        for n in 0..comets {
            let comet = deployment.start_edge("comet", &format!("comet-{}", n + 1), Some(deployment.comet_ports[n])).await;
            deployment.comets.push(comet);
        }
        deployment
    }

    async fn start_core(&mut self) {
        let address = |(n, port): (usize, &u16)| format!("{{node=\"comet-{}\",address=\"http://127.0.0.1:{port}\"}}", n + 1);
        let comets: Vec<String> = self.comet_ports.iter().enumerate().map(address).collect();
        let options = self.options("core", "status,verify,logic,job");
        let options = options.set("listen.logic_rpc", format!("127.0.0.1:{}", self.logic_port));
        self.core = Some(ServerProcess::start(options.set("peers.comets", format!("[{}]", comets.join(",")))).await.unwrap());
    }

    async fn start_edge(&self, role: &str, node: &str, comet_port: Option<u16>) -> ServerProcess {
        let mut options = self.options(node, role);
        options = options.set("peers.logic", format!("http://127.0.0.1:{}", self.logic_port));
        options = options.set("peers.secret_file", self.data("core").join("internal.secret").display());
        if let Some(port) = comet_port {
            options = options.set("listen.comet_rpc", format!("127.0.0.1:{port}"));
        }
        ServerProcess::start(options).await.unwrap()
    }

    fn options(&self, node: &str, roles: &str) -> Options {
        let mut options = Options::on(&self.data(node));
        options.arguments = ["--role", roles, "--node", node].map(str::to_owned).to_vec();
        options.settings = self.settings.clone();
        options
    }

    fn data(&self, node: &str) -> PathBuf {
        self.folder.path().join(node)
    }

    fn gate(&self) -> Api {
        Api::new(self.gate.as_ref().unwrap().endpoints().unwrap().public)
    }

    fn core(&self) -> &ServerProcess {
        self.core.as_ref().unwrap()
    }

    fn edge_pids(&self) -> Vec<u32> {
        self.gate.iter().chain(&self.comets).map(ServerProcess::pid).collect()
    }

    async fn line(&self, comet: usize, name: &str) -> Line {
        self.line_over(comet, Tcp, name).await
    }

    async fn line_over(&self, comet: usize, transport: Transport, name: &str) -> Line {
        Line::open(self.comets[comet].endpoints().unwrap(), transport, &self.tokens[name]).await
    }

    async fn password(&self, name: &str) -> String {
        let reset = client::ask(&self.data("core"), &Verb::Reset { user: format!("{name}@example.org") }).await.unwrap();
        reset["password"].as_str().unwrap().to_owned()
    }

    /// Until then log-in has nowhere to send anybody.
    async fn until_comets_are_known(&self) {
        let nodes = async || client::ask(&self.data("core"), &Verb::Stats).await.unwrap()["nodes"].as_u64().unwrap() as usize;
        until("all comets are known", async || nodes().await == self.comets.len()).await;
    }
}

/// Free now, and below the range from which the system takes ports by itself.
pub fn free_ports(count: usize) -> Vec<u16> {
    let first = 12_000 + (std::process::id() % 700 * 10) as u16;
    static NEXT: std::sync::atomic::AtomicU16 = std::sync::atomic::AtomicU16::new(0);
    let candidates = std::iter::repeat_with(|| first + NEXT.fetch_add(1, std::sync::atomic::Ordering::Relaxed) % 1_000);
    candidates.filter(|port| TcpListener::bind(("127.0.0.1", *port)).is_ok()).take(count).collect()
}

#[tokio::test]
async fn connections_at_other_processes_are_shown_with_their_node() {
    let mut deployment = Deployment::start(&["ann", "ann/mobile"], 2, &[]).await;
    let (first, second) = (deployment.line(0, "ann").await, deployment.line_over(1, WebSocket, "ann/mobile").await);
    let rows = async |deployment: &Deployment| {
        let verb = Verb::Connections { user: "ann@example.org".into() };
        client::ask(&deployment.data("core"), &verb).await.unwrap().as_array().unwrap().clone()
    };
    let shown = rows(&deployment).await;
    let brief: Vec<_> = shown.iter().map(|row| (row["node"].as_str().unwrap(), row["transport"].as_str().unwrap())).collect();
    assert_eq!(brief, [("comet-1", "tcp"), ("comet-2", "websocket")], "{shown:?}");

    // Of a node that is away one is told that it is.
    deployment.comets.remove(1).kill().await.unwrap();
    let shown = rows(&deployment).await;
    assert_eq!((&shown[0]["node"], &shown[0]["transport"], &shown[1]["node"]), (&json!("comet-1"), &json!("tcp"), &json!("comet-2")));
    assert!(shown[1]["error"].as_str().unwrap().contains("unavailable"), "{shown:?}");
    drop((first, second));
}

#[tokio::test]
async fn http_tcp_and_grpc_carry_one_log_in_and_chat() {
    let deployment = Deployment::start(&["ann", "bob"], 1, &[]).await;
    deployment.until_comets_are_known().await;
    let password = deployment.password("ann").await;
    let logged_in = log_in(&deployment.gate(), "ann@example.org", &password, "desktop").await.ok();
    let comet = deployment.comets[0].endpoints().unwrap();
    assert_eq!(logged_in["comet"]["tcp"], comet.tcp.to_string(), "HTTP names the TCP address");
    let mut ann = Line::open(comet, Tcp, logged_in["token"].as_str().unwrap()).await;
    let mut bob = deployment.line(0, "bob").await;
    let chat = ann.direct_with(deployment.people["bob"].0).await;
    ann.send(chat, "over all three").await;
    assert_eq!(bob.messages(chat, 1).await[0].1, "over all three");

    // Each process did its own part, and so gRPC is what joins them.
    let gate = deployment.gate.as_ref().unwrap();
    assert_eq!(metric(gate, "skein_http_requests_total{method=\"POST\",route=\"/api/v1/login\"").await, 1.0);
    assert_eq!(metric(&deployment.comets[0], "skein_comet_connections").await, 2.0);
    assert_eq!(metric(deployment.core(), "skein_commands_total{command=\"send\"").await, 1.0);
    assert_eq!((metric(gate, "skein_commands_total").await, metric(&deployment.comets[0], "skein_commands_total").await), (0.0, 0.0));
    assert_eq!(metric(deployment.core(), "skein_comet_connections").await, 0.0);
    // A code is asked for at the gate and issued by verify, in the other process.
    let code = async |email: &str| deployment.gate().post("/api/v1/code", json!({"email": email, "purpose": "register"})).await;
    assert_eq!(code("no address").await.code(), "bad_email");
    assert_eq!(code("cat@example.org").await.status, 204);
    until("the code is mailed", async || metric(deployment.core(), "skein_mails_total{outcome=\"sent\"").await == 1.0).await;
    // The gate has no long connections, the comet no accounts.
    assert_eq!(deployment.gate().with("upgrade", "websocket").get("/ws").await.status, 404);
    assert_eq!(Api::new(comet.public).get("/api/v1/profile").await.status, 404);
}

#[tokio::test]
async fn chats_go_on_without_the_gate() {
    let mut deployment = Deployment::start(&["ann", "bob"], 1, &[]).await;
    let (mut ann, mut bob) = (deployment.line(0, "ann").await, deployment.line(0, "bob").await);
    let chat = ann.direct_with(deployment.people["bob"].0).await;
    ann.send(chat, "with").await;
    deployment.gate.as_mut().unwrap().kill().await.unwrap();
    ann.send(chat, "without").await;
    bob.send(chat, "indeed").await;
    let texts = |messages: Vec<(i64, String)>| messages.into_iter().map(|(_, text)| text).collect::<Vec<_>>();
    assert_eq!(texts(ann.messages(chat, 3).await), ["with", "without", "indeed"]);
    assert_eq!(texts(bob.messages(chat, 3).await), ["with", "without", "indeed"]);
}

/// Status, verify and logic are gone for a moment: a connection outlives that, and gate and comet find them again.
#[tokio::test]
async fn gate_and_comet_survive_a_restart_of_the_core() {
    let mut deployment = Deployment::start(&["ann", "bob"], 1, &[]).await;
    deployment.until_comets_are_known().await;
    let password = deployment.password("bob").await;
    log_in(&deployment.gate(), "bob@example.org", &password, "desktop").await.ok();
    let mut ann = deployment.line(0, "ann").await;
    let chat = ann.direct_with(deployment.people["bob"].0).await;
    let pids = deployment.edge_pids();

    deployment.core.as_mut().unwrap().kill().await.unwrap();
    let answer = ann.send_with(chat, "k", "is anybody there").await;
    assert!(["unavailable", "retry_same_key"].contains(&refused(&answer)), "{answer:?}");
    ann.heartbeat().await;
    let refusal = log_in(&deployment.gate(), "bob@example.org", &password, "desktop").await;
    assert!(refusal.status >= 500, "{} {}", refusal.status, refusal.text);

    deployment.start_core().await;
    deployment.until_comets_are_known().await;
    let again = log_in(&deployment.gate(), "bob@example.org", &password, "desktop").await;
    assert_eq!(again.status, 200, "{}", again.text);
    let mut bob = Line::open(deployment.comets[0].endpoints().unwrap(), Tcp, again.ok()["token"].as_str().unwrap()).await;
    // Who is online is not on disk: the comet tells it again, and whoever may have missed something is told to sync.
    ann.push(|push| matches!(push, Push::Resync(_)).then_some(())).await;
    // The key makes it once.
    let sent = ann.send_with(chat, "k", "is anybody there").await;
    assert!(matches!(sent, Reply::Ack(_)), "{sent:?}");
    assert_eq!(bob.history_after(chat, 0).await.len(), 1);
    assert_eq!(pids, deployment.edge_pids(), "nobody else was restarted");
}

/// A thousand, from one comet to the other.
#[tokio::test]
async fn numbered_messages_cross_comets_without_gap_or_inversion() {
    const COUNT: usize = 1_000;
    let rates = [("comet.commands_per_second", "100000"), ("comet.commands_burst", "100000")];
    let deployment = Deployment::start(&["ann", "bob"], 2, &rates).await;
    let mut ann = deployment.line(0, "ann").await;
    let mut bob = deployment.line(1, "bob").await;
    assert_eq!((ann.hello.node.as_str(), bob.hello.node.as_str()), ("comet-1", "comet-2"));
    let chat = ann.direct_with(deployment.people["bob"].0).await;
    let sending = async {
        for n in 0..COUNT {
            ann.send(chat, &n.to_string()).await;
        }
    };
    let ((), heard) = tokio::join!(sending, bob.messages(chat, COUNT));
    assert!(heard.windows(2).all(|pair| pair[0].0 + 1 == pair[1].0), "without gap or inversion");
    let texts: Vec<String> = heard.into_iter().map(|(_, text)| text).collect();
    assert_eq!(texts, (0..COUNT).map(|n| n.to_string()).collect::<Vec<_>>());
}

#[tokio::test]
async fn a_kick_reaches_the_other_comet_and_the_record_moves() {
    let deployment = Deployment::start(&["ann"], 2, &[]).await;
    deployment.until_comets_are_known().await;
    let password = deployment.password("ann").await;
    let token =
        async || log_in(&deployment.gate(), "ann@example.org", &password, "desktop").await.ok()["token"].as_str().unwrap().to_owned();
    let at = |comet: usize| deployment.comets[comet].endpoints().unwrap();
    let mut older = Line::open(at(0), Tcp, &token().await).await;
    let newer = token().await;
    assert_eq!(older.closed().await, Some(CloseCode::LoggedInElsewhere));
    let first = Line::open(at(1), WebSocket, &newer).await;
    assert_eq!(metric(deployment.core(), "skein_registry_sessions").await, 1.0);

    // The same session at the other comet: one connection, one record.
    let mut moved = Line::open(at(0), Tcp, &newer).await;
    let mut first = first;
    assert_eq!(first.closed().await, Some(CloseCode::Replaced));
    until("the old node has nobody", async || metric(&deployment.comets[1], "skein_comet_connections").await == 0.0).await;
    assert_eq!(metric(deployment.core(), "skein_registry_sessions").await, 1.0);
    moved.heartbeat().await;
}

#[tokio::test]
async fn a_stopped_comet_leaves_nothing_behind_and_gets_nobody() {
    let mut deployment = Deployment::start(&["ann", "bob", "cat"], 2, &[("logic.account.node_lease_ms", "1000")]).await;
    deployment.until_comets_are_known().await;
    let password = deployment.password("cat").await;
    let (_ann, mut bob) = (deployment.line(0, "ann").await, deployment.line(1, "bob").await);
    assert_eq!(metric(deployment.core(), "skein_registry_sessions").await, 2.0);
    assert!(deployment.comets[1].terminate().await.unwrap().success());
    assert_eq!(bob.closed().await, Some(CloseCode::GoingAway));
    until("its people are not online", async || metric(deployment.core(), "skein_registry_sessions").await == 1.0).await;
    // Ann is on the node that is left, so it is the loaded one; yet nobody is sent to the other.
    let stats = async || client::ask(&deployment.data("core"), &Verb::Stats).await.unwrap()["nodes"].as_u64();
    until("its lease has ended", async || stats().await == Some(1)).await;
    for _ in 0..5 {
        let logged_in = log_in(&deployment.gate(), "cat@example.org", &password, "cli").await.ok();
        assert_eq!(logged_in["comet"]["node"], "comet-1");
    }
}

/// goim counts one comet's part of a room, or what was true ten seconds ago.
#[tokio::test]
async fn guests_at_two_comets_are_counted_and_pushed_to_as_one_room() {
    let goim = [
        ("compat.goim.on", "true"),
        ("compat.goim.trust", "true"),
        ("compat.goim.websocket", "127.0.0.1:0"),
        ("compat.goim.comet_rpc", "127.0.0.1:0"),
        ("compat.goim.logic_rpc", "127.0.0.1:0"),
        ("comet.online_interval_ms", "50"),
    ];
    let deployment = Deployment::start(&["ann"], 2, &goim).await;
    deployment.until_comets_are_known().await;
    let mut guests = Vec::new();
    for (n, comet) in [0, 1, 1].into_iter().enumerate() {
        let auth = json!({"mid": n + 1, "key": format!("k{n}"), "room_id": "live://1", "accepts": [1000]}).to_string();
        guests.push(Goim::tcp(deployment.comets[comet].endpoints().unwrap().tcp, &auth).await);
    }
    for guest in &mut guests {
        let mut asked = 0;
        while guest.online().await != 3 {
            asked += 1;
            assert!(asked < 100_000, "one room, at two comets");
        }
    }
    let key = std::fs::read_to_string(deployment.data("core").join("push-api.key")).unwrap();
    let push = Api::new(listening(&deployment.data("core")).push.unwrap()).bearer(key.trim());
    for to in [json!({"room": "live://1"}), json!({"all": {}}), json!({"mids": [1, 2, 3]})] {
        push.post("/api/v1/push", json!({"to": to, "operation": 1000, "text": to.to_string()})).await.ok();
        for guest in &mut guests {
            assert_eq!(guest.push().await, (1000, to.to_string()));
        }
    }
}
