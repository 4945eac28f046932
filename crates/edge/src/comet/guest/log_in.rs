//! Letting a guest in: the call of Logic, and the guard that undoes it.
//!
//! **Invariant:** whoever Logic has registered is unregistered again when the connection is gone, also when it went while
//! Logic was still judging: the call runs in a task of its own, and its result undoes itself if nobody takes it.

use crate::comet::line::Line;
use crate::comet::shared::Shared;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use skein_domain::live::{Guest, GuestCommand, GuestRef, GuestReply, Mid};
use skein_domain::{Code, Error, Result};
use skein_protocol::Frame;
use std::sync::Arc;
use std::task::{Context, Poll};
use tokio::sync::oneshot;
use tokio::time::timeout;

/// A log-in under way.
pub(super) struct LogIn {
    /// Op 7, for its answer.
    request: Frame,
    outcome: oneshot::Receiver<Result<Entry>>,
}

pub(super) struct LoggedIn {
    pub request: Frame,
    pub entry: Entry,
}

/// What Logic said of the guest.
pub(super) struct Entry {
    pub registered: Registered,
    pub guest: Guest,
    pub heartbeat_ms: u64,
    pub replaced: Option<GuestRef>,
    /// When Logic was asked.
    pub since_ms: u64,
}

impl LogIn {
    pub fn start(line: &Line, request: Frame, cookie: String) -> Self {
        let (done, outcome) = oneshot::channel();
        let asked = line.shared.clone();
        let connect = GuestCommand::Connect {
            node: asked.hub.node.clone(),
            generation: line.peer.generation,
            token: request.body.to_vec(),
            cookie,
            address: line.address.to_string(),
        };
        let me = line.peer.generation;
        line.shared.spawn(async move {
            let since_ms = asked.hub.ticks.now_ms();
            let connected = timeout(asked.hub.config.call_deadline(), asked.logic.guest(connect)).await;
            let entry = match connected {
                Ok(Ok(GuestReply::Connected { guest, heartbeat_ms, replaced })) => {
                    let me = GuestRef { key: guest.key.clone(), generation: me };
                    let registered = Registered { shared: asked, mid: guest.mid, guest: me, under_way: None };
                    let heartbeat_ms = heartbeat_ms.max(0).unsigned_abs();
                    Ok(Entry { registered, guest, heartbeat_ms, replaced, since_ms })
                }
                Ok(Ok(_)) => Err(Error::internal()),
                Ok(Err(error)) => Err(error),
                Err(_) => Err(Error::new(Code::Timeout, "the log-in took too long")),
            };
            // Dropped if nobody waits any more, and undone thereby.
            drop(done.send(entry));
        });
        Self { request, outcome }
    }

    pub fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Result<LoggedIn>> {
        let request = &self.request;
        self.outcome
            .poll_unpin(cx)
            .map(|outcome| outcome.unwrap_or_else(|_| Err(Error::internal())).map(|entry| LoggedIn { request: request.clone(), entry }))
    }
}

/// Being logged in. Dropping it leaves hub and registry.
pub(super) struct Registered {
    shared: Arc<Shared>,
    mid: Mid,
    guest: GuestRef,
    under_way: Option<BoxFuture<'static, ()>>,
}

impl Registered {
    pub fn guest(&self) -> &GuestRef {
        &self.guest
    }

    pub fn mid(&self) -> Mid {
        self.mid
    }

    /// Logic hears of the end only behind this call, or a move would bring back who is gone.
    pub fn ends_behind(&mut self, under_way: Option<BoxFuture<'static, ()>>) {
        self.under_way = under_way;
    }
}

impl Drop for Registered {
    fn drop(&mut self) {
        self.shared.hub.guests.leave(&self.guest);
        let (shared, node) = (self.shared.clone(), self.shared.hub.node.clone());
        let disconnect = GuestCommand::Disconnect { node, mid: self.mid, guest: self.guest.clone() };
        let under_way = self.under_way.take();
        self.shared.spawn(async move {
            if let Some(call) = under_way {
                call.await;
            }
            tell(&shared, disconnect).await;
        });
    }
}

/// If Logic cannot be told, the lease tells it.
pub(super) async fn tell(shared: &Shared, command: GuestCommand) {
    let failure = match timeout(shared.hub.config.call_deadline(), shared.logic.guest(command)).await {
        Ok(Ok(_)) => return,
        Ok(Err(error)) => error,
        Err(_) => Error::new(Code::Timeout, "no answer in time"),
    };
    shared.hub.meters.guests_unheard.increment(1);
    tracing::debug!(error = %failure, "guest's call failed");
}
