//! A test that is killed takes its engines along.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use xtask::services::{Own, Service};

/// The engine's folder, for the process that is to be killed.
const HOLDER: &str = "SKEIN_TEST_HOLDS";
const PATIENCE: Duration = Duration::from_secs(30);

#[test]
fn an_engine_ends_with_a_test_that_is_killed() {
    if let Some(folder) = std::env::var_os(HOLDER) {
        let own = Own::start(Service::Redis, Path::new(&folder)).unwrap();
        println!("\nholds {}", own.pid());
        loop {
            std::thread::park();
        }
    }
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("held");
    let _ = std::fs::remove_dir_all(&folder);
    let mut holder = Command::new(std::env::current_exe().unwrap());
    holder.args(["an_engine_ends_with_a_test_that_is_killed", "--exact", "--nocapture"]).env(HOLDER, &folder);
    let mut holder = holder.stdout(Stdio::piped()).spawn().unwrap();
    let lines = BufReader::new(holder.stdout.take().unwrap()).lines();
    let told = lines.map_while(Result::ok).find_map(|line| line.strip_prefix("holds ").map(str::to_owned));
    let engine = told.expect("an engine is held");
    assert!(runs(&engine));

    // SIGKILL.
    holder.kill().unwrap();
    holder.wait().unwrap();
    let killed = Instant::now();
    while runs(&engine) {
        assert!(killed.elapsed() < PATIENCE, "Redis, process {engine}, outlives its test");
        std::thread::yield_now();
    }
    std::fs::remove_dir_all(&folder).unwrap();
}

fn runs(pid: &str) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit(')').next().is_some_and(|rest| !rest.is_empty() && !rest.starts_with(" Z"))
}
