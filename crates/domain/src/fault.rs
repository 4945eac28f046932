//! Faults planted on purpose, so that the checker can be checked: with any of them it must fail.
//!
//! **Invariant:** without the feature `planted-faults`, [`planted`] is a constant `false` and costs nothing.

use std::time::Duration;

macro_rules! faults {
    ($($(#[$doc:meta])* $variant:ident = $name:literal),* $(,)?) => {
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum Fault { $($(#[$doc])* $variant),* }

        impl Fault {
            pub const ALL: &'static [Fault] = &[$(Fault::$variant),*];

            pub fn as_str(self) -> &'static str {
                match self { $(Fault::$variant => $name),* }
            }
        }
    };
}

faults! {
    /// The ack leaves before the transaction is committed.
    AckBeforeCommit = "ack-before-commit",
    /// A retry with a known key is stored again.
    KeyNotChecked = "key-not-checked",
    /// Numbers are taken from memory instead of inside the transaction.
    SeqOutsideTransaction = "seq-outside-transaction",
    /// Entries committed but not published before a restart are never published.
    LeftoversNotPublished = "leftovers-not-published",
    /// A session enters hub and registry only after its first sync page was read.
    RegisteredAfterSync = "registered-after-sync",
    /// A slow connection's pushes are discarded without telling it to resync.
    ResyncLost = "resync-lost",
    /// Sync leaves out one page.
    SyncPageSkipped = "sync-page-skipped",
    /// A removed member still gets what is said afterwards.
    RemovedMemberServed = "removed-member-served",
    /// The relay moves its position over records that are not published yet.
    AdvancedBeforeAck = "advanced-before-ack",
    /// Records of the log are reported as finished when they are taken, and fanned out later.
    FinishedBeforeFanOut = "finished-before-fan-out",
}

/// How long "yet" and "later" are in faults of a wrong order: a kill finds the time in between.
pub const LATER: Duration = Duration::from_millis(400);

/// Name of the environment variable that plants a fault in a build that can have one.
pub const ENV: &str = "SKEIN_PLANTED_FAULT";

#[cfg(feature = "planted-faults")]
pub fn planted(fault: Fault) -> bool {
    static PLANTED: std::sync::OnceLock<Option<String>> = std::sync::OnceLock::new();
    PLANTED.get_or_init(|| std::env::var(ENV).ok()).as_deref() == Some(fault.as_str())
}

#[cfg(not(feature = "planted-faults"))]
#[inline(always)]
pub fn planted(_fault: Fault) -> bool {
    false
}
