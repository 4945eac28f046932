//! What the machine must have before a build can succeed, and how it gets it.
//!
//! On a Debian-like machine, as root, missing packages are installed after saying so. Anywhere else the error names the
//! command. What is too old is never replaced for the user, only named.
//!
//! **Invariant:** nothing is removed or started: not a package that stands in the way, not a service that was installed.

use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail, ensure};

use crate::command::{cargo, must_succeed, output_of, succeeds, target_folder, workspace_root};

/// What a build from nothing, the engines and their data take, with room to spare; less is enough for what is built already.
const SPACE_MIB: u64 = 15_000;
/// With less the linker and the engines fail in ways that do not name the disk.
const SPACE_MIB_AT_LEAST: u64 = 3_000;
/// As in `web/package.json`.
const NODE: &str = "20.19";
/// For the lock of packages, which another installation may hold.
const LOCK_PATIENCE: &str = "DPkg::Lock::Timeout=300";
/// Of ours: one that is left by a run which was killed is taken away by the next.
const NO_STARTS: &str = "#!/bin/sh\n# From `cargo xtask`, while it installs; may be removed.\nexit 101\n";

/// Fails unless `rustc` is at least the workspace's `rust-version`.
pub fn require_toolchain() -> Result<()> {
    let manifest_file = workspace_root().join("Cargo.toml");
    let manifest = std::fs::read_to_string(&manifest_file).context("read the workspace's Cargo.toml")?;
    let wanted = quoted_value(&manifest, "rust-version").context("find rust-version in the workspace's Cargo.toml")?;

    let rustc = std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let version_line = output_of(Command::new(rustc).arg("--version"))?;
    let found = version_line.split_whitespace().nth(1).unwrap_or_default();
    eprintln!("rustc {found} (needs {wanted} or newer)");
    if version_numbers(found) < version_numbers(wanted) {
        bail!("rustc {found} is too old, {wanted} is needed\n  next: rustup update stable");
    }
    Ok(())
}

/// Fails unless the formatter and the linter of the toolchain are there.
pub fn require_components() -> Result<()> {
    for component in ["fmt", "clippy"] {
        if !succeeds(&mut cargo([component, "--version"])) {
            bail!("`cargo {component}` is missing\n  next: rustup component add rustfmt clippy");
        }
    }
    Ok(())
}

/// Makes sure that C compiles: SQLite, the cryptography library and Kafka's client are built from source, the last of them
/// with `make` and a C++ compiler.
///
/// Linking this very program needed a C compiler's linker, so this fails only on machines where another linker is
/// configured, where `CC` names something else, or where the C headers are missing.
pub fn require_compilers() -> Result<()> {
    if !c_compiles() {
        let missing = "no working C compiler found (tried $CC, or cc where that is unset)";
        install(missing, &["gcc", "libc6-dev"])?;
        if !c_compiles() {
            bail!("{missing}, also after installing gcc\n  next: see what `cc -x c -` says; unset CC if it names another compiler");
        }
    }
    for (program, package) in [("c++", "g++"), ("make", "make")] {
        if !succeeds(Command::new(program).arg("--version")) {
            install(&format!("{program} is missing (Kafka's client is built with it)"), &[package])?;
        }
    }
    Ok(())
}

/// Makes sure of the small programs with which processes are found, signalled and kept apart.
pub fn require_tools() -> Result<()> {
    for (program, package) in [("ps", "procps"), ("kill", "procps"), ("flock", "util-linux")] {
        if !is_there(program) {
            install(&format!("{program} is missing (the tests' engines are found and stopped with it)"), &[package])?;
        }
    }
    Ok(())
}

/// Makes sure of a Node.js and an npm of our time.
pub fn require_node() -> Result<()> {
    if !is_there("node") || !is_there("npm") {
        install("Node.js with npm is missing (the web client is built and tested with it)", &["nodejs", "npm"])?;
    }
    look_at_node()
}

/// Fails unless Node.js and npm are there, and of our time.
pub fn look_at_node() -> Result<()> {
    ensure!(is_there("node") && is_there("npm"), "Node.js with npm is missing\n  next: install Node.js {NODE} or newer");
    let told = output_of(Command::new("node").arg("--version"))?;
    let found = told.trim_start_matches('v');
    ensure!(
        version_numbers(found) >= version_numbers(NODE),
        "Node.js {found} is too old, {NODE} is needed\n  next: `npm install --global n && n lts`, or https://nodejs.org"
    );
    Ok(())
}

/// Fails while the disk of the target folder has hardly any room, says so while it may be too little.
pub fn require_space() -> Result<()> {
    let folder = target_folder();
    std::fs::create_dir_all(&folder).with_context(|| format!("make {}", folder.display()))?;
    let told = output_of(Command::new("df").args(["-Pm"]).arg(&folder))?;
    let free = free_mib(&told).with_context(|| format!("read what df says of {}", folder.display()))?;
    eprintln!("{free} MiB free for {}", folder.display());
    ensure!(
        free >= SPACE_MIB_AT_LEAST,
        "{free} MiB free for {}, a build from nothing takes {SPACE_MIB}\n  next: make room, or set CARGO_TARGET_DIR and SKEIN_SERVICES to folders elsewhere",
        folder.display()
    );
    if free < SPACE_MIB {
        eprintln!("  a build from nothing may need {SPACE_MIB}");
    }
    Ok(())
}

/// The fourth column of the last line, as POSIX has it.
fn free_mib(df: &str) -> Option<u64> {
    df.lines().last()?.split_whitespace().nth(3)?.parse().ok()
}

