//! The journal's bytes, as `preload/journal.h` lays them out: reads the live part of a log and cuts it into records.
//!
//! **Invariant:** records between `start` and `tail` are whole, whenever the writer was killed; anything else is
//! [`Error::Damaged`], never skipped.

use crate::Error;
use std::{
    fs::File,
    os::unix::{ffi::OsStringExt, fs::FileExt},
    path::{Path, PathBuf},
};

const MAGIC: u64 = u64::from_le_bytes(*b"SkenLog1");
const HEADER_BYTES: usize = 64;

/// Old bytes of a file, and how long it was.
pub struct ContentRecord {
    pub offset: u64,
    pub old_bytes: Vec<u8>,
    pub old_size: u64,
}

/// What a name in a folder was bound to.
pub struct EntryRecord {
    /// Relative to the data folder.
    pub name: PathBuf,
    pub old: OldBinding,
}

pub enum OldBinding {
    Nothing,
    /// The number of the hard link that keeps it.
    File(u64),
    Folder {
        mode: u32,
    },
}

pub fn content_records(path: &Path) -> Result<Vec<ContentRecord>, Error> {
    let live = live_bytes(path)?;
    let mut reader = Reader { rest: &live };
    let mut records = Vec::new();
    while !reader.rest.is_empty() {
        records.push(reader.content().ok_or_else(|| Error::Damaged(path.to_owned()))?);
    }
    Ok(records)
}

pub fn entry_records(path: &Path) -> Result<Vec<EntryRecord>, Error> {
    let live = live_bytes(path)?;
    let mut reader = Reader { rest: &live };
    let mut records = Vec::new();
    while !reader.rest.is_empty() {
        records.extend(reader.entry().ok_or_else(|| Error::Damaged(path.to_owned()))?);
    }
    Ok(records)
}

/// Logs are sparse and huge; only what lies between `start` and `tail` is read.
fn live_bytes(path: &Path) -> Result<Vec<u8>, Error> {
    let file = File::open(path).map_err(Error::io("open", path))?;
    let mut header = [0; HEADER_BYTES];
    if file.metadata().map_err(Error::io("look at", path))?.len() < HEADER_BYTES as u64 {
        return Ok(Vec::new());
    }
    file.read_exact_at(&mut header, 0).map_err(Error::io("read", path))?;
    let word = |index: usize| u64::from_ne_bytes(std::array::from_fn(|byte| header[index * 8 + byte]));
    let (magic, start, tail) = (word(0), word(3), word(4));
    if magic != MAGIC || start >= tail {
        return Ok(Vec::new());
    }
    let mut live = vec![0; (tail - start) as usize];
    file.read_exact_at(&mut live, start).map_err(Error::io("read", path))?;
    Ok(live)
}

struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    fn content(&mut self) -> Option<ContentRecord> {
        let (offset, length, old_size) = (self.u64()?, self.u64()?, self.u64()?);
        let length = usize::try_from(length).ok()?;
        let old_bytes = self.bytes(length.checked_next_multiple_of(8)?)?[..length].to_vec();
        Some(ContentRecord { offset, old_bytes, old_size })
    }

    /// The inner option is empty for a record whose folder has been fsynced.
    fn entry(&mut self) -> Option<Option<EntryRecord>> {
        let whole = u32::from_ne_bytes(self.rest.get(..4)?.try_into().ok()?);
        let mut fields = Reader { rest: self.bytes(whole as usize)? };
        let (_, live, old, mode) = (fields.u32()?, fields.u32()?, fields.u32()?, fields.u32()?);
        let (keepsake, dir_bytes, name_bytes) = (fields.u64()?, fields.u32()?, fields.u32()?);
        let dir = fields.path(dir_bytes)?;
        let name = dir.join(fields.path(name_bytes)?);
        let old = match old {
            0 => OldBinding::Nothing,
            1 => OldBinding::File(keepsake),
            2 => OldBinding::Folder { mode },
            _ => return None,
        };
        Some((live != 0).then_some(EntryRecord { name, old }))
    }

    fn path(&mut self, length: u32) -> Option<PathBuf> {
        let bytes = self.bytes(length as usize)?.to_vec();
        Some(std::ffi::OsString::from_vec(bytes).into())
    }

    fn bytes(&mut self, count: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.rest.split_at_checked(count)?;
        self.rest = rest;
        Some(taken)
    }

    fn u32(&mut self) -> Option<u32> {
        Some(u32::from_ne_bytes(self.bytes(4)?.try_into().ok()?))
    }

    fn u64(&mut self) -> Option<u64> {
        Some(u64::from_ne_bytes(self.bytes(8)?.try_into().ok()?))
    }
}
