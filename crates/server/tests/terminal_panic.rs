//! A program that panics while it has the terminal. This one is both: the program inside, and whoever looks from outside.

use std::path::Path;
use std::process::Command;

use skein_server::terminal::screen::Screen;

const INSIDE: &str = "SKEIN_TEST_IN_TERMINAL";

#[test]
fn a_panic_gives_the_terminal_back_before_it_is_told() {
    if std::env::var_os(INSIDE).is_some() {
        let _screen = Screen::enter().expect("a terminal");
        panic!("on purpose");
    }
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/terminal_pty.py");
    let this = std::env::current_exe().expect("this program");
    let mut python = Command::new("python3");
    python.arg(script).arg("panic").arg(this).args(["--exact", "a_panic_gives_the_terminal_back_before_it_is_told", "--nocapture"]);
    let output = python.env(INSIDE, "1").output().expect("python3 runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}
