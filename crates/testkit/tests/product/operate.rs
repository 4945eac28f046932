//! Configuration, the data folder, limits, metrics: what whoever runs a server sees.

use crate::http::Api;
use crate::town::{Town, program};
use serde_json::json;
use skein_server::admin::{Verb, client};
use skein_testkit::server::{Options, ServerProcess};
use std::path::{Path, PathBuf};
use std::process::Output;
use tokio::process::Command;

/// Runs to its end, which is soon.
async fn serve(data: &Path, arguments: &[&str]) -> Output {
    let listeners = ["public", "tcp", "push", "admin"].map(|name| format!("listen.{name}=127.0.0.1:0"));
    let mut command = Command::new(program());
    command.arg("serve").arg("--data").arg(data).args(listeners.iter().flat_map(|listener| ["--set", listener]));
    command.args(arguments).kill_on_drop(true);
    tokio::time::timeout(std::time::Duration::from_secs(20), command.output()).await.expect("it does not serve").unwrap()
}

pub fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[tokio::test]
async fn a_second_server_on_the_folder_names_the_holder() {
    let town = Town::of(&["ann", "bob"]).start().await;
    let second = serve(town.data(), &[]).await;
    assert!(!second.status.success());
    assert!(said(&second).contains(&town.server.pid().to_string()), "{}", said(&second));
    // The first does not notice, and tools still find it.
    let mut ann = town.line("ann").await;
    let chat = ann.direct_with(town.uid("bob")).await;
    ann.send(chat, "still here").await;
    assert_eq!(town.listening().pid, town.server.pid());
}

#[tokio::test]
async fn a_wrong_configuration_is_named_before_anything_is_touched() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    for (setting, names) in [
        ("limits.freinds=7", "freinds"),
        ("limits.friends=many", "friends"),
        ("listen.public=here", "public"),
        ("comet.heartbeat_interval_ms=90000", "comet.heartbeat_interval_ms must be below comet.heartbeat_timeout_ms"),
        ("node.roles=[\"comet\"]", "peers.logic"),
        ("tls.certificate=/nowhere.pem", "tls"),
    ] {
        let output = serve(&data, &["--set", setting]).await;
        assert_eq!(output.status.code(), Some(78), "{setting}: {}", said(&output));
        assert!(said(&output).contains(names), "{setting}: {}", said(&output));
        assert!(!data.exists(), "{setting}: the folder was made");
    }
    let missing = serve(&data, &["--config", "/nowhere/skein.toml"]).await;
    assert!(missing.status.code() == Some(78) && said(&missing).contains("/nowhere/skein.toml"), "{}", said(&missing));
}

#[tokio::test]
async fn what_the_file_says_is_what_happens() {
    let mut town = Town::of(&["ann"]).start().await;
    let friends = async |town: &Town| town.line("ann").await.hello.limits.unwrap().friends;
    assert_eq!(friends(&town).await, 5_000);
    assert!(town.server.terminate().await.unwrap().success());
    std::fs::write(town.data().join("skein.toml"), "[limits]\nfriends = 77\n").unwrap();
    town.start_again().await;
    assert_eq!(friends(&town).await, 77);
}

#[tokio::test]
async fn the_folder_is_its_owners() {
    use std::os::unix::fs::PermissionsExt;
    let town = Town::of(&["ann"]).start().await;
    let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(town.data()), 0o700);
    for entry in std::fs::read_dir(town.data()).unwrap() {
        let path = entry.unwrap().path();
        // Addresses are no secret.
        if path.file_name().is_some_and(|name| name != "listening.json") {
            assert_eq!(mode(&path) & 0o077, 0, "{}", path.display());
        }
    }
}

#[tokio::test]
async fn a_burst_over_the_limit_is_told_when_to_come_back() {
    let town = Town::of(&["ann"]).set("gate.rates.login", "{burst=3,per_minute=6}").start().await;
    let body = json!({"email": "ann@example.org", "password": "wrong password", "device_class": "cli"});
    let mut answers = Vec::new();
    for _ in 0..6 {
        answers.push(town.api().post("/api/v1/login", body.clone()).await);
    }
    let codes: Vec<String> = answers.iter().map(|answer| answer.code()).collect();
    assert_eq!(codes[..3], ["bad_credentials", "bad_credentials", "bad_credentials"]);
    assert_eq!(codes[3..], ["rate_limited", "rate_limited", "rate_limited"]);
    let wait: u64 = answers[5].header("retry-after").unwrap().parse().unwrap();
    assert!((1..=60).contains(&wait), "{wait}");
    assert!(answers[5].json()["retry_after_ms"].as_str().is_some(), "{}", answers[5].text);
    assert_eq!(town.api_of("ann").get("/api/v1/profile").await.status, 200, "the rest goes on");
    assert!(town.metric("skein_gate_rate_limited_total").await >= 3.0);
}

