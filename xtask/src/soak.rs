//! The long forms of checks whose short forms are in `cargo xtask test`.

use anyhow::Result;

use crate::check;
use crate::steps::Steps;

/// About an hour on two cores.
const SEEDS: &str = "3000";

pub fn soak() -> Result<()> {
    let mut steps = Steps::new();
    let outcome = all_steps(&mut steps);
    steps.print_table();
    outcome
}

fn all_steps(steps: &mut Steps) -> Result<()> {
    steps.step("the checker, long", || check::check(&["--seeds".into(), SEEDS.into()]))?;
    steps.step("the checker finds what is planted", || check::check(&["--self-test".into()]))
}
