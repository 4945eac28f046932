//! The checker: seeded runs of the whole product with crashes and power cuts (crates/testkit).

use std::process::Command;

use anyhow::Result;

use crate::command::{cargo, must_succeed, target_folder};

/// Builds `skein-check` and, beside it, the server it starts and kills; then runs it with `arguments`.
pub fn check(arguments: &[String]) -> Result<()> {
    // The whole workspace is named, and the profile is that of the tests, so that what they built is used again.
    // The server is a program of the testkit's: the product's own `main`, in a build that can have planted faults.
    let mut build = cargo(["build", "--workspace", "--bin", "skein-under-test", "--bin", "skein-check"]);
    must_succeed(&mut build, "read the first error above")?;

    let mut checker = Command::new(target_folder().join("debug/skein-check"));
    checker.args(arguments);
    must_succeed(&mut checker, "the failing seed is named above; `cargo xtask check --seed <number>` repeats it")
}
