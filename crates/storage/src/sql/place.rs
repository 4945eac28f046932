//! What an entry is and where it stands, for those who write it and for what it does besides.

use skein_domain::conversation::Conversation;
use skein_domain::id::{CountNo, Millis, Revision, Seq};

// The kinds that statements ask for, as numbers in their column.
pub(crate) const MESSAGE: i64 = 0;
pub(crate) const EDITED: i64 = 1;
pub(crate) const RECALLED: i64 = 2;

/// An entry's place: what its effects need to know.
pub(crate) struct Place {
    pub conversation: Conversation,
    pub seq: Seq,
    pub revision: Revision,
    pub count: CountNo,
    pub at: Millis,
}
