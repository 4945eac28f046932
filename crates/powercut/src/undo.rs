//! The cut itself: first the content of every file that still has a name or a keepsake, then the names, backwards.
//!
//! **Invariant:** content and names are independent (content belongs to the inode), so the order between them is
//! free; content goes first because afterwards some inodes are gone.

use crate::{
    Error,
    journal::{self, ContentRecord, EntryRecord, OldBinding},
};
use std::{
    collections::HashMap,
    ffi::OsStr,
    fs::{self, File, Permissions},
    io::{self, ErrorKind},
    os::unix::{
        ffi::OsStrExt,
        fs::{FileExt, MetadataExt, PermissionsExt},
    },
    path::{Path, PathBuf},
};

/// What a cut took back. Both are 0 if everything was durable.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Undone {
    /// Files whose content went back to an older state.
    pub files: usize,
    /// Changes of names (created, removed, renamed) taken back.
    pub names: usize,
}

pub fn undo(data: &Path, journal: &Path) -> Result<Undone, Error> {
    refuse_unsupported(journal)?;
    let files = undo_contents(data, journal)?;
    let names = undo_names(data, journal)?;
    remove_volatile(data)?;
    Ok(Undone { files, names })
}

/// Everything in a folder, not following links.
pub fn list(folder: &Path) -> Result<Vec<PathBuf>, Error> {
    let entries = fs::read_dir(folder).map_err(Error::io("list", folder))?;
    entries.map(|entry| Ok(entry.map_err(Error::io("list", folder))?.path())).collect()
}

fn refuse_unsupported(journal: &Path) -> Result<(), Error> {
    let path = journal.join("unsupported");
    match fs::read_to_string(&path) {
        Ok(what) => Err(Error::Unsupported(what)),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        Err(error) => Err(Error::io("read", &path)(error)),
    }
}

// === content ===

fn undo_contents(data: &Path, journal: &Path) -> Result<usize, Error> {
    let logs = list(journal)?;
    let mut paths = HashMap::new();
    remember_inodes(data, &mut paths)?;
    for keepsake in logs.iter().filter(|path| numbered(path, "k-").is_some()) {
        remember_inode(keepsake, &mut paths)?;
    }
    let mut files = 0;
    for log in &logs {
        // An inode without any path has been removed for good.
        let Some(path) = numbered(log, "i-").and_then(|inode| paths.get(&inode)) else { continue };
        let records = journal::content_records(log)?;
        files += usize::from(!records.is_empty());
        undo_content(path, &records).map_err(Error::io("undo writes to", path))?;
    }
    Ok(files)
}

fn undo_content(path: &Path, records: &[ContentRecord]) -> io::Result<()> {
    if records.is_empty() {
        return Ok(());
    }
    let file = File::options().write(true).open(path)?;
    for record in records.iter().rev() {
        file.set_len(record.old_size)?;
        file.write_all_at(&record.old_bytes, record.offset)?;
    }
    Ok(())
}

fn numbered(path: &Path, kind: &str) -> Option<u64> {
    path.file_name()?.to_str()?.strip_prefix(kind)?.parse().ok()
}

fn remember_inodes(folder: &Path, paths: &mut HashMap<u64, PathBuf>) -> Result<(), Error> {
    for path in list(folder)? {
        if is_folder(&path)? {
            remember_inodes(&path, paths)?;
        } else {
            remember_inode(&path, paths)?;
        }
    }
    Ok(())
}

fn remember_inode(path: &Path, paths: &mut HashMap<u64, PathBuf>) -> Result<(), Error> {
    let found = path.symlink_metadata().map_err(Error::io("look at", path))?;
    if found.is_file() {
        paths.insert(found.ino(), path.to_owned());
    }
    Ok(())
}

fn is_folder(path: &Path) -> Result<bool, Error> {
    Ok(path.symlink_metadata().map_err(Error::io("look at", path))?.is_dir())
}

// === names ===

fn undo_names(data: &Path, journal: &Path) -> Result<usize, Error> {
    let log = journal.join("entries");
    if !log.exists() {
        return Ok(0);
    }
    let records = journal::entry_records(&log)?;
    for record in records.iter().rev() {
        let path = data.join(&record.name);
        rebind(&path, record, journal).map_err(Error::io("undo the change of", &path))?;
    }
    Ok(records.len())
}

fn rebind(path: &Path, record: &EntryRecord, journal: &Path) -> io::Result<()> {
    if !path.parent().is_some_and(Path::is_dir) {
        return Ok(()); // its folder is durably gone, or has just been undone
    }
    match record.old {
        OldBinding::Nothing => remove_any(path),
        OldBinding::File(keepsake) => {
            remove_any(path)?;
            fs::hard_link(journal.join(format!("k-{keepsake}")), path)
        }
        OldBinding::Folder { mode } => {
            if !path.is_dir() {
                fs::create_dir(path)?;
            }
            fs::set_permissions(path, Permissions::from_mode(mode))
        }
    }
}

fn remove_any(path: &Path) -> io::Result<()> {
    match path.symlink_metadata() {
        Ok(found) if found.is_dir() => fs::remove_dir_all(path),
        Ok(_) => fs::remove_file(path),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error),
    }
}

fn remove_volatile(folder: &Path) -> Result<(), Error> {
    for path in list(folder)? {
        if is_folder(&path)? {
            remove_volatile(&path)?;
        } else if path.file_name().map(OsStr::as_bytes).is_some_and(|name| name.ends_with(b"-shm")) {
            fs::remove_file(&path).map_err(Error::io("remove", &path))?;
        }
    }
    Ok(())
}
