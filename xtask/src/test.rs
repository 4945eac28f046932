//! Everything a change must pass, in the order in which failures are cheapest to learn about. CI runs just this.

use anyhow::Result;

use crate::command::{cargo, must_succeed};
use crate::steps::Steps;
use crate::{check, machine, peers, services, tidy, web};

/// About a minute; more of them in `cargo xtask soak`.
const SEEDS_ON_ENGINES: &str = "12";

/// Runs all steps up to the first failure; the table of durations is printed either way.
pub fn test() -> Result<()> {
    let mut steps = Steps::new();
    let outcome = all_steps(&mut steps);
    let stopped = steps.step("services down", services::down);
    steps.print_table();
    outcome.and(stopped)
}

fn all_steps(steps: &mut Steps) -> Result<()> {
    steps.step("the machine", || {
        machine::require_toolchain()?;
        machine::require_components()?;
        machine::require_tools()?;
        machine::require_space()?;
        machine::require_compilers()
    })?;
    steps.step("format", || must_succeed(&mut cargo(["fmt", "--all", "--check"]), "run `cargo fmt --all` and commit what it changed"))?;
    // The rules are tests, too; here they speak before the long build.
    steps.step("tidy", tidy::tidy)?;
    steps.step("services up", || services::up(&[], false))?;
    steps.step("third-party peers", peers::set_up)?;
    steps.step("clippy", || {
        must_succeed(
            &mut cargo(["clippy", "--workspace", "--all-targets", "--", "--deny", "warnings"]),
            "fix the warnings above; where one is wrong, #[expect(clippy::…, reason = \"…\")] says why",
        )
    })?;
    steps.step("tests and doc tests", || {
        must_succeed(
            &mut cargo(["test", "--workspace"]),
            "find the first `failures:` above; `cargo test -p <crate> <name>` repeats one test",
        )
    })?;
    web::test(steps)?;
    steps.step("the checker", || check::check(&["--seeds", "200"].map(String::from)))?;
    steps.step("the checker on MariaDB, Redis and Kafka", || {
        check::check(&["--engines", "all", "--seeds", SEEDS_ON_ENGINES].map(String::from))
    })?;
    steps.step("the checker's own check", || check::check(&["--self-test".to_owned()]))
}
