//! Starting other programs: where the workspace is, which cargo to call, and what to say when one fails.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

/// The folder that holds the workspace's `Cargo.toml`.
pub fn workspace_root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("xtask lies one folder below the workspace root")
}

/// Where cargo puts what it builds.
pub fn target_folder() -> PathBuf {
    match std::env::var_os("CARGO_TARGET_DIR") {
        Some(folder) => workspace_root().join(folder),
        None => workspace_root().join("target"),
    }
}

/// The cargo that started us, so that an inner build uses the same toolchain.
pub fn cargo<S: AsRef<OsStr>>(arguments: impl IntoIterator<Item = S>) -> Command {
    let program = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(program);
    command.args(arguments).current_dir(workspace_root());
    command
}

/// Builds programs of the workspace just as `cargo test --workspace` does, so that neither compiles again what the other has.
///
/// Cargo counts the features that tests ask of a library, such as tokio's `test-util`, only where it builds a test, too; without
/// them all that stands on such a library would be compiled anew. So the smallest test is named.
pub fn build_as_tests_do(programs: &[&str]) -> Command {
    let mut build = cargo(["build", "--workspace", "--test", "power_cut"]);
    build.args(programs.iter().flat_map(|program| ["--bin", program]));
    build
}

/// Runs `command` with our own terminal; a failure ends with `next_step`, what the reader should do about it.
pub fn must_succeed(command: &mut Command, next_step: &str) -> Result<()> {
    let shown = shown(command);
    let status = command.status().with_context(|| format!("start `{shown}`\n  next: {next_step}"))?;
    if !status.success() {
        bail!("`{shown}` failed ({status})\n  next: {next_step}");
    }
    Ok(())
}

/// Whether `command` can be started and succeeds; its output is not shown.
pub fn succeeds(command: &mut Command) -> bool {
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok_and(|status| status.success())
}

/// What `command` prints, without the final newline.
pub fn output_of(command: &mut Command) -> Result<String> {
    let shown = shown(command);
    let output = command.output().with_context(|| format!("start `{shown}`"))?;
    if !output.status.success() {
        bail!("`{shown}` failed ({})", output.status);
    }
    Ok(String::from_utf8_lossy(&output.stdout).trim_end().to_owned())
}

/// The command as one would type it, by the program's name without its folder.
pub fn shown(command: &Command) -> String {
    let program = Path::new(command.get_program());
    let name = program.file_name().unwrap_or(program.as_os_str());
    std::iter::once(name).chain(command.get_args()).map(|word| word.to_string_lossy().into_owned()).collect::<Vec<_>>().join(" ")
}
