//! Power cuts for tests: a preload library that knows which writes of a process are durable, and undoes the rest.
//!
//! Killing a process proves nothing about durability, for the kernel still writes what it had been given. This crate
//! owns a model of what a disk has promised. A process started with [`PowerCut::environment`] keeps an undo journal
//! of every change below its data folder; an fsync or fdatasync that came back without error forgets the changes it
//! covers; [`PowerCut::cut`], after the process has died, undoes what is left. It leaves to its callers when to kill,
//! what to check afterwards, and everything outside the data folder.
//!
//! **Invariant:** after a cut the data folder holds exactly what was fsynced: not less, or a test would fail a correct
//! program; not more, or it would pass a wrong one. A change that cannot be undone exactly makes the cut fail.
//!
//! # The model
//! - *Content* of a file (bytes and length) is durable when an fsync or fdatasync of it returns 0, as it was when that
//!   call began. What is written while the call runs is not. A failed call makes nothing durable.
//! - *Names* are durable when their folder is fsynced. Creating, removing and renaming (two entries, one per folder)
//!   are lost otherwise, even if the file itself was fsynced: POSIX promises no more, though ext4 and others do.
//!   [`Options::spare_names`] is kinder, as those file systems are.
//! - Neither `sync_file_range`, `sync`, `syncfs`, `msync`, `O_SYNC` nor closing makes anything durable.
//! - The cut is the worst that can happen: *nothing* undurable survives. Torn and reordered writes, where a part
//!   survives, are not modelled.
//! - A kill without a cut keeps the journal, so a later process on the same folders continues it. Several processes
//!   may share it, children included.
//! - Files named `*-shm` (SQLite's mapped WAL index) are never durable and are removed by every cut.
//!
//! # Limits
//! The library sees calls of the C library, as SQLite and `std::fs` make them: not statically linked programs, raw
//! system calls, io_uring, nor stdio (`fopen`). Permissions, times and extended attributes are not journalled, nor is
//! the binding of a socket or pipe. A folder is known by its path: removed and made again, it counts as the same.
//! Not undoable, so that the cut answers [`Error::Unsupported`]: renaming a folder, exchanging two names, renaming or
//! linking across the border of the data folder, writing through a shared mapping (but for `-shm`), `fallocate` that
//! moves bytes. Old bytes kept per file between two fsyncs are bounded by 1 GiB; at the bound the process aborts.
//! Both folders must be on one file system with hard links, and the journal's needs room: full, the process dies of
//! SIGBUS. Write-only descriptors become readable, and `splice` into a data file answers `EINVAL`.
//!
//! # Environment
//! | variable | meaning |
//! |---|---|
//! | `LD_PRELOAD` | the library; its path may hold neither spaces nor colons |
//! | `SKEIN_POWERCUT_DATA`, `SKEIN_POWERCUT_JOURNAL` | the two folders; without them the library does nothing |
//! | `SKEIN_POWERCUT_FSYNC_DELAY_US` | added to each fsync and fdatasync below the data folder |
//! | `SKEIN_POWERCUT_FSYNC_FAIL_AFTER` | the k-th and every later fsync of a data file fails with `EIO`, counted per process from 1 |
//! | `SKEIN_POWERCUT_KILL_AT_FSYNC` | the process kills itself with SIGKILL just before its k-th fsync of a data file |
//! | `SKEIN_POWERCUT_SKIP_REAL_FSYNC` | `1`: data files are not really flushed, for speed; the model is the same |
//! | `SKEIN_POWERCUT_SPARE_NAMES` | `1`: an fsync of a file makes its name durable, too |
//! | `SKEIN_POWERCUT_KEEP_NOTHING` | `1`: the faults without the journal of what files held; a cut fails |
//!
//! Slow and failing fsyncs and a full disk can also be switched on and off while the process runs: [`Switches`].

mod journal;
mod switches;
mod undo;

use std::{
    env,
    ffi::OsString,
    fs::{self, File, TryLockError},
    io,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    time::Duration,
};

pub use switches::Switches;
pub use undo::Undone;

/// The preload library, as built with this crate.
pub fn library() -> &'static Path {
    Path::new(concat!(env!("OUT_DIR"), "/libskein_powercut.so"))
}

/// Faults to plant in a process, beside the journalling. The default plants none.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// Added to each fsync below the data folder, before the real one.
    pub fsync_delay: Duration,
    /// This fsync of a data file, counted from 1, and all later ones fail with `EIO`.
    pub fail_from_fsync: Option<u64>,
    /// The process kills itself just before this fsync of a data file, counted from 1.
    pub kill_at_fsync: Option<u64>,
    /// Fsyncs count but do not reach the disk. A test that cuts the power only in the model loses nothing by it.
    pub skip_real_fsync: bool,
    /// An fsync of a file makes its name durable, too, as on ext4, XFS and Btrfs: for programs that rely on it.
    pub spare_names: bool,
    /// For measuring, where nobody cuts: old bytes are not kept, so that a write costs what it costs without the library.
    /// A cut fails then.
    pub keep_nothing: bool,
}

