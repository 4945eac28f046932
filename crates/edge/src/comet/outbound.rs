//! What waits for one connection, counted in bytes. No IO.
//!
//! **Bound:** `bytes_max` (64 KiB) per connection; one larger frame passes an empty queue. At the bound the queued pushes are
//! discarded and one `resync` takes their place; from then on the connection is *resyncing* and gets no push until its
//! last page of sync is answered. Replies are never discarded; if they alone exceed the bound the connection is slow.
//!
//! **Invariant:** a push that is left out is covered by a page of sync that is read later, or by another `resync`. Pushes
//! that come while a page is being read may be missing in it, so they are held, within the same bound, and let go behind
//! the last page; if they do not fit, another `resync` follows.

use bytes::Bytes;
use skein_domain::fault::{Fault, planted};
use std::collections::VecDeque;

#[derive(Default)]
pub(super) struct Outbound {
    queue: VecDeque<Queued>,
    /// Of the queue.
    push_bytes: usize,
    /// Of the queue.
    kept_bytes: usize,
    /// Taken for writing, not yet written.
    writing_bytes: usize,
    flow: Flow,
    /// The connection is closing: nothing more is taken in.
    closed: bool,
}

struct Queued {
    bytes: Bytes,
    is_push: bool,
}

#[derive(Default)]
enum Flow {
    #[default]
    Live,
    /// Pushes are left out: a sync has been asked for and has not begun.
    Resyncing,
    /// Pushes are held: a page is being read.
    Paging(Box<Held>),
}

#[derive(Default)]
struct Held {
    pushes: Vec<Bytes>,
    bytes: usize,
    missed: bool,
}

/// What became of a push.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Offered {
    Queued,
    /// The connection is being resynced: sync will tell.
    LeftOut,
    /// This push and so many queued ones were given up for one `resync`.
    Overflowed(usize),
    Closed,
}

impl Outbound {
    /// `resync` makes the frame that takes the place of discarded pushes.
    pub fn offer(&mut self, push: &Bytes, bytes_max: usize, resync: impl FnOnce() -> Option<Bytes>) -> Offered {
        if self.closed {
            return Offered::Closed;
        }
        match &mut self.flow {
            Flow::Resyncing => return Offered::LeftOut,
            Flow::Paging(held) => return held.offer(push, bytes_max),
            Flow::Live => {}
        }
        let waiting = self.waiting_bytes();
        if waiting > 0 && waiting + push.len() > bytes_max {
            return Offered::Overflowed(self.overflow(resync));
        }
        self.enqueue_push(push.clone());
        Offered::Queued
    }

    fn enqueue_push(&mut self, bytes: Bytes) {
        self.push_bytes += bytes.len();
        self.queue.push_back(Queued { bytes, is_push: true });
    }

    fn overflow(&mut self, resync: impl FnOnce() -> Option<Bytes>) -> usize {
        let before = self.queue.len();
        self.queue.retain(|queued| !queued.is_push);
        self.push_bytes = 0;
        let discarded = before - self.queue.len();
        if planted(Fault::ResyncLost) {
            return discarded;
        }
        self.flow = Flow::Resyncing;
        if let Some(resync) = resync() {
            self.keep(resync);
        }
        discarded
    }

    /// Queues a frame that is never discarded: replies, `hello`, `resync`, `goAway`, control frames.
    pub fn keep(&mut self, bytes: Bytes) {
        if !self.closed {
            self.kept_bytes += bytes.len();
            self.queue.push_back(Queued { bytes, is_push: false });
        }
    }

    /// What may not be discarded exceeds the bound by itself. Asked after an attempt to write.
    pub fn is_over(&self, bytes_max: usize) -> bool {
        self.queue.len() > 1 && self.kept_bytes > bytes_max
    }

    /// Queued and never discarded.
    pub fn kept_bytes(&self) -> usize {
        self.kept_bytes
    }

    pub fn waiting_bytes(&self) -> usize {
        self.push_bytes + self.kept_bytes + self.writing_bytes
    }

    /// A page of sync is about to be read: pushes from now on may be missing in it.
    pub fn sync_begins(&mut self) {
        if !matches!(self.flow, Flow::Live) {
            self.flow = Flow::Paging(Box::default());
        }
    }

    /// A page was answered (its reply is queued already), with `more` to come. Returns whether another `resync` follows.
    pub fn sync_ends(&mut self, more: bool, resync: impl FnOnce() -> Option<Bytes>) -> bool {
        let Flow::Paging(held) = &mut self.flow else {
            return false;
        };
        if more {
            return false;
        }
        let held = std::mem::take(held);
        if held.missed {
            self.flow = Flow::Resyncing;
            if let Some(resync) = resync() {
                self.keep(resync);
            }
            return true;
        }
        self.flow = Flow::Live;
        for push in held.pushes {
            self.enqueue_push(push);
        }
        false
    }

    /// Moves everything queued to `writing`, in order.
    pub fn take(&mut self, writing: &mut VecDeque<Bytes>) {
        self.writing_bytes += self.push_bytes + self.kept_bytes;
        self.push_bytes = 0;
        self.kept_bytes = 0;
        // An idle connection holds no buffer.
        writing.extend(std::mem::take(&mut self.queue).into_iter().map(|queued| queued.bytes));
    }

