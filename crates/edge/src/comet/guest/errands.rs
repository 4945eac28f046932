//! What Logic is to hear of a guest: its messages and its moves, one after the other, in their order.
//!
//! One call at a time keeps the order over any door, and keeps one guest from filling Logic's hands. A move that Logic has
//! not heard of yet gives way to a newer one.
//!
//! **Bound:** see [`Errands::are_too_many`].

use super::log_in::tell;
use crate::comet::Config;
use crate::comet::shared::Shared;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use skein_domain::live::GuestCommand;
use std::collections::VecDeque;
use std::sync::Arc;
use std::task::{Context, Poll};

pub(super) struct Errands {
    shared: Arc<Shared>,
    waiting: VecDeque<(GuestCommand, usize)>,
    bytes: usize,
    under_way: Option<BoxFuture<'static, ()>>,
}

impl Errands {
    pub fn new(shared: Arc<Shared>) -> Self {
        Self { shared, waiting: VecDeque::new(), bytes: 0, under_way: None }
    }

    pub fn add(&mut self, command: GuestCommand, bytes: usize) {
        if let (GuestCommand::Move { .. }, Some((GuestCommand::Move { .. }, _))) = (&command, self.waiting.back())
            && let Some((_, given_up)) = self.waiting.pop_back()
        {
            self.bytes -= given_up;
        }
        self.bytes += bytes;
        self.waiting.push_back((command, bytes));
    }

    pub fn are_too_many(&self, config: &Config) -> bool {
        self.waiting.len() >= config.in_flight_commands_max as usize || self.bytes >= config.in_flight_bytes_max as usize
    }

    /// The call that Logic is hearing now. It runs to its end; what waits becomes pointless with the guest's.
    pub fn take_under_way(&mut self) -> Option<BoxFuture<'static, ()>> {
        self.under_way.take()
    }

    /// Whether anything was finished.
    pub fn poll(&mut self, cx: &mut Context<'_>) -> bool {
        let mut worked = false;
        loop {
            if let Some(call) = &mut self.under_way {
                match call.poll_unpin(cx) {
                    Poll::Pending => return worked,
                    Poll::Ready(()) => self.under_way = None,
                }
                worked = true;
            }
            let Some((command, bytes)) = self.waiting.pop_front() else {
                self.waiting = VecDeque::new();
                return worked;
            };
            self.bytes -= bytes;
            let shared = self.shared.clone();
            self.under_way = Some(async move { tell(&shared, command).await }.boxed());
        }
    }
}
