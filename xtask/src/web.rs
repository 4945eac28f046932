//! The web client: built with npm, checked, and tested in a real browser.

use std::path::Path;
use std::process::Command;
use std::time::SystemTime;

use anyhow::Result;

use crate::command::{build_as_tests_do, must_succeed, workspace_root};
use crate::machine;
use crate::steps::Steps;

/// Builds the client into `web/dist`, from where the server takes it. Without a Node.js for it the server is built without.
pub fn build() -> Result<()> {
    if let Err(error) = machine::look_at_node() {
        eprintln!("{error:#}\nso this server gets no web client; with it, run this again");
        return Ok(());
    }
    install()?;
    must_succeed(&mut npm(["run", "build"]), "read the first error above; `cd web && npm run build` repeats this step")
}

pub fn test(steps: &mut Steps) -> Result<()> {
    steps.step("web: packages", install)?;
    steps.step("web: lint", || must_succeed(&mut npm(["run", "lint"]), "`cd web && npm run format` mends most of it"))?;
    steps.step("web: types", || must_succeed(&mut npm(["run", "check"]), "fix the types named above"))?;
    steps.step("web: build", || must_succeed(&mut npm(["run", "build"]), "`cd web && npm run build` repeats this step"))?;
    steps.step("web: unit tests", || must_succeed(&mut npm(["test"]), "`cd web && npx vitest run -t <name>` repeats one test"))?;
    steps.step("web: browser tests", || {
        must_succeed(&mut build_as_tests_do(&["skein"]), "fix the first error above")?;
        chromium()?;
        let mut tests = npm(["run", "e2e"]);
        tests.env("SKEIN_WEB_BUILT", "1");
        must_succeed(&mut tests, "`cd web && npm run e2e -- -t <name>` repeats one test")
    })
}

/// The tests whose short forms are among the browser tests, in full, against the program at `binary`.
pub fn long(binary: &Path) -> Result<()> {
    install()?;
    chromium()?;
    let mut tests = npm(["run", "e2e", "--", "e2e/ui/long"]);
    tests.env("SKEIN_SOAK", "1").env("SKEIN_BIN", binary);
    must_succeed(&mut tests, "`cd web && SKEIN_SOAK=1 npm run e2e -- e2e/ui/long` repeats it")
}

fn chromium() -> Result<()> {
    let mut chromium = Command::new("node");
    chromium.arg("scripts/chromium.mjs").current_dir(workspace_root().join("web"));
    must_succeed(&mut chromium, "install Chromium, or name one in CHROMIUM")
}

/// The packages of the lock file, unless they are there already.
fn install() -> Result<()> {
    let web = workspace_root().join("web");
    let changed = |name: &str| std::fs::metadata(web.join(name)).and_then(|file| file.modified()).unwrap_or(SystemTime::UNIX_EPOCH);
    if changed("node_modules/.package-lock.json") >= changed("package-lock.json") {
        return Ok(());
    }
    machine::require_node()?;
    // Not `npm ci`: it refuses when a registry lacks an optional package of another platform, which nobody here needs.
    must_succeed(&mut npm(["install", "--no-save"]), "check the network and npm's registry; behind a proxy, `npm config set proxy`")
}

fn npm<const N: usize>(arguments: [&str; N]) -> Command {
    let mut command = Command::new("npm");
    command.args(arguments).current_dir(workspace_root().join("web"));
    command
}
