//! `skein admin`, typed at the data folder of a running server, and what its people see of it.

use crate::accounts::log_in;
use crate::town::{Town, program, until};
use skein_protocol::close::CloseCode;
use skein_protocol::frame::Frame;
use skein_protocol::{Codec, Request, v1};
use skein_server::admin::Verb;
use skein_testkit::wire::Transport;
use std::process::Output;
use tokio::process::Command;

/// What is printed is what the program says, not what its parts would.
async fn admin(town: &Town, arguments: &[&str]) -> Output {
    let mut command = Command::new(program());
    command.arg("admin").arg("--data").arg(town.data()).args(arguments).kill_on_drop(true);
    tokio::time::timeout(std::time::Duration::from_secs(20), command.output()).await.expect("it answers").unwrap()
}

async fn did(town: &Town, arguments: &[&str]) -> String {
    let output = admin(town, arguments).await;
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// Of a table of names and values.
fn value<'a>(printed: &'a str, name: &str) -> &'a str {
    let line = printed.lines().find(|line| line.split_whitespace().next() == Some(name));
    line.and_then(|line| line.split_whitespace().nth(1)).unwrap_or_else(|| panic!("no {name} in {printed}"))
}

#[tokio::test]
async fn a_disabled_user_is_out_at_once_and_in_again_when_enabled() {
    let town = Town::of(&["ann", "ann/mobile", "bob"]).start().await;
    let password = town.password("ann").await;
    let enters = async || log_in(&town.api(), "ann@example.org", &password, "desktop").await;
    let token = |answer: crate::http::Answer| answer.ok()["token"].as_str().unwrap().to_owned();
    let at = town.server.endpoints().unwrap();
    let mut ann = crate::line::Line::open(at, Transport::WebSocket, &token(enters().await)).await;
    let mut bob = town.line("bob").await;

    assert_eq!(value(&did(&town, &["disable", "ann@example.org"]).await, "disabled"), "true");
    assert_eq!(ann.closed().await, Some(CloseCode::Disabled), "4107 over WebSocket");
    let refused = enters().await;
    assert_eq!(refused.code(), "disabled", "{refused:?}");
    bob.heartbeat().await;
    assert!(did(&town, &["users"]).await.lines().any(|line| line.contains("ann@example.org") && line.contains("true")));

    let uid = town.uid("ann").to_string();
    assert_eq!(value(&did(&town, &["enable", &uid]).await, "disabled"), "false");
    let mut ann = crate::line::Line::open(at, Transport::Tcp, &token(enters().await)).await;
    // Over TCP the reason comes as an error ahead of the end.
    did(&town, &["disable", &uid]).await;
    assert_eq!(ann.closed().await, Some(CloseCode::Disabled));

    let audits = town.admin(Verb::Audit { count: 10 }).await;
    let acts: Vec<&str> = audits.as_array().unwrap().iter().map(|audit| audit["act"].as_str().unwrap()).collect();
    assert_eq!(acts[..3], ["disable", "enable", "disable"], "newest first: {audits}");
}

#[tokio::test]
async fn a_reset_ends_every_session_and_prints_the_password_that_works() {
    let town = Town::of(&["ann", "ann/mobile"]).start().await;
    let (mut desktop, mut mobile) = (town.line("ann").await, town.line_over(Transport::WebSocketText, "ann/mobile").await);
    let printed = did(&town, &["reset", "ann@example.org"]).await;
    for line in [&mut desktop, &mut mobile] {
        assert_eq!(line.closed().await, Some(CloseCode::LoggedOut));
    }
    assert_eq!(town.api_of("ann").get("/api/v1/profile").await.status, 401, "the old token is worth nothing");
    let again = log_in(&town.api(), "ann@example.org", value(&printed, "password"), "desktop").await;
    assert_eq!(again.status, 200, "{again:?}");
    assert!(!town.log().contains(value(&printed, "password")), "a secret is not logged");
}

#[tokio::test]
async fn what_cannot_be_done_says_so_and_how_to_start_a_server() {
    let mut town = Town::of(&["ann"]).start().await;
    let nobody = admin(&town, &["disable", "nobody@example.org"]).await;
    assert!(!nobody.status.success() && String::from_utf8_lossy(&nobody.stderr).contains("not_found"), "{nobody:?}");
    assert!(town.server.terminate().await.unwrap().success());
    let stopped = admin(&town, &["stats"]).await;
    let said = String::from_utf8_lossy(&stopped.stderr).into_owned();
    assert!(!stopped.status.success());
    // The program as it can be typed here, wherever it lies.
    let typed = said.split('`').nth(1).unwrap_or_else(|| panic!("{said}")).split(" serve").next().unwrap();
    let help = Command::new("sh").arg("-c").arg(format!("{typed} serve --help")).output().await.unwrap();
    assert!(help.status.success(), "{said}");
}

