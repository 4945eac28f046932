//! `skein docs`: pages that are generated from the code.

use anyhow::Result;
use std::process::ExitCode;

#[derive(Clone, Copy, clap::ValueEnum)]
pub enum Page {
    /// Configuration reference (Markdown).
    Config,
    /// Metrics reference (Markdown).
    Metrics,
    /// The HTTP API (OpenAPI JSON).
    Openapi,
}

pub fn print(page: Page) -> Result<ExitCode> {
    match page {
        Page::Config => print!("{}", crate::config::reference::markdown()),
        Page::Metrics => print!("{}", crate::telemetry::metrics::markdown()),
        Page::Openapi => println!("{}", skein_edge::gate::openapi_json()),
    }
    Ok(ExitCode::SUCCESS)
}
