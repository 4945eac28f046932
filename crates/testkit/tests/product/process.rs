//! The process itself: how fast it starts and how small it is, its signals, its folder, what the system allows it.

use crate::http::Api;
use crate::operate::said;
use crate::town::{Town, program, until};
use skein_protocol::close::CloseCode;
use skein_server::folder::LISTENING;
use skein_server::node::Listening;
use skein_testkit::server::{Options, ServerProcess};
use std::path::Path;
use std::time::{Duration, Instant};
use tokio::process::Command;

/// A machine that tests is busy: a start that was held up says nothing, the best of a few says what a start costs.
const ATTEMPTS: usize = 8;
/// Of an optimised build, which `cargo xtask soak` names; the debug build of a test may have half as much again.
const RESIDENT_KIB_MAX: u64 = 40 * 1024;

async fn start(data: &Path) -> (ServerProcess, Duration) {
    let begun = Instant::now();
    let server = ServerProcess::start(Options::on(data)).await.unwrap();
    (server, begun.elapsed())
}

pub fn resident_kib(pid: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches("kB").trim().parse().unwrap()
}

#[tokio::test]
async fn it_is_up_at_once_and_small() {
    let folder = tempfile::tempdir().unwrap();
    let (mut fresh, mut existing, mut resident) = (Duration::MAX, Duration::MAX, u64::MAX);
    for attempt in 0..ATTEMPTS {
        let data = folder.path().join(format!("data-{attempt}"));
        let (mut server, took) = start(&data).await;
        fresh = fresh.min(took);
        resident = resident.min(resident_kib(server.pid()));
        assert!(server.terminate().await.unwrap().success());
        let (mut server, took) = start(&data).await;
        existing = existing.min(took);
        resident = resident.min(resident_kib(server.pid()));
        assert!(server.terminate().await.unwrap().success());
        if fresh < Duration::from_secs(1) && existing < Duration::from_millis(200) {
            break;
        }
    }
    println!("fresh folder {fresh:.0?}, existing folder {existing:.0?}, {resident} KiB");
    assert!(fresh < Duration::from_secs(1), "a fresh folder: {fresh:?}");
    assert!(existing < Duration::from_millis(200), "an existing folder: {existing:?}");
    let is_optimised = std::env::var_os("SKEIN_BIN").is_some();
    let allowed = if is_optimised { RESIDENT_KIB_MAX } else { RESIDENT_KIB_MAX * 3 / 2 };
    assert!(resident < allowed, "{resident} KiB");
}

#[tokio::test]
async fn a_second_signal_ends_a_drain_at_once() {
    // This client never closes its side, and the drain would wait for it.
    let mut town = Town::of(&["ann"]).set("comet.linger_ms", 60_000).set("node.drain_timeout_ms", 60_000).start().await;
    let mut ann = town.line("ann").await;
    town.server.signal("-TERM").await.unwrap();
    assert_eq!(ann.closed().await, Some(CloseCode::GoingAway));
    let admin = Api::new(town.server.admin().unwrap());
    until("it drains", async || admin.get("/ready").await.status == 503).await;

    let begun = Instant::now();
    let status = town.server.terminate().await.unwrap();
    assert_eq!(status.code(), Some(1), "a forced end is no success");
    assert!(begun.elapsed() < Duration::from_secs(10), "{:?}", begun.elapsed());
    assert!(town.log().contains("stopped by force"), "{}", town.log());
    town.start_again().await;
    assert_eq!(town.api_of("ann").get("/api/v1/profile").await.status, 200);
}

/// Also one without a store, whose addresses and secret would be overwritten.
#[tokio::test]
async fn two_comets_cannot_share_a_folder() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let secret = folder.path().join("internal.secret");
    std::fs::write(&secret, "0123456789012345678901234567890123456789012").unwrap();
    let comet = || {
        let mut options = Options::on(&data).set("peers.logic", "http://127.0.0.1:1").set("peers.secret_file", secret.display());
        options.arguments = ["--role", "comet", "--node", "comet-1"].map(str::to_owned).to_vec();
        options.set("listen.comet_rpc", "127.0.0.1:0")
    };
    let mut first = ServerProcess::start(comet()).await.unwrap();
    let mut second = Command::new(program());
    second.arg("serve").arg("--data").arg(&data).args(comet().arguments).kill_on_drop(true);
    let settings = comet().settings.into_iter().map(|(key, value)| format!("{key}={value}"));
    let ports = ["public", "tcp", "admin"].map(|name| format!("listen.{name}=127.0.0.1:0"));
    second.args(settings.chain(ports).flat_map(|setting| ["--set".to_owned(), setting]));
    let output = tokio::time::timeout(Duration::from_secs(20), second.output()).await.expect("it is refused").unwrap();
    assert!(!output.status.success());
    assert!(said(&output).contains(&format!("in use by process {}", first.pid())), "{}", said(&output));
    let listening = Listening::read(&data).unwrap();
    assert_eq!(listening.pid, first.pid(), "the first is found as before");
    first.kill().await.unwrap();
    ServerProcess::start(comet()).await.unwrap();
}

/// A program under limits of its own, as a shell sets them.
fn limited(soft: u32, hard: u32) -> Command {
    let mut command = Command::new("sh");
    command.arg("-c").arg(format!("ulimit -Sn {soft} && ulimit -Hn {hard} && exec \"$0\" \"$@\"")).arg(program()).kill_on_drop(true);
    command
}

#[tokio::test]
async fn the_limit_of_open_files_is_raised_and_told() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let ports = ["public", "tcp", "push", "admin"].map(|name| format!("listen.{name}=127.0.0.1:0"));
    let settings = || ports.iter().flat_map(|setting| ["--set", setting.as_str()]);

    let doctor = limited(128, 512).arg("doctor").arg("--data").arg(&data).args(settings()).output().await.unwrap();
    let found = String::from_utf8(doctor.stdout).unwrap();
    assert!(found.contains("at most 128, raised to 512 at the start") && found.contains("ulimit -n"), "{found}");

    let log = folder.path().join("log");
    let mut serve = limited(128, 512);
    serve.arg("serve").arg("--data").arg(&data).args(settings()).stderr(std::fs::File::create(&log).unwrap());
    let server = serve.stdout(std::process::Stdio::null()).spawn().unwrap();
    until("it listens", async || data.join(LISTENING).exists()).await;
    let limits = std::fs::read_to_string(format!("/proc/{}/limits", server.id().unwrap())).unwrap();
    let open_files = limits.lines().find(|line| line.starts_with("Max open files")).unwrap();
    assert_eq!(open_files.split_whitespace().skip(3).take(2).collect::<Vec<_>>(), ["512", "512"], "{open_files}");
    let said = std::fs::read_to_string(&log).unwrap();
    assert!(said.lines().any(|line| line.contains("open_files") && line.contains("512")), "{said}");
}
