//! Who speaks on a connection: an account's session, or a guest. On a port that both use it is a guest until its log-in
//! tells otherwise.

use super::guest::{Guest, Heard};
use super::line::Line;
use super::peer::Orders;
use super::skein::Skein;
use skein_protocol::CloseCode;
use std::task::Context;

pub(super) enum Talk {
    Skein(Skein),
    Guest(Guest),
}

impl Talk {
    pub fn obey(&mut self, line: &mut Line, orders: Orders) {
        match self {
            Talk::Skein(skein) => skein.obey(line, orders),
            Talk::Guest(guest) => guest.obey(line, &orders),
        }
    }

    /// Whether anything was finished.
    pub fn poll_work(&mut self, line: &mut Line, cx: &mut Context<'_>) -> bool {
        match self {
            Talk::Skein(skein) => skein.poll_work(line, cx),
            Talk::Guest(guest) => guest.poll_work(line, cx),
        }
    }

    /// Hears the next message of what was read; `false` when more bytes are needed.
    pub fn hear(&mut self, line: &mut Line) -> bool {
        let heard = match self {
            Talk::Skein(skein) => return skein.hear(line),
            Talk::Guest(guest) => guest.hear(line),
        };
        match heard {
            Heard::Nothing => false,
            Heard::Something => true,
            Heard::Skein(log_in) => {
                let mut skein = Skein::new(line);
                skein.hear_first(line, &log_in);
                *self = Talk::Skein(skein);
                true
            }
        }
    }

    /// Whether reading waits: for Logic, or for a client that does not take its replies.
    pub fn is_paused(&self, line: &Line) -> bool {
        let paused = match self {
            Talk::Skein(skein) => skein.is_paused(line),
            Talk::Guest(guest) => guest.is_paused(line),
        };
        paused || line.peer.kept_bytes() > line.config().queue_bytes_max as usize / 2
    }

    /// Commands without a reply.
    pub fn in_flight(&self) -> u32 {
        match self {
            Talk::Skein(skein) => skein.in_flight(),
            Talk::Guest(_) => 0,
        }
    }

    /// A client that leaves during its log-in is noticed, at the price of one read.
    pub fn listens_while_paused(&self) -> bool {
        match self {
            Talk::Skein(skein) => skein.is_logging_in(),
            Talk::Guest(guest) => guest.is_logging_in(),
        }
    }

    /// After everything was tried: is this the end?
    pub fn judge(&mut self, line: &mut Line) {
        let is_over = line.peer.is_over(line.config().queue_bytes_max as usize);
        match self {
            Talk::Skein(skein) if is_over => skein.close(line, CloseCode::Slow),
            Talk::Skein(skein) => skein.judge(line),
            Talk::Guest(_) if is_over => line.close(CloseCode::Slow, None),
            Talk::Guest(_) => {}
        }
    }

    /// How much of the queue is taken at once. What is taken of a guest's cannot be dropped any more.
    pub fn take_bytes_max(&self) -> usize {
        match self {
            Talk::Skein(_) => usize::MAX,
            Talk::Guest(_) => super::guest::TAKE_BYTES_MAX,
        }
    }

    /// The line is closing: leaves hub and registry. Idempotent.
    pub fn end(&mut self) {
        match self {
            Talk::Skein(skein) => skein.end(),
            Talk::Guest(guest) => guest.end(),
        }
    }
}
