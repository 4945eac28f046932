//! The checker: seeded runs of the whole product with crashes and power cuts (crates/testkit).

use std::process::Command;

use anyhow::Result;

use crate::command::{build_as_tests_do, must_succeed, target_folder};

/// Builds `skein-check` and, beside it, the server it starts and kills; then runs it with `arguments`.
pub fn check(arguments: &[String]) -> Result<()> {
    // The server is a program of the testkit's: the product's own `main`, in a build that can have planted faults.
    must_succeed(&mut build_as_tests_do(&["skein-under-test", "skein-check"]), "read the first error above")?;

    let mut checker = Command::new(target_folder().join("debug/skein-check"));
    checker.args(arguments);
    must_succeed(&mut checker, "the failing seed is named above; `cargo xtask check --seed <number>` repeats it")
}