    pub fn written(&mut self, bytes: usize) {
        self.writing_bytes = self.writing_bytes.saturating_sub(bytes);
    }

    /// `last` is the farewell; nothing is queued behind it.
    pub fn close(&mut self, discard: bool, last: Option<Bytes>) {
        if discard {
            self.queue.clear();
            self.push_bytes = 0;
            self.kept_bytes = 0;
        }
        if let Some(last) = last {
            self.keep(last);
        }
        self.flow = Flow::Live;
        self.closed = true;
    }
}

impl Held {
    fn offer(&mut self, push: &Bytes, bytes_max: usize) -> Offered {
        if self.missed || self.bytes + push.len() > bytes_max {
            *self = Held { missed: true, ..Held::default() };
            return Offered::LeftOut;
        }
        self.bytes += push.len();
        self.pushes.push(push.clone());
        Offered::Queued
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MAX: usize = 10;

    fn bytes(text: &'static str) -> Bytes {
        Bytes::from_static(text.as_bytes())
    }

    fn offer(outbound: &mut Outbound, text: &'static str) -> Offered {
        outbound.offer(&bytes(text), MAX, || Some(bytes("R")))
    }

    fn drain(outbound: &mut Outbound) -> Vec<Bytes> {
        let mut writing = VecDeque::new();
        outbound.take(&mut writing);
        writing.iter().for_each(|bytes| outbound.written(bytes.len()));
        writing.into()
    }

    #[test]
    fn at_the_bound_one_resync_takes_the_place_of_the_pushes_and_replies_stay() {
        let mut outbound = Outbound::default();
        assert_eq!(offer(&mut outbound, "aaaa"), Offered::Queued);
        outbound.keep(bytes("ack"));
        assert_eq!(offer(&mut outbound, "bbb"), Offered::Queued);
        assert_eq!(offer(&mut outbound, "c"), Offered::Overflowed(2));
        assert_eq!(offer(&mut outbound, "d"), Offered::LeftOut);
        assert_eq!(drain(&mut outbound), [bytes("ack"), bytes("R")]);
        assert_eq!(offer(&mut outbound, "e"), Offered::LeftOut, "no push before the last page");
    }

    #[test]
    fn bytes_being_written_count() {
        let mut outbound = Outbound::default();
        offer(&mut outbound, "aaaaaaaa");
        let mut writing = VecDeque::new();
        outbound.take(&mut writing);
        assert_eq!(offer(&mut outbound, "bbb"), Offered::Overflowed(0));
        outbound.written(8);
        assert_eq!(outbound.waiting_bytes(), 1);
    }

    #[test]
    fn one_larger_frame_passes_an_empty_queue_alone() {
        let mut outbound = Outbound::default();
        assert_eq!(offer(&mut outbound, "longer than ten"), Offered::Queued);
        assert_eq!(offer(&mut outbound, "x"), Offered::Overflowed(1));
        let mut outbound = Outbound::default();
        outbound.keep(bytes("longer than ten"));
        assert!(!outbound.is_over(MAX));
        outbound.keep(bytes("x"));
        assert!(outbound.is_over(MAX));
    }

    fn resyncing() -> Outbound {
        let mut outbound = Outbound::default();
        offer(&mut outbound, "aaaaaaaaa");
        offer(&mut outbound, "bb");
        drain(&mut outbound);
        outbound
    }

    #[test]
    fn what_comes_while_the_last_page_is_read_follows_it() {
        let mut outbound = resyncing();
        outbound.sync_begins();
        assert_eq!(offer(&mut outbound, "x"), Offered::Queued);
        assert!(!outbound.sync_ends(true, || None));
        outbound.sync_begins();
        assert_eq!(offer(&mut outbound, "y"), Offered::Queued, "x is in the page whose reading began after it");
        outbound.keep(bytes("page"));
        assert!(!outbound.sync_ends(false, || None));
        offer(&mut outbound, "z");
        assert_eq!(drain(&mut outbound), [bytes("page"), bytes("y"), bytes("z")]);
    }

    #[test]
    fn more_than_can_be_held_asks_for_another_resync() {
        let mut outbound = resyncing();
        outbound.sync_begins();
        offer(&mut outbound, "123456789");
        assert_eq!(offer(&mut outbound, "12"), Offered::LeftOut);
        assert_eq!(offer(&mut outbound, "1"), Offered::LeftOut);
        assert!(outbound.sync_ends(false, || Some(bytes("R2"))));
        assert_eq!(drain(&mut outbound), [bytes("R2")]);
        assert_eq!(offer(&mut outbound, "x"), Offered::LeftOut);
    }

    #[test]
    fn a_sync_that_nobody_asked_for_changes_nothing() {
        let mut outbound = Outbound::default();
        outbound.sync_begins();
        assert_eq!(offer(&mut outbound, "a"), Offered::Queued);
        assert!(!outbound.sync_ends(false, || Some(bytes("R"))));
        assert_eq!(drain(&mut outbound), [bytes("a")]);
    }

    #[test]
    fn nothing_follows_the_farewell() {
        let mut outbound = Outbound::default();
        offer(&mut outbound, "a");
        outbound.close(false, Some(bytes("bye")));
        outbound.keep(bytes("late"));
        assert_eq!(offer(&mut outbound, "late"), Offered::Closed);
        assert_eq!(drain(&mut outbound), [bytes("a"), bytes("bye")]);
    }
}
