//! The `skein` binary as the testkit starts it: the product's own `main`, in a build that can have planted faults.
//!
//! It is a program of its own so that the `skein` people run never has them, whatever was built beside it.

use std::process::ExitCode;

fn main() -> ExitCode {
    skein_server::cli::main()
}