/// Whether a shell would find it.
pub fn is_there(program: &str) -> bool {
    succeeds(Command::new("sh").args(["-c", "command -v \"$0\"", program]))
}

fn c_compiles() -> bool {
    let configured = std::env::var("CC").unwrap_or_default();
    let mut words = configured.split_whitespace();
    let mut compiler = Command::new(words.next().unwrap_or("cc"));
    compiler.args(words).args(["-x", "c", "-fsyntax-only", "-"]);
    accepts(&mut compiler, b"#include <stdio.h>\nint main(void) { return 0; }\n")
}

/// Whether `command` can be started, reads `input`, and succeeds.
fn accepts(command: &mut Command, input: &[u8]) -> bool {
    let child = command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null()).spawn();
    let Ok(mut child) = child else { return false };
    // A program that exits without reading its input breaks the pipe; its exit code tells the rest.
    let _ = child.stdin.take().map(|mut stdin| stdin.write_all(input));
    child.wait().is_ok_and(|status| status.success())
}

/// Installs Debian packages when that is possible here; otherwise the error says how to.
pub fn install(missing: &str, packages: &[&str]) -> Result<()> {
    let packages_shown = packages.join(" ");
    if !can_install() {
        bail!("{missing}\n  next: sudo apt-get install {packages_shown}   (or what your system calls these packages), then run this again");
    }

    eprintln!("{missing}: installing {packages_shown} with apt-get");
    let next_step = format!("read what apt-get says above; install {packages_shown} by hand, then run this again");
    update_lists();
    // Without removals: what stands in the way is the user's.
    let mut install = apt_get();
    install.args(["install", "--yes", "--quiet", "--no-install-recommends", "--no-remove"]).args(packages);
    must_succeed(&mut install, &next_step)
}

/// One source that does not answer is no reason to give up: the package may be in another, or in the lists there are.
fn update_lists() {
    // The lists have a lock without a time-out, which a fresh machine's own update holds for a while.
    const TRIES: u32 = 4;
    for attempt in 1..=TRIES {
        match must_succeed(apt_get().args(["update", "--quiet"]), "nothing, if what follows succeeds") {
            Ok(()) => return,
            Err(error) => eprintln!("{error:#}"),
        }
        if attempt < TRIES {
            succeeds(Command::new("sleep").arg("5"));
        }
    }
}

fn apt_get() -> Command {
    let mut apt = Command::new("apt-get");
    apt.args(["-o", LOCK_PATIENCE, "-o", "Acquire::Retries=3"]).env("DEBIAN_FRONTEND", "noninteractive");
    apt
}

/// As root, on a Debian-like machine.
pub fn can_install() -> bool {
    let is_root = output_of(Command::new("id").arg("-u")).is_ok_and(|uid| uid == "0");
    is_root && succeeds(Command::new("apt-get").arg("--version"))
}

/// Installs packages of servers, without the system starting them: tests run instances of their own.
pub fn install_without_starting(missing: &str, packages: &[&str]) -> Result<()> {
    // What Debian asks before it starts a service it has just installed; 101 forbids it.
    let policy = Path::new("/usr/sbin/policy-rc.d");
    let is_free = std::fs::read_to_string(policy).map_or(!policy.exists(), |text| text == NO_STARTS);
    let is_ours = is_free && std::fs::write(policy, NO_STARTS).is_ok();
    if is_ours {
        succeeds(Command::new("chmod").arg("755").arg(policy));
    }
    let outcome = install(missing, packages);
    if is_ours {
        std::fs::remove_file(policy).context("remove the rule that kept new services from starting")?;
    }
    outcome
}

/// The value of the first `key = "value"` line.
fn quoted_value<'a>(toml: &'a str, key: &str) -> Option<&'a str> {
    toml.lines().find_map(|line| {
        let rest = line.trim_start().strip_prefix(key)?.trim_start();
        rest.strip_prefix('=')?.trim().strip_prefix('"')?.split('"').next()
    })
}

/// `1.95.0-nightly` as `[1, 95, 0]`, for comparing.
fn version_numbers(version: &str) -> Vec<u32> {
    version.split(['.', '-']).map_while(|number| number.parse().ok()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_compare_by_number() {
        assert!(version_numbers("1.85.0") < version_numbers("1.95"));
        assert!(version_numbers("1.9.0") < version_numbers("1.85"));
        assert!(version_numbers("1.95.0-nightly") >= version_numbers("1.95"));
        assert!(version_numbers("2.0.0") > version_numbers("1.95"));
    }

    #[test]
    fn rust_version_is_found_in_a_manifest() {
        let manifest = "[workspace.package]\nedition = \"2024\"\nrust-version = \"1.95\"\n";
        assert_eq!(quoted_value(manifest, "rust-version"), Some("1.95"));
        assert_eq!(quoted_value(manifest, "license"), None);
    }

    #[test]
    fn free_space_is_read_from_what_df_prints() {
        let told =
            "Filesystem     1048576-blocks  Used Available Capacity Mounted on\n/dev/vda               257000 37000     55000      41% /\n";
        assert_eq!(free_mib(told), Some(55_000));
        assert_eq!(free_mib("df: no such folder"), None);
    }

    #[test]
    fn a_program_that_fails_or_is_absent_does_not_accept() {
        assert!(accepts(&mut Command::new("cat"), b"text"));
        assert!(!accepts(&mut Command::new("false"), b"text"));
        assert!(!accepts(&mut Command::new("no-such-program-anywhere"), b"text"));
    }
}
