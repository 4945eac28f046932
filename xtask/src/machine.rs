//! What the machine must have before a build can succeed, and how it gets it.
//!
//! On a Debian-like machine, as root, missing packages are installed after saying so. Anywhere else the error names the
//! command. A compiler that is too old is never replaced for the user, only named.

use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

use crate::command::{cargo, must_succeed, output_of, succeeds, workspace_root};

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
    let next_step = format!("install {packages_shown} by hand, then run this again");
    must_succeed(Command::new("apt-get").args(["update", "--quiet"]), &next_step)?;
    let mut install = Command::new("apt-get");
    install.args(["install", "--yes", "--quiet", "--no-install-recommends"]).args(packages).env("DEBIAN_FRONTEND", "noninteractive");
    must_succeed(&mut install, &next_step)
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
    let is_ours = !policy.exists() && std::fs::write(policy, "#!/bin/sh\nexit 101\n").is_ok();
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
    fn a_program_that_fails_or_is_absent_does_not_accept() {
        assert!(accepts(&mut Command::new("cat"), b"text"));
        assert!(!accepts(&mut Command::new("false"), b"text"));
        assert!(!accepts(&mut Command::new("no-such-program-anywhere"), b"text"));
    }
}
