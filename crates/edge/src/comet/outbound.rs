//! What waits for one connection, counted in bytes. No IO.
//!
//! **Bound:** `bytes_max` (64 KiB) per connection; one larger frame passes an empty queue. At the bound the oldest live
//! pushes make room. If that is not enough the queued pushes of chat are discarded and one `resync` takes their place;
//! from then on the connection is *resyncing* and gets no such push until its last page of sync is answered. Replies are
//! never discarded; if they alone exceed the bound the connection is slow.
//!
//! **Invariant:** live pushes (see [`Outbound::offer_live`]) are nobody's resync: no sync covers them, and none is asked for
//! in their place.
//!
//! **Invariant:** a push of chat that is left out is covered by a page of sync that is read later, or by another `resync`. Pushes
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
    live_bytes: usize,
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
    kind: Kind,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Kept,
    Push,
    Live,
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
    /// Queued, and so many older live pushes were given up for it.
    Displacing(usize),
    /// A live push for which there is no room.
    Dropped,
    /// The connection is being resynced: sync will tell.
    LeftOut,
    /// This push and so many queued ones were given up for one `resync`.
    Overflowed(usize),
    Closed,
    /// It has no form that this peer reads.
    NotForIt,
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
        match self.make_room(push.len(), bytes_max) {
            None => Offered::Overflowed(self.overflow(resync)),
            Some(displaced) => {
                self.enqueue(push.clone(), Kind::Push);
                queued_at_the_price_of(displaced)
            }
        }
    }

    /// A push that nothing makes up for, and nothing needs to.
    pub fn offer_live(&mut self, push: &Bytes, bytes_max: usize) -> Offered {
        if self.closed {
            return Offered::Closed;
        }
        match self.make_room(push.len(), bytes_max) {
            None => Offered::Dropped,
            Some(displaced) => {
                self.enqueue(push.clone(), Kind::Live);
                queued_at_the_price_of(displaced)
            }
        }
    }

    /// Gives up as many of the oldest live pushes as it takes, and says how many; `None`, and none, if all are not enough.
    fn make_room(&mut self, bytes: usize, bytes_max: usize) -> Option<usize> {
        let waiting = self.waiting_bytes();
        if waiting == 0 || waiting + bytes <= bytes_max {
            return Some(0);
        }
        let rest = waiting - self.live_bytes;
        if rest > 0 && rest + bytes > bytes_max {
            return None;
        }
        let mut displaced = 0;
        while self.waiting_bytes() > 0 && self.waiting_bytes() + bytes > bytes_max {
            // The first of all, but for replies.
            let oldest = self.queue.iter().position(|queued| queued.kind == Kind::Live)?;
            let given_up = self.queue.remove(oldest)?;
            self.live_bytes -= given_up.bytes.len();
            displaced += 1;
        }
        Some(displaced)
    }

    fn enqueue(&mut self, bytes: Bytes, kind: Kind) {
        *self.count(kind) += bytes.len();
        self.queue.push_back(Queued { bytes, kind });
    }

    fn count(&mut self, kind: Kind) -> &mut usize {
        match kind {
            Kind::Kept => &mut self.kept_bytes,
            Kind::Push => &mut self.push_bytes,
            Kind::Live => &mut self.live_bytes,
        }
    }

    fn overflow(&mut self, resync: impl FnOnce() -> Option<Bytes>) -> usize {
        let before = self.queue.len();
        self.queue.retain(|queued| queued.kind != Kind::Push);
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
            self.enqueue(bytes, Kind::Kept);
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
        self.push_bytes + self.live_bytes + self.kept_bytes + self.writing_bytes
    }

    /// Pushes are left out or held until the last page of sync is answered.
    pub fn is_resyncing(&self) -> bool {
        !matches!(self.flow, Flow::Live)
    }

    pub fn is_closed(&self) -> bool {
        self.closed
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
            self.enqueue(push, Kind::Push);
        }
        false
    }

    /// Moves what is queued to `writing`, in order, until `bytes_max` is reached.
    pub fn take(&mut self, writing: &mut VecDeque<Bytes>, bytes_max: usize) {
        let mut taken = 0;
        while taken < bytes_max
            && let Some(Queued { bytes, kind }) = self.queue.pop_front()
        {
            taken += bytes.len();
            *self.count(kind) -= bytes.len();
            writing.push_back(bytes);
        }
        self.writing_bytes += taken;
        if self.queue.is_empty() {
            // An idle connection holds no buffer.
            self.queue = VecDeque::new();
        }
    }

    pub fn written(&mut self, bytes: usize) {
        self.writing_bytes = self.writing_bytes.saturating_sub(bytes);
    }

    /// `last` is the farewell; nothing is queued behind it.
    pub fn close(&mut self, discard: bool, last: Option<Bytes>) {
        if discard {
            self.queue.clear();
            (self.push_bytes, self.live_bytes, self.kept_bytes) = (0, 0, 0);
        }
        if let Some(last) = last {
            self.keep(last);
        }
        self.flow = Flow::Live;
        self.closed = true;
    }
}

fn queued_at_the_price_of(displaced: usize) -> Offered {
    if displaced == 0 { Offered::Queued } else { Offered::Displacing(displaced) }
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
        outbound.take(&mut writing, usize::MAX);
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
        outbound.take(&mut writing, usize::MAX);
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

    fn offer_live(outbound: &mut Outbound, text: &'static str) -> Offered {
        outbound.offer_live(&bytes(text), MAX)
    }

    #[test]
    fn at_the_bound_the_oldest_live_pushes_go_and_replies_stay() {
        let mut outbound = Outbound::default();
        offer_live(&mut outbound, "aaa");
        outbound.keep(bytes("ack"));
        offer_live(&mut outbound, "bbb");
        assert_eq!(offer_live(&mut outbound, "ccccc"), Offered::Displacing(2));
        assert_eq!(drain(&mut outbound), [bytes("ack"), bytes("ccccc")]);
        outbound.keep(bytes("a long reply"));
        assert_eq!(offer_live(&mut outbound, "x"), Offered::Dropped);
    }

    #[test]
    fn live_pushes_make_room_for_chat_and_cause_no_resync() {
        let mut outbound = Outbound::default();
        offer_live(&mut outbound, "aaaa");
        offer_live(&mut outbound, "bbbb");
        assert_eq!(offer(&mut outbound, "chat"), Offered::Displacing(1));
        assert_eq!(offer(&mut outbound, "chats"), Offered::Displacing(1));
        assert_eq!(offer(&mut outbound, "zz"), Offered::Overflowed(2));
        assert_eq!(offer_live(&mut outbound, "live"), Offered::Queued, "no sync would bring it");
        assert_eq!(drain(&mut outbound), [bytes("R"), bytes("live")]);
    }

    #[test]
    fn what_is_taken_in_parts_keeps_its_order() {
        let mut outbound = Outbound::default();
        for text in ["aa", "bb", "cc"] {
            offer_live(&mut outbound, text);
        }
        let mut writing = VecDeque::new();
        outbound.take(&mut writing, 3);
        assert_eq!(writing, [bytes("aa"), bytes("bb")]);
        assert_eq!(outbound.waiting_bytes(), 6);
        outbound.take(&mut writing, 3);
        assert_eq!(writing.back(), Some(&bytes("cc")));
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
