//! The checker's own program, as a process.

use std::collections::BTreeSet;
use std::process::Stdio;
use std::time::{Duration, Instant};
use tokio::process::Command;

const PATIENCE: Duration = Duration::from_secs(30);
const LOOK_EVERY: Duration = Duration::from_millis(20);

async fn until<T>(what: &str, look: impl Fn() -> Option<T>) -> T {
    let started = Instant::now();
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(started.elapsed() < PATIENCE, "{what}: not within {PATIENCE:?}");
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

/// Processes that this one started; each of its threads has its own list.
fn children_of(pid: u32) -> BTreeSet<u32> {
    let threads = std::fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten();
    let lists: Vec<String> = threads.filter_map(|thread| std::fs::read_to_string(thread.path().join("children")).ok()).collect();
    lists.iter().flat_map(|list| list.split_whitespace()).filter_map(|pid| pid.parse().ok()).collect()
}

/// Whether it still runs: not gone, nor dead and only not buried yet.
fn runs(pid: u32) -> bool {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    status.lines().any(|line| line.starts_with("State:") && !line.contains(['Z', 'X']))
}

#[tokio::test]
async fn a_stopped_checker_takes_its_servers_along() {
    for signal in ["-TERM", "-INT"] {
        let mut command = Command::new(env!("CARGO_BIN_EXE_skein-check"));
        command.args(["--seeds", "4", "--parallel", "2"]).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let mut checker = command.kill_on_drop(true).spawn().expect("start the checker");
        let pid = checker.id().expect("it runs");
        let servers = until("servers run", || Some(children_of(pid)).filter(|servers| servers.len() >= 2)).await;
        let sent = Command::new("kill").arg(signal).arg(pid.to_string()).status().await.expect("run kill");
        assert!(sent.success());
        let status = tokio::time::timeout(PATIENCE, checker.wait()).await.expect("it ends").expect("wait for the checker");
        assert_eq!(status.code(), Some(1), "{signal}");
        until("the servers are gone", || servers.iter().all(|pid| !runs(*pid)).then_some(())).await;
    }
}
