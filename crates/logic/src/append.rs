//! Everything that becomes an entry: from a command to its ack.
//!
//! **Invariant:** commands on one conversation are judged and handed to the store in the order in which they were called.
//! The line is held from before the facts are read until the store has queued the append, and let go before the commit is
//! awaited; a change of policy keeps it until its commit, so that what follows is judged by what it did. Only a policy
//! moved from elsewhere makes a command queue again; one that names `after` is then refused rather than reordered.
//!
//! **Invariant:** a command whose first try was stored is acked on every retry, whatever the policy says by now: before a
//! refusal leaves, the store is asked whether it knows the key.

use crate::account::rate::RateLimit;
use crate::job::Backlog;
use crate::snapshots::Snapshots;
use crate::traces::Traces;
use crate::turns::{Turn, Turns};
use skein_domain::command::Reply;
use skein_domain::conversation::{Kind, Member, Snapshot, Standing};
use skein_domain::entry::{EntryEvent, MessageState};
use skein_domain::id::{ConversationId, IdempotencyKey, PolicyVersion, Seq, Uid};
use skein_domain::policy::{self, Case};
use skein_domain::port::{AccountStore, Append, Appended, Clock, ContactStore, ConversationStore, MessageStore};
use skein_domain::trace::Trace;
use skein_domain::{Code, Error, Limits, Result};
use std::future::Future;
use std::sync::Arc;
use tracing::{Instrument, Span};

/// How often a command is judged when the policy keeps moving; then `busy`.
const JUDGED_MAX: u32 = 3;
/// No conversation ever has it: an append judged on it is stored by nobody, but answered if its key is known.
const NO_VERSION: PolicyVersion = PolicyVersion(-1);

#[derive(Clone)]
pub(crate) struct Appends {
    ports: AppendPorts,
    snapshots: Snapshots,
    traces: Traces,
    backlog: Backlog,
    turns: Turns<ConversationId>,
    rate: Arc<RateLimit>,
    clock: Arc<dyn Clock>,
    limits: Arc<Limits>,
}

#[derive(Clone)]
pub(crate) struct AppendPorts {
    pub messages: Arc<dyn MessageStore>,
    pub conversations: Arc<dyn ConversationStore>,
    pub contacts: Arc<dyn ContactStore>,
    pub accounts: Arc<dyn AccountStore>,
}

/// What somebody wants to be an entry.
#[derive(Clone)]
pub(crate) struct Draft {
    pub conversation: ConversationId,
    pub author: Uid,
    pub key: IdempotencyKey,
    pub after: Option<IdempotencyKey>,
    pub event: EntryEvent,
    /// The hop that asks, if it is traced.
    pub trace: Option<Trace>,
}

/// What a draft is judged by.
struct Facts {
    snapshot: Arc<Snapshot>,
    room_members: Vec<Member>,
    target: Option<MessageState>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Age {
    Any,
    Now,
}

impl Appends {
    pub(crate) fn new(
        ports: AppendPorts,
        snapshots: Snapshots,
        traces: Traces,
        backlog: Backlog,
        rate: RateLimit,
        clock: Arc<dyn Clock>,
        limits: Arc<Limits>,
    ) -> Self {
        Self { ports, snapshots, traces, backlog, turns: Turns::new(), rate: Arc::new(rate), clock, limits }
    }

    /// Takes its place in the conversation's line at once; the rest happens when polled.
    pub(crate) fn append(&self, draft: Draft) -> impl Future<Output = Result<Reply>> + Send + 'static {
        let allowed = self.rate.check(draft.author);
        let turn = self.turns.take(draft.conversation);
        let this = self.clone();
        async move {
            allowed?;
            let stored = this.store(turn, &draft).await;
            this.judge_trace(&draft, &stored);
            let appended = stored?;
            let epoch = this.ports.messages.epoch();
            Ok(Reply::Ack { conversation: draft.conversation, key: draft.key, seq: appended.seq, at: appended.at, epoch })
        }
    }

    async fn store(&self, turn: Turn<ConversationId>, draft: &Draft) -> Result<Appended> {
        let mut held = turn.wait().await;
        if let Err(refusal) = self.backlog.check() {
            return self.unless_known(draft, refusal).await;
        }
        for _ in 0..JUDGED_MAX {
            let version = match self.judge(draft).await {
                Ok(version) => version,
                Err(refusal) if depends_on_the_moment(refusal.code) => return self.unless_known(draft, refusal).await,
                Err(error) => return Err(error),
            };
            let span = self.hop(draft);
            let committing = self.ports.messages.append(self.append_of(draft, version)).instrument(span);
            let outcome = if draft.event.is_policy() {
                let outcome = committing.await;
                self.snapshots.forget(draft.conversation);
                outcome
            } else {
                drop(held);
                committing.await
            };
            match outcome {
                Err(error) if error.code == Code::PolicyMoved => {
                    metrics::counter!("skein_policy_moved_total").increment(1);
                    self.snapshots.forget(draft.conversation);
                    held = self.turns.take(draft.conversation).wait().await;
                }
                outcome => return outcome.map_err(maybe_stored),
            }
        }
        Err(Error::new(Code::Busy, "the conversation is changing too fast").retry_after(200))
    }

