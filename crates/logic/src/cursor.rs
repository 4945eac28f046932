//! Opaque cursors: what a client hands back unread.
//!
//! **Invariant:** a text that was not made here, was cut, or is of another kind is `bad_cursor`. The checksum guards
//! against accidents; nobody gains anything by forging a cursor, for it opens nothing that its owner may not see.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sha2::{Digest, Sha256};
use skein_domain::{Code, Error, Result};

const CHECKSUM_BYTES: usize = 4;
/// Longer ones are not looked at.
const TEXT_BYTES_MAX: usize = 4_096;

/// Which list a cursor belongs to; also its format's version, so a number is never used again (1: sync, without its user).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum CursorKind {
    Sync = 8,
    Members = 2,
    Rooms = 3,
    Nicknames = 4,
    Requests = 5,
    Friends = 6,
    Blocked = 7,
}

pub(crate) fn seal(kind: CursorKind, payload: &[u8]) -> String {
    let mut bytes = vec![kind as u8];
    bytes.extend_from_slice(payload);
    let checksum = Sha256::digest(&bytes);
    bytes.extend_from_slice(&checksum[..CHECKSUM_BYTES]);
    URL_SAFE_NO_PAD.encode(bytes)
}

pub(crate) fn open(kind: CursorKind, text: &str) -> Result<Vec<u8>> {
    if text.len() > TEXT_BYTES_MAX {
        return Err(bad_cursor());
    }
    let mut bytes = URL_SAFE_NO_PAD.decode(text).map_err(|_| bad_cursor())?;
    let end = bytes.len().checked_sub(CHECKSUM_BYTES).ok_or_else(bad_cursor)?;
    let checksum = bytes.split_off(end);
    if bytes.first() != Some(&(kind as u8)) || Sha256::digest(&bytes)[..CHECKSUM_BYTES] != checksum[..] {
        return Err(bad_cursor());
    }
    bytes.remove(0);
    Ok(bytes)
}

/// The cursor of a list that goes by ids; empty at its end.
pub(crate) fn seal_id(kind: CursorKind, last: Option<i64>) -> String {
    last.map_or(String::new(), |id| seal(kind, &id.to_be_bytes()))
}

/// `None`: from the beginning.
pub(crate) fn open_id(kind: CursorKind, text: &str) -> Result<Option<i64>> {
    if text.is_empty() {
        return Ok(None);
    }
    let bytes = open(kind, text)?;
    let bytes = <[u8; 8]>::try_from(bytes.as_slice()).map_err(|_| bad_cursor())?;
    Ok(Some(i64::from_be_bytes(bytes)))
}

pub(crate) fn bad_cursor() -> Error {
    Error::new(Code::BadCursor, "this cursor was not made here")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cursors_of_other_lists_and_damaged_ones_are_refused() {
        let text = seal_id(CursorKind::Rooms, Some(7));
        assert_eq!(open_id(CursorKind::Rooms, &text).unwrap(), Some(7));
        assert_eq!(open_id(CursorKind::Rooms, "").unwrap(), None);
        for bad in [text.replace(&text[3..4], "_"), text[..text.len() - 1].into(), "x".into(), "käse".into(), "A".repeat(5_000)] {
            assert_eq!(open_id(CursorKind::Rooms, &bad).unwrap_err().code, Code::BadCursor, "{bad}");
        }
        assert_eq!(open_id(CursorKind::Members, &text).unwrap_err().code, Code::BadCursor);
    }
}
