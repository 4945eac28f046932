/**
 * What an entry does to the messages and the conversation a person sees. Pure; nothing is changed in place.
 *
 * Applying an entry twice is applying it once, to messages; conversations get each entry once.
 */
import type { Conversation, Entry, Membership, MessageState, Reacted, Reaction, Role } from "../wire/generated";

/** The message that an entry is, in its first state. A recalled one comes without its body. */
export function messageOf(entry: Entry): MessageState | undefined {
  if (!entry.message) return undefined;
  const { conversation, seq, atMs, author, count, key, message } = entry;
  const state = {
    conversation,
    seq,
    atMs,
    author,
    count,
    key,
    replyTo: message.replyTo,
    editedAtMs: 0,
    recalled: !message.body,
  };
  return { ...state, reactions: [], ...(message.body ? { body: message.body } : {}) };
}

/** The message an entry changes. */
export function targetOf(entry: Entry): number | undefined {
  return entry.edited?.target ?? entry.recalled?.target ?? entry.reacted?.target;
}

export function applyToMessage(state: MessageState, entry: Entry): MessageState {
  if (entry.edited) {
    // An edit of what is recalled by now has no body.
    const body = state.recalled ? undefined : entry.edited.body;
    return { ...state, editedAtMs: entry.atMs, ...(body ? { body } : {}) };
  }
  if (entry.recalled) {
    const { body: _, ...rest } = state;
    return { ...rest, recalled: true, reactions: [] };
  }
  if (entry.reacted && !state.recalled)
    return { ...state, reactions: react(state.reactions, entry.reacted, entry.author) };
  return state;
}

function react(reactions: readonly Reaction[], { emoji, on }: Reacted, author: number): Reaction[] {
  const changed = reactions.map((reaction) => {
    if (reaction.emoji !== emoji) return reaction;
    const others = reaction.uids.filter((uid) => uid !== author);
    return {
      emoji,
      uids: on ? (others.length === reaction.uids.length ? [...others, author] : reaction.uids) : others,
    };
  });
  if (on && !changed.some((reaction) => reaction.emoji === emoji)) changed.push({ emoji, uids: [author] });
  return changed.filter((reaction) => reaction.uids.length > 0);
}

export const NOBODY: Membership = {
  role: "ROLE_UNSPECIFIED",
  visibleFrom: 0,
  visibleTo: 0,
  read: 0,
  unread: 0,
  pinned: false,
  muted: false,
  draft: "",
  silencedUntilMs: 0,
};

/**
 * Title, members, my own role and the newest message follow the log. What the server told the conversation with, up to
 * `head`, is in it already.
 */
export function applyToConversation(before: Conversation, entry: Entry, myUid: number): Conversation {
  const info = { ...before, head: Math.max(before.head, entry.seq), count: Math.max(before.count, entry.count) };
  const message = messageOf(entry);
  if (message && message.seq >= (info.last?.seq ?? 0)) info.last = message;
  else if (info.last && info.last.seq === targetOf(entry)) info.last = applyToMessage(info.last, entry);
  if (entry.seq <= before.head) return info;
  const me = info.me ?? NOBODY;
  if (entry.joined) info.members += entry.joined.uids.length;
  if (entry.left) {
    info.members = Math.max(0, info.members - 1);
    if (entry.left.uid === myUid) info.me = { ...me, visibleTo: entry.seq };
  }
  if (entry.role) changeRole(info, entry.role.uid, entry.role.role, myUid);
  if (entry.info) {
    info.title = entry.info.title ?? info.title;
    info.announcement = entry.info.announcement ?? info.announcement;
    info.mutedAll = entry.info.mutedAll ?? info.mutedAll;
  }
  if (entry.muted?.uid === myUid) info.me = { ...me, silencedUntilMs: entry.muted.untilMs };
  return info;
}

/** To `owner`: ownership passes, and the former owner becomes an admin. */
function changeRole(info: Conversation, uid: number, role: Role, myUid: number): void {
  const wasOwner = info.owner;
  const me = info.me ?? NOBODY;
  if (role === "OWNER") info.owner = uid;
  if (uid === myUid) info.me = { ...me, role };
  else if (role === "OWNER" && wasOwner === myUid) info.me = { ...me, role: "ADMIN" };
}
