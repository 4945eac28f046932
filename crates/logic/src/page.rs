//! How much fits into an answer.
//!
//! **Invariant:** an answer's size is estimated by its domain values as JSON, which is more than any codec makes of them.
//! One item alone may exceed the budget: it is at most one message, its size bounded by policy.

use serde::Serialize;
use skein_domain::id::Seq;
use std::io::Write;

/// Bytes of `value` as JSON.
pub(crate) fn json_bytes<T: Serialize>(value: &T) -> usize {
    let mut counter = Counter(0);
    match serde_json::to_writer(&mut counter, value) {
        Ok(()) => counter.0,
        // Nothing in the domain fails to serialize; if it did, it would not fit.
        Err(_) => usize::MAX / 4,
    }
}

struct Counter(usize);

impl Write for Counter {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0 += bytes.len();
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// Which end of a page is kept when not all of it fits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Keep {
    Oldest,
    Newest,
}

/// The last seq (counted from the end that is kept) that still fits; `None`: all do. One always does.
pub(crate) fn cut(mut sizes: Vec<(Seq, usize)>, keep: Keep, budget: usize) -> Option<Seq> {
    sizes.sort_unstable_by_key(|(seq, _)| *seq);
    if keep == Keep::Newest {
        sizes.reverse();
    }
    let mut used = 0;
    let mut last = None;
    for (seq, size) in sizes {
        used += size;
        if used > budget && last.is_some() {
            return last;
        }
        last = Some(seq);
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_are_cut_at_the_far_end() {
        let sizes = || vec![(Seq(2), 10), (Seq(1), 10), (Seq(3), 10)];
        assert_eq!(cut(sizes(), Keep::Oldest, 30), None);
        assert_eq!(cut(sizes(), Keep::Oldest, 29), Some(Seq(2)));
        assert_eq!(cut(sizes(), Keep::Newest, 29), Some(Seq(2)));
        assert_eq!(cut(sizes(), Keep::Newest, 1), Some(Seq(3)), "one always fits");
        assert_eq!(cut(vec![(Seq(1), 10)], Keep::Newest, 1), None);
    }

    #[test]
    fn sizes_are_those_of_the_json() {
        let value = serde_json::json!({ "text": "käse\n", "n": [1, 2] });
        assert_eq!(json_bytes(&value), value.to_string().len());
    }
}
