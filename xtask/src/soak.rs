//! The long forms of checks whose short forms are in `cargo xtask test`.

use std::path::PathBuf;

use anyhow::Result;

use crate::command::{cargo, must_succeed, target_folder};
use crate::steps::Steps;
use crate::{bench, check, run, web};

/// About half an hour on two cores.
const SEEDS: &str = "2000";
const SEEDS_ON_ENGINES: &str = "300";
/// Load and server have a file for each: both need a limit of open files above that.
const IDLE: &str = "idle --connections 10000 --seconds 600";
const SCENARIO_ROUNDS: usize = 20;
/// Tells the tests of `long` to run in full.
const SOAK: &str = "SKEIN_SOAK";

pub fn soak() -> Result<()> {
    let mut steps = Steps::new();
    let outcome = all_steps(&mut steps);
    steps.print_table();
    outcome
}

fn all_steps(steps: &mut Steps) -> Result<()> {
    steps.step("start-up and memory, optimised", start_up)?;
    steps.step("long connections, abrupt ends, 500 members, 100,000 messages", || {
        let mut long = product_test("long::");
        must_succeed(long.env(SOAK, "1"), "`SKEIN_SOAK=1 cargo test -p skein-testkit --test product long::` repeats it")
    })?;
    steps.step("100,000 messages scrolled through in a browser, there and back", || web::long(&optimised()))?;
    steps.step("thirty restarts in ten minutes, and how many messages could be sent", || {
        let mut availability = product_test("availability::");
        availability.args(["--", "--nocapture"]).env(SOAK, "1");
        must_succeed(&mut availability, "the line above has the figure")
    })?;
    steps.step("a live room of 5,000 guests, a minute at 40 messages a second", || bench::bench(&["push".into()]))?;
    steps.step("10,000 connections that hardly speak: ten minutes each of a bare echo server, TCP and WebSocket", idle)?;
    steps.step("the scenarios, again and again", scenarios)?;
    steps.step("the checker, long", || check::check(&["--seeds".into(), SEEDS.into()]))?;
    for engines in ["mariadb", "all"] {
        let arguments = ["--engines", engines, "--seeds", SEEDS_ON_ENGINES].map(String::from);
        steps.step("the checker on engines, long", || check::check(&arguments))?;
    }
    steps.step("the checker finds what is planted", || check::check(&["--self-test".into()]))?;
    steps.step("the checker finds what is planted in the pipeline", || {
        check::check(&["--self-test", "--engines", "all", "--parallel", "4"].map(String::from))
    })
}

/// The bounds that are promised of the program people run.
fn start_up() -> Result<()> {
    must_succeed(&mut cargo(run::build_arguments("build")), "read the first error above")?;
    let mut started = product_test("process::it_is_up_at_once_and_small");
    started.args(["--", "--nocapture"]).env("SKEIN_BIN", optimised());
    must_succeed(&mut started, "the line above names what took too long or too much")
}

fn optimised() -> PathBuf {
    target_folder().join(run::PROFILE).join("skein")
}

fn idle() -> Result<()> {
    bench::bench(&IDLE.split(' ').map(str::to_owned).collect::<Vec<_>>())
}

fn scenarios() -> Result<()> {
    for round in 1..=SCENARIO_ROUNDS {
        eprintln!("round {round} of {SCENARIO_ROUNDS}");
        must_succeed(&mut cargo(["test", "--quiet", "--package", "skein-testkit", "--test", "scenarios"]), "the scenario is named above")?;
    }
    Ok(())
}

fn product_test(filter: &str) -> std::process::Command {
    cargo(["test", "--package", "skein-testkit", "--test", "product", filter])
}
