//! Builds the preload library with the C compiler that SQLite needs anyway.

use std::{env, path::PathBuf};

const SOURCES: [&str; 8] = ["journal.c", "data.c", "log.c", "content.c", "entries.c", "faults.c", "interpose.c", "start.c"];

fn main() {
    println!("cargo::rerun-if-changed=preload");
    assert_eq!(
        (env::var("CARGO_CFG_TARGET_OS").as_deref(), env::var("CARGO_CFG_TARGET_POINTER_WIDTH").as_deref()),
        (Ok("linux"), Ok("64")),
        "the power-cut preload library speaks 64-bit Linux only"
    );
    let out = PathBuf::from(env::var_os("OUT_DIR").expect("cargo sets OUT_DIR"));
    let compiler = cc::Build::new().opt_level(2).pic(true).warnings(true).get_compiler();
    let mut command = compiler.to_command();
    // Fortified headers would turn the functions defined here into inline wrappers of themselves.
    command.args(["-std=gnu11", "-U_FORTIFY_SOURCE", "-fvisibility=hidden", "-shared", "-pthread", "-o"]);
    command.arg(out.join("libskein_powercut.so"));
    command.args(SOURCES.map(|source| PathBuf::from("preload").join(source)));
    let status = command.status().expect("start the C compiler");
    assert!(status.success(), "the C compiler refused the preload library: {status}");
}
