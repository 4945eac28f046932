//! What the operating system allows one process: open files, one a connection.
//!
//! **Invariant:** `skein serve` takes as many as it may have; the soft limit is for programs that cannot count.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use std::fmt;

/// Fewer are a warning: each connection is one.
pub const OPEN_FILES_WANTED: u64 = 65_536;

/// Of this process: what it has, and what it may give itself. `None` is no limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OpenFiles {
    pub soft: Option<u64>,
    pub hard: Option<u64>,
}

impl OpenFiles {
    pub fn now() -> Self {
        let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
        Self { soft: current, hard: maximum }
    }

    /// As many as it may have. Returns what it has then; an operating system that refuses leaves it as it was.
    pub fn raise() -> Self {
        let before = Self::now();
        if before.soft != before.hard
            && let Err(error) = setrlimit(Resource::Nofile, Rlimit { current: before.hard, maximum: before.hard })
        {
            tracing::warn!(%error, %before, "limit of open files cannot be raised");
        }
        Self::now()
    }

    /// When `skein serve` has raised it.
    pub fn is_plenty(&self) -> bool {
        self.hard.is_none_or(|hard| hard >= OPEN_FILES_WANTED)
    }
}

impl fmt::Display for OpenFiles {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown = |limit: Option<u64>| limit.map_or_else(|| "no limit".to_owned(), |limit| limit.to_string());
        match self.soft == self.hard {
            true => f.write_str(&shown(self.soft)),
            false => write!(f, "{}, raised to {} at the start", shown(self.soft), shown(self.hard)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_told_is_what_a_server_will_have() {
        let limits = |soft, hard| OpenFiles { soft, hard };
        assert_eq!(limits(Some(1_024), Some(1_048_576)).to_string(), "1024, raised to 1048576 at the start");
        assert_eq!(limits(Some(4_096), Some(4_096)).to_string(), "4096");
        assert_eq!(limits(Some(1_024), None).to_string(), "1024, raised to no limit at the start");
        assert!(limits(Some(1_024), Some(65_536)).is_plenty() && limits(None, None).is_plenty());
        assert!(!limits(Some(1_024), Some(65_535)).is_plenty());
    }
}