#[tokio::test]
async fn metrics_move_under_load() {
    let town = Town::of(&["ann", "bob"]).start().await;
    let mut ann = town.line("ann").await;
    let mut bob = town.line_over(skein_testkit::wire::Transport::WebSocket, "bob").await;
    let chat = ann.direct_with(town.uid("bob")).await;
    for n in 0..10 {
        ann.send(chat, &format!("{n}")).await;
    }
    bob.messages(chat, 10).await;
    assert_eq!(town.api_of("bob").get("/api/v1/friends").await.status, 200);
    assert_eq!(town.api().get("/api/v1/friends").await.status, 401);

    assert_eq!(town.metric("skein_commands_total{command=\"send\"").await, 10.0, "rate of requests");
    assert_eq!(town.metric("skein_command_seconds_count{command=\"send\"").await, 10.0, "their time, for percentiles");
    assert!(town.metric("skein_command_seconds_bucket{command=\"send\"").await > 0.0);
    let route = "skein_http_requests_total{method=\"GET\",route=\"/api/v1/friends\",status=";
    assert_eq!(town.metric(&format!("{route}\"200\"")).await, 1.0, "share of errors");
    assert_eq!(town.metric(&format!("{route}\"401\"")).await, 1.0);
    assert_eq!(town.metric("skein_comet_connections{transport=\"websocket\"").await, 1.0);
    assert_eq!(town.metric("skein_comet_connections{transport=\"tcp\"").await, 1.0);
    assert!(town.metric("skein_store_commit_seconds_count").await > 0.0);
    assert!(town.metric("skein_relay_position").await > 0.0);
}

#[tokio::test]
async fn health_and_readiness_are_told_to_the_operator_alone() {
    let town = Town::of(&[]).start().await;
    let admin = Api::new(town.server.admin().unwrap());
    assert_eq!((admin.get("/health").await.status, admin.get("/ready").await.status), (200, 200));
    assert_eq!(town.api().get("/health").await.status, 200);
    for path in ["/metrics", "/ready"] {
        assert_eq!(town.api().get(path).await.status, 404, "{path} is not public");
    }
}

#[tokio::test]
async fn a_demo_is_two_friends_who_can_log_in() {
    let town = Town::of(&[]).start().await;
    let output = Command::new(program()).arg("demo").arg("--data").arg(town.data()).output().await.unwrap();
    let printed = String::from_utf8(output.stdout).unwrap();
    let words: Vec<&str> = printed.split_whitespace().collect();
    let chats: Vec<usize> = words.iter().enumerate().filter(|(_, word)| **word == "chat").map(|(at, _)| at).collect();
    assert!(chats.len() >= 2, "{printed}");
    for at in &chats[..2] {
        let run = Command::new(words[at - 1]).args(["chat", "--help"]).output().await;
        assert!(run.is_ok_and(|run| run.status.success()), "what is printed can be run: {printed}");
    }
    let mails: Vec<usize> = words.iter().enumerate().filter(|(_, word)| word.ends_with("@demo.invalid")).map(|(at, _)| at).collect();
    for at in &mails[..2] {
        assert_eq!(words[at + 1], "password", "{printed}");
        let logged_in = crate::accounts::log_in(&town.api(), words[*at], words[at + 2], "cli").await.ok();
        let friends = town.api().bearer(logged_in["token"].as_str().unwrap()).get("/api/v1/friends").await.ok();
        assert_eq!(friends["friends"].as_array().unwrap().len(), 1);
    }
    let audits = client::ask(town.data(), &Verb::Audit { count: 1 }).await.unwrap();
    assert_eq!(audits[0]["act"], "demo", "who made them is on record");
}

async fn doctor(data: &Path, settings: &[String]) -> (Option<i32>, String) {
    let mut command = Command::new(program());
    command.arg("doctor").arg("--data").arg(data).args(settings.iter().flat_map(|setting| ["--set", setting]));
    let output = command.env("LC_ALL", "C").output().await.unwrap();
    (output.status.code(), String::from_utf8(output.stdout).unwrap())
}

/// In particular: on ports that are free.
fn listening_nowhere() -> Vec<String> {
    ["public", "tcp", "push", "admin", "comet_rpc", "logic_rpc"].map(|name| format!("listen.{name}=127.0.0.1:0")).to_vec()
}

