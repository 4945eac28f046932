//! What of a conversation a member may see: from the join on, and for a former member up to the removal.
//!
//! **Invariant:** every way out (history, pull, sync, fan-out) asks here.

use skein_domain::conversation::{ConversationView, Member};
use skein_domain::fault::{Fault, planted};
use skein_domain::id::Seq;

/// Largest seq a client can name exactly.
const SEQ_MAX: Seq = Seq((1 << 53) - 1);

/// First and last seq `me` may see; not clipped to the head.
pub(crate) fn range(me: &Member) -> (Seq, Seq) {
    (me.visible_from, until(me).unwrap_or(SEQ_MAX))
}

pub(crate) fn sees(me: &Member, seq: Seq) -> bool {
    seq >= me.visible_from && until(me).is_none_or(|to| seq <= to)
}

/// The head as `me` may know it.
pub(crate) fn head(me: &Member, head: Seq) -> Seq {
    until(me).map_or(head, |to| to.min(head))
}

/// Takes out of a view what was said after a former member was removed.
pub(crate) fn clip(mut view: ConversationView) -> ConversationView {
    let me = &view.me;
    view.conversation.head = head(me, view.conversation.head);
    view.last = view.last.filter(|last| sees(me, last.seq));
    view
}

fn until(me: &Member) -> Option<Seq> {
    if planted(Fault::RemovedMemberServed) { None } else { me.visible_to }
}
