//! The `skein` binary. What it can do is in the library beside it; here it only begins and ends.

use std::process::ExitCode;

fn main() -> ExitCode {
    skein_server::cli::main()
}
