//! Third-party peers: programs we did not write that talk to Skein in tests, so that our client and our server cannot
//! be wrong in the same way.
//!
//! They are Python packages (`websockets` as a client, `aiosmtpd` as a mail sink) in a virtual environment under
//! `target/peers`, and the Node package `ws` beside it. Tests find its interpreter in the environment variable `SKEIN_PYTHON`: `.cargo/config.toml` sets it for
//! whatever cargo starts, so a plain `cargo test` works once `cargo xtask test` or `cargo xtask peers` has been here. A test that needs a peer
//! fails without it; it never passes by leaving it out.

use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result};

use crate::command::{must_succeed, succeeds, workspace_root};
use crate::machine;

/// From the workspace's root. Not below CARGO_TARGET_DIR: `.cargo/config.toml` names this place.
const FOLDER: &str = "target/peers";

/// The whole closure, so that the same versions are used everywhere and for years.
const REQUIREMENTS: &str = "\
websockets==15.0.1
aiosmtpd==1.4.6
atpublic==5.1
attrs==25.3.0
";

/// For the push guide's client; it has no dependencies of its own.
const NODE_PACKAGE: (&str, &str) = ("ws", "8.18.3");

/// Makes `target/peers` hold exactly [`REQUIREMENTS`] and [`NODE_PACKAGE`]; costs a moment when it does already.
pub fn set_up() -> Result<()> {
    let folder = workspace_root().join(FOLDER);
    // First: a new environment empties the folder.
    set_up_python(&folder)?;
    set_up_node(&folder)
}

fn set_up_node(folder: &Path) -> Result<()> {
    let (name, version) = NODE_PACKAGE;
    let installed = std::fs::read_to_string(folder.join("node_modules").join(name).join("package.json"));
    if installed.is_ok_and(|package| package.contains(&format!("\"version\": \"{version}\""))) {
        return Ok(());
    }
    machine::require_node()?;
    let mut install = Command::new("npm");
    install.args(["install", "--no-save", "--no-package-lock", "--no-audit", "--no-fund", "--silent", "--prefix"]).arg(folder);
    install.arg(format!("{name}@{version}"));
    must_succeed(&mut install, "check the network and npm's registry, then run this again")?;
    eprintln!("installed {name} {version} in {}", folder.display());
    Ok(())
}

fn set_up_python(folder: &Path) -> Result<()> {
    if is_current(folder) {
        eprintln!("{} is up to date", folder.display());
        return Ok(());
    }

    require_venv()?;
    let next_step = "read what Python says above, then run this again";
    let mut create = Command::new("python3");
    create.args(["-m", "venv", "--clear"]).arg(folder);
    must_succeed(&mut create, next_step)?;

    // The list is written under its final name only when all is installed: it is what `is_current` trusts.
    let wanted = folder.join("wanted.txt");
    std::fs::write(&wanted, REQUIREMENTS).context("write the list of wanted packages")?;
    let mut install = Command::new(folder.join("bin/python"));
    install.args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--requirement"]).arg(&wanted);
    must_succeed(&mut install, "check the network and pip's index, then run this again")?;
    std::fs::rename(&wanted, folder.join("installed.txt")).context("note the installed packages")?;
    eprintln!("installed {} in {}", REQUIREMENTS.trim_end().replace('\n', " "), folder.display());
    Ok(())
}

fn is_current(folder: &Path) -> bool {
    let installed = std::fs::read_to_string(folder.join("installed.txt"));
    installed.is_ok_and(|list| list == REQUIREMENTS)
        // The interpreter below may have been upgraded or removed since.
        && succeeds(Command::new(folder.join("bin/python")).args(["-c", "import websockets, aiosmtpd.controller"]))
}

fn require_venv() -> Result<()> {
    if has_venv() {
        return Ok(());
    }
    let missing = "python3 with its venv module is missing (the tests' third-party peers are Python programs)";
    machine::install(missing, &["python3", "python3-venv"])
}

/// Debian ships `venv` without `ensurepip` until python3-venv is installed, and then fails half-way.
fn has_venv() -> bool {
    succeeds(Command::new("python3").args(["-c", "import venv, ensurepip"]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cargo_tells_tests_where_the_peers_are() {
        let config = std::fs::read_to_string(workspace_root().join(".cargo/config.toml")).unwrap();
        let expected = format!("SKEIN_PYTHON = {{ value = \"{FOLDER}/bin/python\", relative = true }}");
        assert!(config.contains(&expected), "{config}");
    }
}
