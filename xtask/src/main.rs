//! `cargo xtask`: the one command to start Skein, to prove a change, and to ask the checker.
//!
//! Owns the verbs and nothing else: each is one module of the library beside it.

use std::process::ExitCode;

const USAGE: &str = "\
cargo xtask <verb>

  run [args…]     build the server (optimised, quick to build) and start `skein serve` on ./data;
                  further arguments go to `skein serve`
  test            everything a change must pass: format, clippy, tidy rules, all tests
  check [args…]   build the checker and run it; arguments go to it, for example --seeds 200 or --seed 17
  bench [args…]   measure an optimised build beside the disk's own speed
  services up [--ha | --compose] [names…] | down | status
                  private MariaDB, Redis (also as a cluster) and Kafka for tests, below target/services
  soak            the long forms of checks that `test` runs short; over an hour
  tidy            the tidy rules alone
  peers           set up the tests' third-party peers, so that a plain `cargo test` finds them
";

/// As in sysexits.h: the command line itself was wrong.
const EXIT_USAGE: u8 = 64;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let Some((verb, rest)) = arguments.split_first() else {
        eprint!("{USAGE}");
        return ExitCode::from(EXIT_USAGE);
    };
    let takes_arguments = matches!(verb.as_str(), "run" | "check" | "bench" | "services");
    if !takes_arguments && !rest.is_empty() {
        eprintln!("xtask: `{verb}` takes no arguments, got: {}\n", rest.join(" "));
        eprint!("{USAGE}");
        return ExitCode::from(EXIT_USAGE);
    }

    let outcome = match verb.as_str() {
        "run" => xtask::run::run(rest),
        "test" => xtask::test::test(),
        "check" => xtask::check::check(rest),
        "bench" => xtask::bench::bench(rest),
        "services" => xtask::services::services(rest),
        "soak" => xtask::soak::soak(),
        "tidy" => xtask::tidy::tidy(),
        "peers" => xtask::peers::set_up(),
        "help" | "--help" | "-h" => {
            print!("{USAGE}");
            Ok(())
        }
        _ => {
            eprintln!("xtask: no such verb: {verb}\n");
            eprint!("{USAGE}");
            return ExitCode::from(EXIT_USAGE);
        }
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("\nxtask: {error:#}");
            ExitCode::FAILURE
        }
    }
}
