//! From a fresh clone to a running server.

use std::os::unix::process::CommandExt;

use anyhow::{Context, Result};

use crate::command::{cargo, must_succeed, shown, workspace_root};
use crate::steps::Steps;
use crate::{machine, web};

/// Optimised, without link-time optimisation: what one wants to wait for.
pub(crate) const PROFILE: &str = "quick";

/// Builds `skein` and becomes `skein serve`; returns only when something failed.
///
/// The process is replaced, not wrapped: Ctrl-C and SIGTERM reach the server itself, and its exit code is ours.
pub fn run(arguments: &[String]) -> Result<()> {
    let mut steps = Steps::new();
    steps.step("the machine", || {
        machine::require_toolchain()?;
        machine::require_compilers()
    })?;
    steps.step("the web client", web::build)?;
    steps.step("build skein (some minutes the first time)", || {
        let next_step = "read the first error above; `rustup update stable` if it speaks of the compiler's version";
        must_succeed(&mut cargo(build_arguments("build")), next_step)
    })?;
    steps.print_table();

    let data_folder = workspace_root().join("data");
    let serve = serve_arguments(arguments, &data_folder.to_string_lossy());
    eprintln!("\n==> skein {}  (Ctrl-C drains and stops it)", serve.join(" "));
    let mut server = cargo(build_arguments("run"));
    server.args(["--quiet", "--"]).args(serve);
    // What the user named in arguments is relative to where they stand.
    server.current_dir(std::env::current_dir().context("find the current folder")?);
    let shown = shown(&server);
    Err(server.exec()).with_context(|| format!("start `{shown}`"))
}

pub(crate) fn build_arguments(verb: &'static str) -> [&'static str; 7] {
    [verb, "--profile", PROFILE, "--package", "skein-server", "--bin", "skein"]
}

/// `serve`, the data folder unless the user names one, and what the user wrote.
fn serve_arguments(user: &[String], data_folder: &str) -> Vec<String> {
    let names_data_folder = user.iter().any(|word| word == "--data" || word.starts_with("--data="));
    let mut arguments = vec!["serve".to_owned()];
    if !names_data_folder {
        arguments.extend(["--data".to_owned(), data_folder.to_owned()]);
    }
    arguments.extend_from_slice(user);
    arguments
}

#[cfg(test)]
mod tests {
    use super::*;

    fn served(user: &[&str]) -> String {
        let user: Vec<String> = user.iter().map(|word| (*word).to_owned()).collect();
        serve_arguments(&user, "/skein/data").join(" ")
    }

    #[test]
    fn the_data_folder_is_ours_unless_the_user_names_one() {
        assert_eq!(served(&[]), "serve --data /skein/data");
        assert_eq!(served(&["--role", "comet"]), "serve --data /skein/data --role comet");
        assert_eq!(served(&["--data", "d"]), "serve --data d");
        assert_eq!(served(&["--data=d"]), "serve --data=d");
    }
}
