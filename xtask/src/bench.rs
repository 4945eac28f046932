//! Measuring: an optimised server, the load generator beside it, and a table.

use std::process::Command;

use anyhow::Result;

use crate::command::{cargo, must_succeed, target_folder};

/// As [`crate::run`]: optimised, without link-time optimisation.
const PROFILE: &str = "quick";

/// What is measured when nothing is named.
const SCENARIOS: &[&str] = &["send", "engines", "idle", "push"];

/// Builds the server and the load generator alike, then measures with `arguments`: a scenario and its settings.
pub fn bench(arguments: &[String]) -> Result<()> {
    let server = ["build", "--profile", PROFILE, "--package", "skein-server", "--bin", "skein"];
    must_succeed(&mut cargo(server), "read the first error above")?;
    let generator = ["build", "--profile", PROFILE, "--package", "skein-bench", "--bin", "skein-bench"];
    must_succeed(&mut cargo(generator), "read the first error above")?;

    if arguments.is_empty() {
        return SCENARIOS.iter().try_for_each(|scenario| measure(&[(*scenario).to_owned()]));
    }
    measure(arguments)
}

fn measure(arguments: &[String]) -> Result<()> {
    let built = target_folder().join(PROFILE);
    let mut bench = Command::new(built.join("skein-bench"));
    bench.args(arguments).env("SKEIN_BIN", built.join("skein"));
    must_succeed(&mut bench, "read the error above")
}
