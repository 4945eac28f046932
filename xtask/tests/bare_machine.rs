//! `cargo xtask` on machines that lack something: it fails, says what is missing and how to get it, and skips nothing.

use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;

/// What xtask itself needs to look around; no engine, no Java, no apt-get.
const TOOLS: [&str; 8] = ["sh", "cat", "id", "flock", "ps", "kill", "df", "true"];

/// A machine with nothing but [`TOOLS`], in CI; services would be below its folder.
struct Machine {
    folder: PathBuf,
}

impl Machine {
    fn new(name: &str) -> Self {
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
        let _ = std::fs::remove_dir_all(&folder);
        std::fs::create_dir_all(folder.join("bin")).unwrap();
        let machine = Self { folder };
        for tool in TOOLS {
            symlink(found(tool), machine.folder.join("bin").join(tool)).unwrap();
        }
        machine
    }

    /// With a program that does as this line of shell says.
    fn with(self, program: &str, line: &str) -> Self {
        let path = self.folder.join("bin").join(program);
        std::fs::write(&path, format!("#!/bin/sh\n{line}\n")).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
        self
    }

    /// What `cargo xtask` says here, and that it fails.
    fn refuses(&self, arguments: &[&str]) -> String {
        let (succeeds, said) = self.runs(arguments);
        assert!(!succeeds, "{arguments:?} succeeded:\n{said}");
        said
    }

    fn runs(&self, arguments: &[&str]) -> (bool, String) {
        let bin = self.folder.join("bin");
        let mut xtask = Command::new(env!("CARGO_BIN_EXE_xtask"));
        xtask.args(arguments).env("CI", "true").env("PATH", &bin).env("CARGO", bin.join("cargo")).env_remove("RUSTC").env_remove("CC");
        let output = xtask.env("SKEIN_SERVICES", self.folder.join("services")).output().unwrap();
        (output.status.success(), String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr))
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

fn found(tool: &str) -> PathBuf {
    let path = std::env::var_os("PATH").expect("a PATH");
    let folders = std::env::split_paths(&path).map(|folder| folder.join(tool)).find(|file| file.exists());
    folders.unwrap_or_else(|| panic!("{tool} is not on this machine"))
}

#[test]
fn an_engine_that_is_missing_fails_and_names_what_installs_it() {
    let machine = Machine::new("no-engines");
    let engines = [("redis", "redis-server"), ("redis-cluster", "redis-server"), ("mariadb", "mariadb-server"), ("kafka", "default-jre")];
    for (engine, package) in engines {
        let said = machine.refuses(&["services", "up", engine]);
        assert!(said.contains("is missing") && said.contains(&format!("apt-get install {package}")), "{engine}: {said}");
    }
}

#[test]
fn a_server_is_built_without_its_web_client_where_node_is_missing_or_too_old() {
    let compiling = |name| {
        let machine = Machine::new(name).with("rustc", "echo rustc 99.0.0").with("cc", "cat > /dev/null");
        ["cargo", "c++", "make"].into_iter().fold(machine, |machine, program| machine.with(program, "exit 0"))
    };
    let old = compiling("old-node").with("npm", "exit 1").with("node", "echo v18.19.0");
    for (machine, why) in [(compiling("no-node"), "is missing"), (old, "18.19.0 is too old")] {
        let (succeeds, said) = machine.runs(&["run"]);
        assert!(succeeds && said.contains(why) && said.contains("no web client"), "{said}");
    }
}

#[test]
fn an_engine_that_is_too_old_fails_and_says_so() {
    let machine = Machine::new("old-java").with("java", "echo 'openjdk version \"11.0.2\" 2019-01-15' >&2").with("mvn", "exit 0");
    let said = machine.refuses(&["services", "up", "kafka"]);
    assert!(said.contains("Java 17 or newer is needed") && said.contains("11.0.2"), "{said}");
}

#[test]
fn in_ci_nothing_is_tested_without_the_engines() {
    let machine = ["cargo", "c++", "make"].into_iter().fold(Machine::new("ci"), |machine, program| machine.with(program, "exit 0"));
    let machine = machine.with("rustc", "echo rustc 99.0.0").with("cc", "cat > /dev/null");
    let said = machine.refuses(&["test"]);
    for later in ["clippy", "tests and doc tests", "the checker"] {
        assert!(!said.contains(&format!("==> {later}")), "{said}");
    }
}
