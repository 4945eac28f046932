/** The lists of conversations and of rooms, from what is kept. */
import type { Conversation, LastLine, Room } from "../api";
import type { Echo, Row } from "../store/rows";
import type { Model } from "../sync/model";
import { readOf, unreadOf } from "../sync/row";
import type { RoomInfo } from "../wire/generated";
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

/** All conversations as tabs see them: one that did not change is the same object as before. */
export class ConversationList {
  private made = new Map<number, { row: Row; echo: Echo | undefined; conversation: Conversation }>();

  constructor(private readonly model: Pick<Model, "rows" | "echoes" | "myUid">) {}

  all(): ReadonlyMap<number, Conversation> {
    const { rows, echoes, myUid } = this.model;
    const newest = new Map([...echoes.values()].map((echo) => [echo.conversation, echo]));
    const made: typeof this.made = new Map();
    for (const row of rows.values()) {
      const echo = newest.get(row.id);
      const known = this.made.get(row.id);
      const isSame = known?.row === row && known.echo === echo;
      made.set(row.id, isSame ? known : { row, echo, conversation: conversationOf(row, echo, myUid) });
    }
    this.made = made;
    return new Map([...made].map(([id, { conversation }]) => [id, conversation]));
  }

  order(): readonly number[] {
    return orderOf([...this.made.values()].map(({ conversation }) => conversation));
  }
}

/** `row`: the conversation as it is kept here, if it is. */
export function roomOf({ conversation, title, owner, members, createdAtMs }: RoomInfo, row: Row | undefined): Room {
  return { conversation, title, owner, members, createdAtMs, joined: row !== undefined && !row.info.me?.visibleTo };
}