#[tokio::test]
async fn in_chinese_every_heading_help_and_refusal_is_chinese() {
    let town = Town::of(&["ann"]).start().await;
    let _connected = town.line("ann").await;
    let asked = async |arguments: &[&str]| {
        let mut command = Command::new(program());
        command.arg("admin").arg("--data").arg(town.data()).args(arguments).env("LC_ALL", "zh_CN.UTF-8").kill_on_drop(true);
        command.output().await.unwrap()
    };
    let ann = town.uid("ann").to_string();
    let acts: [&[&str]; 9] = [
        &["key", "create", "app"],
        &["key", "list"],
        &["tag", &ann, "vip"],
        &["notice", "hello"],
        &["users"],
        &["stats"],
        &["connections", &ann],
        &["audit"],
        &["disable", &ann],
    ];
    for act in acts {
        let output = asked(act).await;
        let printed = String::from_utf8(output.stdout).unwrap();
        assert!(output.status.success() && !printed.is_empty(), "{act:?}: {printed}");
        // A table has its names in the first line, everything else at the beginning of each.
        let is_table = !matches!(act[0], "stats" | "tag" | "notice" | "disable") && act.get(1) != Some(&"create");
        let names: Vec<&str> = match is_table {
            true => printed.lines().next().unwrap().split("  ").map(str::trim).filter(|name| !name.is_empty()).collect(),
            false => printed.lines().map(|line| line.split_whitespace().next().unwrap()).collect(),
        };
        assert!(names.iter().all(|name| !name.is_ascii()), "{act:?}: {names:?}");
    }
    let refused = asked(&["disable", "nobody@example.org"]).await;
    assert!(String::from_utf8_lossy(&refused.stderr).contains("没有找到"), "{refused:?}");
    let help = asked(&["disable", "--help"]).await;
    assert!(String::from_utf8_lossy(&help.stdout).contains("其所有会话立即结束"), "{help:?}");
}

#[tokio::test]
async fn what_each_connection_of_a_user_is_doing_can_be_read() {
    let town = Town::of(&["ann", "ann/mobile", "bob"]).start().await;
    let states = async || town.admin(Verb::Connections { user: "ann@example.org".into() }).await;
    assert_eq!(states().await, serde_json::json!([]), "nobody is there");

    let mut desktop = town.line("ann").await;
    let mut mobile = town.line_over(Transport::WebSocketText, "ann/mobile").await;
    let room = v1::CreateRoom { key: "r".into(), room_name: "hall".into(), ..Default::default() };
    desktop.ask(Request::CreateRoom(room)).await;
    mobile.ask(Request::ListRooms(v1::ListRooms { watch: true, ..Default::default() })).await;
    // The first ten bytes of a frame of sixteen.
    let beat = Frame::request(&Request::Heartbeat(v1::Heartbeat {}), 1_000, Codec::Protobuf).unwrap().encode();
    desktop.mouth.write(&beat[..10]).await.unwrap();

    let of = |states: &serde_json::Value, transport: &str| {
        let found = states.as_array().unwrap().iter().find(|state| state["transport"] == transport);
        found.unwrap_or_else(|| panic!("no {transport} in {states}")).clone()
    };
    until("half a frame has arrived", async || of(&states().await, "tcp")["unread_bytes"] == 10).await;
    let (tcp, websocket) = (of(&states().await, "tcp"), of(&states().await, "websocket"));
    assert_eq!((&tcp["form"], &tcp["class"], tcp["rooms"].as_array().unwrap().len()), (&"protobuf".into(), &"desktop".into(), 1), "{tcp}");
    assert_eq!((&websocket["form"], &websocket["watches_rooms"]), (&"text".into(), &true.into()), "{websocket}");
    for state in [&tcp, &websocket] {
        assert_eq!((&state["in_flight"], &state["queue_bytes"], &state["resyncing"]), (&0.into(), &0.into(), &false.into()), "{state}");
        assert!(state["heard_ms_ago"].as_u64().unwrap() < 20_000, "{state}");
    }
    let printed = did(&town, &["connections", &town.uid("ann").to_string()]).await;
    assert!(printed.lines().count() == 3 && printed.contains("websocket"), "{printed}");
    drop((desktop, mobile));
    until("both are gone", async || states().await == serde_json::json!([])).await;
}
