//! The sync cursor: how far a client has everything, and while it pages, where the next page begins.

use crate::cursor::{self, CursorKind, bad_cursor};
use skein_domain::Result;
use skein_domain::id::{ConversationId, Epoch, Revision, Uid};

/// More shards than any store has; a cursor that names more is none of ours.
const SHARDS_MAX: u64 = 1_024;

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct SyncCursor {
    pub epoch: Epoch,
    /// Whom it was made for.
    pub uid: Uid,
    /// The client has everything up to these, per shard.
    pub from: Vec<Revision>,
    pub paging: Option<Paging>,
}

/// Between two pages.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Paging {
    /// What the client will have after the last page: taken before anything was read.
    pub to: Vec<Revision>,
    pub step: Step,
}

/// What comes next. First the conversations of one shard after the other, then the user log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Step {
    Conversations { shard: u16, above: ConversationId },
    Log { after: Revision },
}

impl SyncCursor {
    pub(super) fn seal(&self) -> String {
        let mut bytes = self.epoch.0.to_be_bytes().to_vec();
        put(&mut bytes, self.uid.0 as u64);
        put_revisions(&mut bytes, &self.from);
        if let Some(Paging { to, step }) = &self.paging {
            let (tag, number) = match step {
                Step::Conversations { shard, above } => (u64::from(*shard) + 1, above.0),
                Step::Log { after } => (0, after.0),
            };
            put(&mut bytes, tag);
            put(&mut bytes, number as u64);
            put_revisions(&mut bytes, to);
        }
        cursor::seal(CursorKind::Sync, &bytes)
    }

    /// `bad_cursor` for whatever was not made here, and for `uid`.
    pub(super) fn open(uid: Uid, text: &str) -> Result<Self> {
        let bytes = cursor::open(CursorKind::Sync, text)?;
        Self::read(&bytes).filter(|cursor| cursor.uid == uid).ok_or_else(bad_cursor)
    }

    fn read(bytes: &[u8]) -> Option<Self> {
        let (epoch, mut rest) = bytes.split_first_chunk::<8>()?;
        let uid = Uid(i64::try_from(take(&mut rest)?).ok()?);
        let from = take_revisions(&mut rest)?;
        let paging = if rest.is_empty() { None } else { Some(read_paging(&mut rest, from.len())?) };
        rest.is_empty().then_some(Self { epoch: Epoch(u64::from_be_bytes(*epoch)), uid, from, paging })
    }
}

fn read_paging(rest: &mut &[u8], shards: usize) -> Option<Paging> {
    let tag = take(rest)?;
    let number = i64::try_from(take(rest)?).ok()?;
    let step = match tag {
        0 => Step::Log { after: Revision(number) },
        tag => Step::Conversations { shard: u16::try_from(tag - 1).ok()?, above: ConversationId(number) },
    };
    let to = take_revisions(rest)?;
    (to.len() == shards).then_some(Paging { to, step })
}

fn put_revisions(bytes: &mut Vec<u8>, revisions: &[Revision]) {
    put(bytes, revisions.len() as u64);
    revisions.iter().for_each(|revision| put(bytes, revision.0 as u64));
}

fn take_revisions(rest: &mut &[u8]) -> Option<Vec<Revision>> {
    let shards = take(rest).filter(|shards| *shards <= SHARDS_MAX)?;
    (0..shards).map(|_| Some(Revision(i64::try_from(take(rest)?).ok()?))).collect()
}

/// Seven bits a byte, the lowest first.
fn put(bytes: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        bytes.push(number as u8 | 0x80);
        number >>= 7;
    }
    bytes.push(number as u8);
}

fn take(rest: &mut &[u8]) -> Option<u64> {
    let mut number = 0;
    for shift in (0..63).step_by(7) {
        let (byte, tail) = rest.split_first()?;
        *rest = tail;
        number |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Some(number);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use skein_domain::Code;

    fn step() -> impl Strategy<Value = Step> {
        let revision = 0..i64::MAX;
        prop_oneof![
            (any::<u16>(), revision.clone())
                .prop_map(|(shard, above)| Step::Conversations { shard: shard.min(u16::MAX - 1), above: ConversationId(above) }),
            revision.prop_map(|after| Step::Log { after: Revision(after) }),
        ]
    }

    fn any_cursor() -> impl Strategy<Value = SyncCursor> {
        let revisions = |n| prop::collection::vec((0..i64::MAX).prop_map(Revision), n);
        (any::<u64>(), 0..i64::MAX, 1..5usize).prop_flat_map(move |(epoch, uid, n)| {
            let paging = prop::option::of((revisions(n), step()).prop_map(|(to, step)| Paging { to, step }));
            (Just((Epoch(epoch), Uid(uid))), revisions(n), paging).prop_map(|((epoch, uid), from, paging)| SyncCursor {
                epoch,
                uid,
                from,
                paging,
            })
        })
    }

    proptest! {
        #[test]
        fn a_cursor_survives_its_text(cursor in any_cursor()) {
            prop_assert_eq!(SyncCursor::open(cursor.uid, &cursor.seal()).unwrap(), cursor);
        }

        #[test]
        fn no_text_makes_it_panic(text in ".{0,80}") {
            prop_assert_eq!(SyncCursor::open(Uid(1), &text).map_err(|error| error.code), Err(Code::BadCursor));
        }

        #[test]
        fn a_damaged_cursor_is_refused(cursor in any_cursor(), at in any::<prop::sample::Index>(), to in "[A-Za-z0-9_-]") {
            let text = cursor.seal();
            let at = at.index(text.len());
            prop_assume!(text[at..=at] != *to);
            let damaged = format!("{}{to}{}", &text[..at], &text[at + 1..]);
            prop_assert_eq!(SyncCursor::open(cursor.uid, &damaged).map_err(|error| error.code), Err(Code::BadCursor));
        }

        #[test]
        fn no_payload_makes_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..64)) {
            let _ = SyncCursor::open(Uid(1), &cursor::seal(CursorKind::Sync, &bytes));
        }
    }

    #[test]
    fn a_cursor_of_one_shard_is_short() {
        let cursor = SyncCursor { epoch: Epoch(u64::MAX), uid: Uid(1_000_000), from: vec![Revision(1_000_000_000)], paging: None };
        assert!(cursor.seal().len() <= 32, "{}", cursor.seal());
    }
}