    /// The policy version by which the draft is allowed. Only facts read just now refuse.
    async fn judge(&self, draft: &Draft) -> Result<PolicyVersion> {
        let version = match self.judge_by(draft, Age::Any).await {
            Ok(version) => version,
            Err(refusal) if depends_on_the_moment(refusal.code) => self.judge_by(draft, Age::Now).await?,
            Err(error) => return Err(error),
        };
        if let EntryEvent::Joined { uids } = &draft.event {
            self.may_be_invited(draft.author, uids).await?;
        }
        Ok(version)
    }

    async fn judge_by(&self, draft: &Draft, age: Age) -> Result<PolicyVersion> {
        let facts = self.facts(draft, age).await?;
        let case = Case {
            snapshot: &facts.snapshot,
            author: draft.author,
            room_members: &facts.room_members,
            limits: &self.limits,
            now: self.clock.now(),
        };
        match &draft.event {
            EntryEvent::Message { body: Some(body), reply_to } => case.may_send(body, *reply_to)?,
            event => case.may_change(event, facts.target.as_ref())?,
        }
        Ok(facts.snapshot.conversation.policy_version)
    }

    async fn facts(&self, draft: &Draft, age: Age) -> Result<Facts> {
        let snapshot = match age {
            Age::Any => self.snapshots.get(draft.conversation).await?,
            Age::Now => self.snapshots.fresh(draft.conversation).await?,
        };
        let snapshot = snapshot.ok_or_else(policy::not_member)?;
        let mut room_members = Vec::new();
        if snapshot.conversation.kind == Kind::Room {
            for uid in std::iter::once(draft.author).chain(subject_of(&draft.event)) {
                room_members.extend(self.ports.conversations.member(draft.conversation, uid).await?);
            }
        }
        let target = match target_of(&draft.event) {
            Some(seq) => self.ports.messages.state(draft.conversation, seq).await?,
            None => None,
        };
        Ok(Facts { snapshot, room_members, target })
    }

    /// Whoever is put into a group must be a friend of who does it, or else groups would be a way around friendship.
    pub(crate) async fn may_be_invited(&self, author: Uid, uids: &[Uid]) -> Result<()> {
        let refuses = |standing: &Standing| standing.blocked || (self.limits.direct_needs_friendship && !standing.friends);
        if self.ports.contacts.standings(author, uids).await?.iter().any(refuses) {
            return Err(policy::not_accepted());
        }
        let strangers = !self.limits.direct_needs_friendship;
        if strangers && self.ports.accounts.profiles(uids).await?.len() != uids.len() {
            return Err(Error::new(Code::NotFound, "no such user"));
        }
        Ok(())
    }

    /// A store that does not say whether it knows the key leaves that open: to refuse then could deny what is stored.
    async fn unless_known(&self, draft: &Draft, refusal: Error) -> Result<Appended> {
        let known = self.ports.messages.append(Append { after: None, ..self.append_of(draft, NO_VERSION) });
        match known.await {
            Err(error) if matches!(error.code, Code::PolicyMoved | Code::NotFound | Code::IdempotencyConflict) => Err(refusal),
            outcome => outcome.map_err(maybe_stored),
        }
    }

    /// The wait for the commit as a hop of its own, left for the fan-out to follow.
    fn hop(&self, draft: &Draft) -> Span {
        let Some(hop) = draft.trace.map(Trace::child) else { return Span::none() };
        self.traces.leave(draft.author, &draft.key, hop);
        let parent = hop.parent().map(tracing::field::display);
        tracing::info_span!("append", conversation = draft.conversation.0, trace = %hop, parent)
    }

    fn judge_trace(&self, draft: &Draft, stored: &Result<Appended>) {
        if draft.trace.is_some() && !stored.as_ref().is_ok_and(|appended| !appended.repeated) {
            self.traces.forget(draft.author, &draft.key);
        }
    }

    fn append_of(&self, draft: &Draft, policy_version: PolicyVersion) -> Append {
        let Draft { conversation, author, key, after, event, .. } = draft.clone();
        Append { conversation, author, key, after, policy_version, event, at: self.clock.now() }
    }
}

/// The member an event is about, besides its author.
fn subject_of(event: &EntryEvent) -> Option<Uid> {
    match event {
        EntryEvent::Left { uid } | EntryEvent::RoleChanged { uid, .. } | EntryEvent::Silenced { uid, .. } => Some(*uid),
        _ => None,
    }
}

fn target_of(event: &EntryEvent) -> Option<Seq> {
    match event {
        EntryEvent::Edited { target, .. } | EntryEvent::Recalled { target } | EntryEvent::Reacted { target, .. } => Some(*target),
        _ => None,
    }
}

/// A refusal that the same command need not have met when it was first tried.
fn depends_on_the_moment(code: Code) -> bool {
    use Code::*;
    matches!(code, NotMember | NotAccepted | Silenced | Forbidden | GroupFull | AlreadyMember | RecallWindow | Recalled | NotFound)
}

/// Nobody knows whether it was stored: the same key finds out.
fn maybe_stored(error: Error) -> Error {
    match error.code {
        Code::Timeout | Code::Unavailable => Error::new(Code::RetrySameKey, "the outcome is unknown: try again with the same key"),
        _ => error,
    }
}
