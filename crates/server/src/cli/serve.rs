//! `skein serve`: the boot story, from configuration to a clean end.

use super::{ServeArgs, runtime};
use crate::limits::OpenFiles;
use crate::node::Node;
use crate::{folder, telemetry};
use anyhow::{Context, Result};
use std::process::ExitCode;
use tokio::signal::unix::{Signal, SignalKind, signal};

pub fn run(args: ServeArgs) -> Result<ExitCode> {
    let config = args.load()?;
    folder::ensure(&args.data.data)?;
    // Held until the process ends.
    let _folder = skein_storage::sqlite::lock(&args.data.data, folder::NODE_LOCK)?;
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    runtime()?.block_on(async {
        let telemetry = telemetry::init(&config.telemetry, &config.node.name)?;
        tracing::info!(version = env!("CARGO_PKG_VERSION"), roles = %config.roles()?, data = %args.data.data.display(), "skein starts");
        tracing::info!(open_files = %OpenFiles::raise(), "limits of the system");
        tracing::info!(changed = config.changed(), "configuration");
        tracing::debug!("configuration:\n{}", config.redacted());
        let mut stops = Stops::listen()?;
        let node = Node::start(config, &args.data.data, telemetry.metrics.clone()).await?;
        node.greet();
        let forced = tokio::select! {
            failed = node.failed() => return Err(failed),
            () = stops.next() => stop(node, &mut stops).await,
        };
        Ok(if forced { ExitCode::FAILURE } else { ExitCode::SUCCESS })
    })
}

/// Requests to stop. Heard from before the start on, so that none falls between two of them.
struct Stops {
    terminate: Signal,
    interrupt: Signal,
}

impl Stops {
    fn listen() -> Result<Self> {
        let hear = |kind| signal(kind).context("hear signals");
        Ok(Self { terminate: hear(SignalKind::terminate())?, interrupt: hear(SignalKind::interrupt())? })
    }

    /// Cancel-safe.
    async fn next(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}

/// Drains; a second signal forces. Returns whether it was forced.
async fn stop(node: Node, stops: &mut Stops) -> bool {
    tracing::info!("draining; signal again to stop at once");
    tokio::select! {
        () = node.stop() => { tracing::info!("stopped"); false }
        () = stops.next() => { tracing::warn!("stopped by force"); true }
    }
}
