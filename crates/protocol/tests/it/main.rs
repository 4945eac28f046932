//! Tests of the protocol's promises, in one binary. `UPDATE=1` lets those that check a file write it instead.

mod corpus;
mod documents;
mod envelopes;
mod frames;
mod hex;
mod json_schema;
mod strategies;
mod vectors;
mod websockets;

use std::path::PathBuf;

/// A path in this crate.
fn here(path: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(path)
}

fn read(path: &str) -> String {
    std::fs::read_to_string(here(path)).unwrap_or_else(|error| panic!("read {path}: {error}"))
}

/// Whether checked files are to be written anew.
fn updating() -> bool {
    std::env::var_os("UPDATE").is_some()
}
