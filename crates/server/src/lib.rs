//! The `skein` binary from the inside: command line, configuration, roles, and the one place where everything is wired.
//!
//! **Invariant:** only [`wiring`] knows which implementation stands behind a door or a port. Configuration is read and
//! validated whole, by [`config`] alone, before anything binds.

pub mod admin;
pub mod cli;
pub mod config;
mod engines;
mod exposure;
pub mod folder;
pub mod limits;
mod listeners;
pub mod mail;
pub mod node;
mod program;
pub mod roles;
pub mod secrets;
pub mod telemetry;
pub mod terminal;
pub mod tls;
pub mod wiring;
