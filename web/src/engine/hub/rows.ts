/** The conversation list, from what is kept. Pure. */
import type { Conversation, LastLine } from "../api";
import type { Echo, Row } from "../store/rows";
import { readOf, unreadOf } from "../sync/row";
import { echoItem, lastLineOf, lineItem, roleOf } from "./items";

const KINDS = {
  DIRECT: "direct",
  GROUP: "group",
  ROOM: "room",
  NOTICE: "notice",
  CONVERSATION_KIND_UNSPECIFIED: "group",
} as const;

/** `echo`: my newest message of it that is not in the log yet. */
export function conversationOf(row: Row, echo: Echo | undefined, myUid: number): Conversation {
  const { info } = row;
  const read = readOf(row);
  const last = lastOf(row, echo, myUid);
  return {
    id: row.id,
    kind: KINDS[info.kind],
    title: info.title,
    peer: info.peer,
    announcement: info.announcement,
    owner: info.owner,
    members: info.members,
    mutedAll: info.mutedAll,
    role: roleOf(info.me?.role ?? ""),
    left: (info.me?.visibleTo ?? 0) !== 0,
    silencedUntilMs: info.me?.silencedUntilMs ?? 0,
    pinned: info.me?.pinned ?? false,
    muted: info.me?.muted ?? false,
    draft: info.me?.draft ?? "",
    unread: unreadOf(row),
    read,
    head: Math.max(info.head, row.position),
    mentioned: row.mention > read && unreadOf(row) > 0,
    activeAtMs: last?.atMs ?? info.createdAtMs,
    ...(last ? { last } : {}),
  };
}

function lastOf(row: Row, echo: Echo | undefined, myUid: number): LastLine | undefined {
  const { last } = row.info;
  const item =
    last && lineItem({ conversation: row.id, seq: last.seq, count: last.count, message: last }, myUid, undefined);
  const heard = item?.type === "message" ? lastLineOf(item) : undefined;
  if (!echo) return heard;
  const mine = lastLineOf(echoItem(echo, myUid, undefined));
  return { ...mine, atMs: Math.max(mine.atMs, heard?.atMs ?? 0) };
}

export function orderOf(conversations: Iterable<Conversation>): number[] {
  const sorted = [...conversations].sort(
    (a, b) => Number(b.pinned) - Number(a.pinned) || b.activeAtMs - a.activeAtMs || b.id - a.id,
  );
  return sorted.map(({ id }) => id);
}
