//! The data folder and its lock: one server at a time.
//!
//! **Invariant:** folder 0700, files 0600. The lock lives as long as its file is open; the system lifts it when the
//! process dies, however it dies.

use super::OpenError;
use std::fs::{DirBuilder, File, OpenOptions, Permissions, TryLockError};
use std::io::{Read, Seek, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::Path;
use std::time::{Duration, Instant};

/// The store's own; what else runs on the folder takes others.
pub(super) const LOCK_FILE: &str = "lock";
const LOCK_PATIENCE: Duration = Duration::from_millis(500);
const LOCK_LOOK_EVERY: Duration = Duration::from_millis(10);

/// Makes the folder if there is none (its name is then as durable as what it will hold), and closes it to others.
pub(super) fn prepare_folder(folder: &Path) -> std::io::Result<()> {
    if !folder.is_dir() {
        DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
        let parent = folder.parent().filter(|parent| !parent.as_os_str().is_empty());
        File::open(parent.unwrap_or(Path::new(".")))?.sync_all()?;
    }
    std::fs::set_permissions(folder, Permissions::from_mode(0o700))
}

/// Takes a lock of the folder, the file `name` in it, and writes our process id into it. It is held until the file is
/// dropped. Refused while another process (or another holder in this one) has it, naming the holder. One that is just dying, or has just forked a child that inherits its files until it becomes
/// another program, is given [`LOCK_PATIENCE`].
pub fn lock(folder: &Path, name: &str) -> Result<File, OpenError> {
    let path = folder.join(name);
    let mut file = open_private(&path)?;
    let deadline = Instant::now() + LOCK_PATIENCE;
    loop {
        match file.try_lock() {
            Ok(()) => break,
            // The system tells nobody when a lock becomes free in time: looking again is all there is.
            Err(TryLockError::WouldBlock) if Instant::now() < deadline => std::thread::park_timeout(LOCK_LOOK_EVERY),
            Err(TryLockError::WouldBlock) => return Err(OpenError::Locked { folder: folder.to_owned(), holder: holder(&mut file) }),
            Err(TryLockError::Error(error)) => return Err(error.into()),
        }
    }
    file.set_len(0)?;
    file.rewind()?;
    write!(file, "{}", std::process::id())?;
    Ok(file)
}

/// Creates the file readable by its owner only; SQLite gives its side files the same mode.
pub(super) fn open_private(path: &Path) -> std::io::Result<File> {
    OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o600).open(path)
}

fn holder(file: &mut File) -> String {
    let mut pid = String::new();
    match file.read_to_string(&mut pid) {
        Ok(_) if !pid.trim().is_empty() => format!("process {}", pid.trim()),
        _ => "another process".to_owned(),
    }
}
