//! Faults that are switched on and off while the process runs, as its disk would fail and be mended.
//!
//! **Invariant:** what was switched is in force for every system call that begins afterwards, in every process on the data
//! folder that was started after the page was made.

use crate::Error;
use std::{
    fs::File,
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
    time::Duration,
};

pub(crate) const NAME: &str = "switches";
/// Layout known to preload/faults.h.
const FSYNC_DELAY_US: u64 = 0;
const FSYNC_FAILS: u64 = 8;
const FULL: u64 = 16;
const KILL_AFTER: u64 = 24;
const BYTES: u64 = 32;

/// A page the preload library looks at before each fsync and each write that makes a file longer.
#[derive(Debug)]
pub struct Switches {
    page: File,
    path: PathBuf,
}

impl Switches {
    pub(crate) fn in_journal(journal: &Path) -> Result<Self, Error> {
        let path = journal.join(NAME);
        let opened = File::options().create(true).truncate(false).read(true).write(true).open(&path);
        let page = opened.map_err(Error::io("open", &path))?;
        page.set_len(BYTES).map_err(Error::io("size", &path))?;
        Ok(Self { page, path })
    }

    /// Added to each fsync below the data folder.
    pub fn delay_fsync(&self, by: Duration) -> Result<(), Error> {
        self.set(FSYNC_DELAY_US, u64::try_from(by.as_micros()).unwrap_or(u64::MAX))
    }

    /// Every fsync below the data folder answers `EIO`.
    pub fn fail_fsync(&self, fails: bool) -> Result<(), Error> {
        self.set(FSYNC_FAILS, fails.into())
    }

    /// What would make a data file longer answers `ENOSPC`.
    pub fn fill_up(&self, is_full: bool) -> Result<(), Error> {
        self.set(FULL, is_full.into())
    }

    /// The process kills itself just before its n-th fsync of a data file from now on; 0: it does not.
    pub fn kill_after(&self, n: u64) -> Result<(), Error> {
        self.set(KILL_AFTER, n)
    }

    fn set(&self, at: u64, value: u64) -> Result<(), Error> {
        self.page.write_all_at(&value.to_ne_bytes(), at).map_err(Error::io("write", &self.path))
    }
}
