//! The workspace's own tool, as a library so that its rules can be tested like everything else.
//!
//! Owns: starting the product from a fresh clone ([`run`]), proving a change ([`test`]), running the checker
//! ([`check`], [`soak`]), measuring ([`bench`]), the engines tests run against ([`services`]), the third-party programs they
//! talk to ([`peers`]), the web client (`web`), and the rules no compiler knows ([`tidy`]).
//!
//! **Invariant:** needs the standard library and `anyhow` only: it is compiled before anything else, on machines that
//! have nothing yet.
//!
//! **Invariant:** a missing piece is installed or named with the command that installs it; nothing is skipped but the web
//! client of `run` where there is no npm, and that is said.

pub mod bench;
pub mod check;
mod command;
mod machine;
pub mod peers;
pub mod run;
pub mod services;
pub mod soak;
mod steps;
pub mod test;
pub mod tidy;
mod web;
