//! `skein serve`: the boot story, from configuration to a clean end.

use super::{ServeArgs, runtime};
use crate::node::Node;
use crate::{secrets, telemetry};
use anyhow::Result;
use std::process::ExitCode;
use tokio::signal::unix::{SignalKind, signal};

pub fn run(args: ServeArgs) -> Result<ExitCode> {
    let config = args.load()?;
    secrets::ensure_folder(&args.data.data)?;
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    runtime()?.block_on(async {
        let telemetry = telemetry::init(&config.telemetry, &config.node.name)?;
        tracing::info!(version = env!("CARGO_PKG_VERSION"), roles = %config.roles()?, data = %args.data.data.display(), "skein starts");
        tracing::debug!("configuration:\n{}", config.redacted());
        let node = Node::start(config, &args.data.data, telemetry.metrics.clone()).await?;
        node.greet();
        let forced = tokio::select! {
            failed = node.failed() => return Err(failed),
            () = asked_to_stop() => stop(node).await,
        };
        Ok(if forced { ExitCode::FAILURE } else { ExitCode::SUCCESS })
    })
}

async fn asked_to_stop() {
    let (Ok(mut terminate), Ok(mut interrupt)) = (signal(SignalKind::terminate()), signal(SignalKind::interrupt())) else {
        tracing::error!("signals cannot be heard; stop with SIGKILL");
        return std::future::pending().await;
    };
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
}

/// Drains; a second signal forces. Returns whether it was forced.
async fn stop(node: Node) -> bool {
    tracing::info!("draining; signal again to stop at once");
    tokio::select! {
        () = node.stop() => { tracing::info!("stopped"); false }
        () = asked_to_stop() => { tracing::warn!("stopped by force"); true }
    }
}