#[tokio::test]
async fn the_doctor_looks_at_every_port_and_knows_a_running_server() {
    let folder = tempfile::tempdir().unwrap();
    let all_free = listening_nowhere();
    let (code, said) = doctor(folder.path(), &all_free).await;
    let serve = format!("serve --data {}`.", folder.path().display());
    assert!(code == Some(0) && said.contains("Ready: ") && said.ends_with(&format!("{serve}\n")), "{said}");

    let mut chinese = Command::new(program());
    chinese
        .arg("doctor")
        .arg("--data")
        .arg(folder.path())
        .args(all_free.iter().flat_map(|free| ["--set", free]))
        .env("LC_ALL", "zh_CN.UTF-8");
    let said = String::from_utf8(chinese.output().await.unwrap().stdout).unwrap();
    assert!(said.contains("一切就绪") && said.contains("✓ 数据目录       "), "{said}");

    let holder = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let taken = |name: &str| format!("listen.{name}={}", holder.local_addr().unwrap());
    let with = |more: &[String]| [all_free.as_slice(), more].concat();
    let (code, said) = doctor(folder.path(), &with(&[taken("push")])).await;
    assert!(code == Some(1) && said.contains("✗ push port"), "{said}");
    let only_logic = with(&["node.roles=[\"logic\",\"status\",\"verify\",\"job\"]".into(), taken("logic_rpc")]);
    let (code, said) = doctor(folder.path(), &only_logic).await;
    assert!(code == Some(1) && said.contains("✗ logic rpc port"), "{said}");

    let town = Town::of(&[]).start().await;
    let (code, said) = doctor(town.data(), &[]).await;
    assert!(code == Some(0) && said.contains("already runs") && !said.contains("Ready"), "{said}");
}

#[tokio::test]
async fn the_doctor_changes_nothing_on_the_disk() {
    let folder = tempfile::tempdir().unwrap();
    let settings = listening_nowhere();
    let (missing, before) = (folder.path().join("not/yet"), state_of(folder.path()));
    let (code, said) = doctor(&missing, &settings).await;
    assert!(code == Some(0) && said.contains("is made at the first start"), "{said}");
    assert_eq!(state_of(folder.path()), before, "no folder is made");

    let data = folder.path().join("data");
    std::fs::create_dir(&data).unwrap();
    std::fs::write(data.join("skein.toml"), "").unwrap();
    let before = state_of(&data);
    let (code, said) = doctor(&data, &settings).await;
    assert!(code == Some(0) && said.contains("can be written"), "{said}");
    assert_eq!(state_of(&data), before);

    let (code, said) = doctor(&data.join("skein.toml"), &settings).await;
    assert!(code == Some(1) && said.contains("✗"), "a file is no folder: {said}");
}

/// Where nobody listens, as at an engine that is away.
fn nobody_at() -> std::net::SocketAddr {
    std::net::TcpListener::bind("[::1]:0").unwrap().local_addr().unwrap()
}

#[tokio::test]
async fn a_database_that_does_not_let_the_store_in_is_named_by_doctor_and_start() {
    let folder = tempfile::tempdir().unwrap();
    let unread = "storage.mysql.url=mysql://skein:s3cret@127.0.0.1".to_owned();
    let away = format!("storage.mysql.url=mysql://skein:s3cret@{}/skein", nobody_at());
    for (url, exit, names) in [(&unread, 78, "storage.mysql.url does not read"), (&away, 70, "storage.mysql.url ([::1]:")] {
        let settings = ["storage.backend=mysql", url];
        let output = serve(folder.path(), &["--set", settings[0], "--set", settings[1]]).await;
        assert_eq!(output.status.code(), Some(exit), "{}", said(&output));
        assert!(said(&output).contains(names) && !said(&output).contains("s3cret"), "{}", said(&output));
        let (code, said) = doctor(folder.path(), &[listening_nowhere(), settings.map(str::to_owned).to_vec()].concat()).await;
        assert!(code == Some(1) && said.contains("✗ mysql") && said.contains(names) && !said.contains("s3cret"), "{said}");
    }
    let (code, said) = doctor(folder.path(), &["limits.freinds=7".to_owned()]).await;
    assert!(code == Some(1) && said.contains("freinds") && !said.contains("looks at it"), "it is the doctor that says it: {said}");
}

/// When the folder was changed, and what is in it.
fn state_of(folder: &Path) -> (std::time::SystemTime, Vec<PathBuf>) {
    let entries = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    (std::fs::metadata(folder).unwrap().modified().unwrap(), entries.collect())
}

/// `terminate` asks once; the drain sends everybody away and the folder is free again.
#[tokio::test]
async fn a_stopped_server_leaves_nothing_running() {
    let mut town = Town::of(&["ann"]).start().await;
    let mut ann = town.line("ann").await;
    assert!(town.server.terminate().await.unwrap().success());
    assert_eq!(ann.closed().await, Some(skein_protocol::close::CloseCode::GoingAway));
    for name in ["listening.json", "admin.sock"] {
        assert!(!town.data().join(name).exists(), "{name} is left");
    }
    let again = ServerProcess::start(Options::on(town.data())).await.unwrap();
    assert_ne!(again.pid(), 0);
}
