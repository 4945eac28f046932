//! From an empty folder to a message between two terminals, by what a newcomer types. The time that it takes them to read
//! and to type is theirs; the rest is bounded here.

use crate::town::program;
use std::path::Path;
use std::time::Duration;
use tokio::process::Command;

/// Of the minute that is promised, what may be ours.
const OURS_S: f64 = 15.0;

#[tokio::test]
async fn the_first_message_between_two_terminals_takes_seconds() {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/product/first_message.py");
    let folder = tempfile::tempdir().unwrap();
    let mut newcomer = Command::new("python3");
    newcomer.arg(script).arg(program()).arg(folder.path()).kill_on_drop(true);
    for listener in ["public", "tcp", "push", "admin"] {
        newcomer.arg("--set").arg(format!("listen.{listener}=127.0.0.1:0"));
    }
    let done = tokio::time::timeout(Duration::from_secs(90), newcomer.output()).await.expect("it ends").unwrap();
    let (said, complained) = (String::from_utf8_lossy(&done.stdout), String::from_utf8_lossy(&done.stderr));
    assert!(done.status.success(), "{said} {complained}");
    eprintln!("{said}");
    let took: f64 = said.lines().last().unwrap().parse().unwrap();
    assert!(took < OURS_S, "{said}");
}