/// A data folder whose power can be cut, and the journal that makes it possible.
#[derive(Debug, Clone)]
pub struct PowerCut {
    data: PathBuf,
    journal: PathBuf,
}

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("{verb} {}", .path.display())]
    Io { verb: &'static str, path: PathBuf, source: io::Error },
    #[error("the journal must lie outside the data folder, on the same file system")]
    Misplaced,
    #[error("a process still holds the journal: kill it before the cut")]
    StillRunning,
    #[error("cannot be undone: {0}")]
    Unsupported(String),
    #[error("journal {} is damaged", .0.display())]
    Damaged(PathBuf),
}

impl Error {
    pub fn code(&self) -> &'static str {
        match self {
            Self::Io { .. } => "io",
            Self::Misplaced => "misplaced",
            Self::StillRunning => "still_running",
            Self::Unsupported(_) => "unsupported",
            Self::Damaged(_) => "damaged",
        }
    }

    fn io(verb: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::Io { verb, path: path.to_owned(), source }
    }
}

impl PowerCut {
    /// Creates both folders if they are missing. What the data folder holds already counts as durable, unless the
    /// journal knows better from an earlier process.
    pub fn new(data: &Path, journal: &Path) -> Result<Self, Error> {
        let ready = |folder: &Path| {
            fs::create_dir_all(folder).map_err(Error::io("create", folder))?;
            folder.canonicalize().map_err(Error::io("resolve", folder))
        };
        let device = |folder: &Path| Ok(fs::metadata(folder).map_err(Error::io("look at", folder))?.dev());
        let (data, journal) = (ready(data)?, ready(journal)?);
        if journal.starts_with(&data) || device(&data)? != device(&journal)? {
            return Err(Error::Misplaced);
        }
        Ok(Self { data, journal })
    }

    /// The variables to start a process with, for any kind of `Command`.
    pub fn environment(&self, options: &Options) -> Vec<(&'static str, OsString)> {
        let mut variables = vec![
            ("LD_PRELOAD", preload_list()),
            ("SKEIN_POWERCUT_DATA", self.data.clone().into()),
            ("SKEIN_POWERCUT_JOURNAL", self.journal.clone().into()),
            ("SKEIN_POWERCUT_FSYNC_DELAY_US", options.fsync_delay.as_micros().to_string().into()),
            ("SKEIN_POWERCUT_SKIP_REAL_FSYNC", u8::from(options.skip_real_fsync).to_string().into()),
            ("SKEIN_POWERCUT_SPARE_NAMES", u8::from(options.spare_names).to_string().into()),
            ("SKEIN_POWERCUT_KEEP_NOTHING", u8::from(options.keep_nothing).to_string().into()),
        ];
        let chosen =
            [("SKEIN_POWERCUT_FSYNC_FAIL_AFTER", options.fail_from_fsync), ("SKEIN_POWERCUT_KILL_AT_FSYNC", options.kill_at_fsync)];
        variables.extend(chosen.map(|(name, k)| (name, k.unwrap_or(0).to_string().into())));
        variables
    }

    /// For processes started from now on. All off, unless somebody has switched them.
    pub fn switches(&self) -> Result<Switches, Error> {
        Switches::in_journal(&self.journal)
    }

    /// Undoes everything that was not durable and empties the journal. Every process on the data folder must be dead
    /// and waited for; one that is not makes this fail with nothing changed.
    pub fn cut(&self) -> Result<Undone, Error> {
        let nobody_writes = self.lock_out_processes()?;
        let undone = undo::undo(&self.data, &self.journal).and_then(|undone| self.empty_journal().map(|()| undone));
        // Closing is not enough: a process that another thread forks has it open, too, until it runs its program.
        nobody_writes.unlock().map_err(Error::io("unlock", &self.journal))?;
        undone
    }

    fn lock_out_processes(&self) -> Result<File, Error> {
        let path = self.journal.join("alive");
        let alive = File::options().create(true).append(true).open(&path).map_err(Error::io("open", &path))?;
        match alive.try_lock() {
            Ok(()) => Ok(alive),
            Err(TryLockError::WouldBlock) => Err(Error::StillRunning),
            Err(TryLockError::Error(source)) => Err(Error::io("lock", &path)(source)),
        }
    }

    fn empty_journal(&self) -> Result<(), Error> {
        for path in undo::list(&self.journal)? {
            if !path.ends_with("alive") && !path.ends_with(switches::NAME) {
                fs::remove_file(&path).map_err(Error::io("remove", &path))?;
            }
        }
        Ok(())
    }
}

fn preload_list() -> OsString {
    let mut list = env::var_os("LD_PRELOAD").unwrap_or_default();
    if !list.is_empty() {
        list.push(":");
    }
    list.push(library());
    list
}
