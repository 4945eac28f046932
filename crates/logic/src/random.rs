//! Jitter: random numbers whose quality matters to nobody.

/// A number in `0..bound`; 0 for bounds below 2.
pub(crate) fn below(bound: i64) -> i64 {
    if bound < 2 {
        return 0;
    }
    // Without entropy there is no spread, which costs a burst and nothing else.
    let number = getrandom::u64().unwrap_or(0);
    (number % bound as u64) as i64
}
