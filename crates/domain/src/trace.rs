//! Where a piece of work stands in its trace, and how that travels (W3C trace context).
//!
//! Every hop of a message works under a span id of its own, chosen here, and hands it to the next hop, be that a call, a
//! commit or another process. A hop's `tracing` span carries it in the fields `trace` (this hop) and `parent` (the hop
//! before); the server turns such spans into OpenTelemetry's.
//!
//! **Invariant:** whether something is traced is decided once, where it comes in ([`Sampling`]). A [`Trace`] exists only of
//! what is traced; for the rest nothing is generated, carried or recorded.

use std::collections::hash_map::RandomState;
use std::fmt;
use std::hash::BuildHasher;
use std::sync::LazyLock;
use std::sync::atomic::{AtomicU64, Ordering};

/// Names all the work that one request caused. Not zero.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct TraceId(pub u128);

/// Names one hop of it. Not zero.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct SpanId(pub u64);

/// One hop of something that is traced. Shown as a W3C `traceparent`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Trace {
    id: TraceId,
    span: SpanId,
    parent: Option<SpanId>,
}

impl Trace {
    /// What another hop sent, and whether it traces this. `None`: not `00-<32 hex>-<16 hex>-<2 hex>`, or an id is zero.
    pub fn parse(traceparent: &str) -> Option<(Self, bool)> {
        let mut parts = traceparent.split('-');
        let (version, id, span, flags) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
        if version != "00" || parts.next().is_some() || !(is_hex(id, 32) && is_hex(span, 16) && is_hex(flags, 2)) {
            return None;
        }
        let id = u128::from_str_radix(id, 16).ok().filter(|id| *id != 0)?;
        let span = u64::from_str_radix(span, 16).ok().filter(|span| *span != 0)?;
        let flags = u8::from_str_radix(flags, 16).ok()?;
        Some((Self { id: TraceId(id), span: SpanId(span), parent: None }, flags & 1 == 1))
    }

    /// The hop that a traced hop before this one named, if it did.
    pub fn after(traceparent: Option<&str>) -> Option<Self> {
        let (before, is_traced) = Self::parse(traceparent?)?;
        is_traced.then(|| before.child())
    }

    /// A hop after this one.
    pub fn child(self) -> Self {
        let [span] = fresh();
        Self { id: self.id, span: SpanId(span), parent: Some(self.span) }
    }

    pub fn id(&self) -> TraceId {
        self.id
    }

    pub fn span(&self) -> SpanId {
        self.span
    }

    /// `None`: the first hop.
    pub fn parent(&self) -> Option<SpanId> {
        self.parent
    }
}

impl TraceId {
    /// For a request that is not traced but must be found in a log.
    pub fn new() -> Self {
        let [high, low] = fresh();
        Self(u128::from(high) << 64 | u128::from(low))
    }
}

impl Default for TraceId {
    fn default() -> Self {
        Self::new()
    }
}

/// Which share of what comes in is traced.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sampling {
    /// Of 2^64 draws.
    below: u64,
}

impl Sampling {
    pub const NOTHING: Self = Self { below: 0 };

    /// `share`: from 0.0, nothing, to 1.0, everything.
    pub fn of_share(share: f64) -> Self {
        // The conversion saturates at both ends.
        Self { below: (share * u64::MAX as f64) as u64 }
    }

    /// For something that begins here.
    pub fn begin(&self) -> Option<Trace> {
        self.draw().then(|| {
            let [span] = fresh();
            Trace { id: TraceId::new(), span: SpanId(span), parent: None }
        })
    }

    /// For something that a client traces: its wish alone would let strangers have everything traced.
    pub fn follow(&self, client: Trace) -> Option<Trace> {
        self.draw().then(|| client.child())
    }

    fn draw(&self) -> bool {
        let [drawn] = if self.below == 0 { return false } else { fresh() };
        drawn <= self.below
    }
}

/// Unique, not secret, not zero: a counter hashed with keys that the process drew at its start.
fn fresh<const N: usize>() -> [u64; N] {
    static KEYS: LazyLock<[RandomState; 2]> = LazyLock::new(Default::default);
    static COUNT: AtomicU64 = AtomicU64::new(0);
    let count = COUNT.fetch_add(1, Ordering::Relaxed);
    std::array::from_fn(|nth| KEYS[nth % 2].hash_one((count, nth)).max(1))
}

/// Lowercase only, as the standard has it.
fn is_hex(text: &str, length: usize) -> bool {
    text.len() == length && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
}

impl fmt::Display for Trace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "00-{}-{}-01", self.id, self.span)
    }
}

impl fmt::Display for TraceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

impl fmt::Display for SpanId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SENT: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

    #[test]
    fn a_hop_is_read_back_as_it_was_shown() {
        let first = Sampling::of_share(1.0).begin().unwrap();
        let second = Trace::after(Some(&first.to_string())).unwrap();
        assert_eq!((second.id(), second.parent()), (first.id(), Some(first.span())));
        assert_ne!(second.span(), first.span());
        assert_eq!(Trace::parse(SENT).unwrap().0.to_string(), SENT);
    }

    #[test]
    fn what_is_not_sound_is_not_taken_over() {
        let zero = "00-00000000000000000000000000000000-b7ad6b7169203331-01".to_owned();
        let long = format!("{SENT}-00");
        for unsound in ["".to_owned(), "00-1-2-3".to_owned(), SENT.to_uppercase(), long, zero, SENT.replace("00-", "+0-")] {
            assert_eq!(Trace::parse(&unsound), None, "{unsound}");
        }
        assert_eq!(Trace::after(Some(&SENT.replace("-01", "-00"))), None, "not traced by the hop before");
        assert_eq!(Trace::after(None), None);
    }

    #[test]
    fn a_share_is_kept_and_nothing_is_nothing() {
        let traced = |share: f64| (0..4_000).filter(|_| Sampling::of_share(share).begin().is_some()).count();
        assert_eq!((traced(0.0), traced(-1.0), traced(1.0), traced(7.0)), (0, 0, 4_000, 4_000));
        assert!((700..1_300).contains(&traced(0.25)), "a quarter, by chance");
        assert_eq!(Sampling::NOTHING.follow(Trace::parse(SENT).unwrap().0), None, "a client's wish is not enough");
    }
}
