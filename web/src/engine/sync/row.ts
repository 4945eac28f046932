/** How a kept conversation changes: by the log, by the server's view of it, by what is read here. Pure. */
import type { Row } from "../store/rows";
import type { Conversation, Entry, Membership } from "../wire/generated";
import { applyToConversation, NOBODY } from "./reduce";

/** Nothing of it is known: neither cursor nor count. */
export function firstSight(info: Conversation, from: number): Row {
  const { me: _, ...rest } = info;
  const unknown: Conversation = { ...rest, head: 0, count: 0 };
  return { id: info.id, info: unknown, from, position: 0, readCount: 0, toldRead: 0, mention: 0, draftTold: true };
}

/** The first seq this person may see. */
export function lowestOf(row: Row): number {
  return Math.max(row.info.me?.visibleFrom ?? 1, row.info.floor + 1, 1);
}

export function unreadOf(row: Row): number {
  return Math.max(0, row.info.count - row.readCount);
}

export function readOf(row: Row): number {
  return row.info.me?.read ?? 0;
}

/** An entry of the log. Writing is reading: my own message moves my cursor to it. */
export function followEntry(row: Row, entry: Entry, myUid: number, appliesToInfo: boolean): Row {
  const info = appliesToInfo ? applyToConversation(row.info, entry, myUid) : row.info;
  if (!entry.message) return { ...row, info };
  if (entry.author !== myUid)
    return mentions(entry, myUid) ? { ...row, info, mention: Math.max(row.mention, entry.seq) } : { ...row, info };
  const me = info.me ?? NOBODY;
  return {
    ...row,
    info: { ...info, me: { ...me, read: Math.max(me.read, entry.seq) } },
    readCount: Math.max(row.readCount, entry.count),
    toldRead: Math.max(row.toldRead, entry.seq),
  };
}

function mentions(entry: Entry, myUid: number): boolean {
  const segments = entry.message?.body?.segments ?? [];
  return segments.some(({ mention }) => mention && (mention.uid === 0 || mention.uid === myUid));
}

/** The server's view, taken before or after entries that are here already. `counted`: see {@link mergeMembership}. */
export function mergeInfo(row: Row, server: Conversation, counted: number | undefined): Row {
  const peer = {
    peerRead: Math.max(server.peerRead, row.info.peerRead),
    peerDelivered: Math.max(server.peerDelivered, row.info.peerDelivered),
  };
  const { me, ...rest } = server;
  const mine = row.info.me ? { me: row.info.me } : {};
  const last = server.last ?? row.info.last;
  // Titles and members of the log are newer than what is behind it.
  const info: Conversation =
    server.head < row.info.head
      ? { ...row.info, ...peer, floor: server.floor }
      : { ...rest, ...peer, ...mine, ...(last ? { last } : {}) };
  const merged = { ...row, info };
  return me ? mergeMembership(merged, me, server.count, counted) : merged;
}

/**
 * My membership as the server has it. `unread` is a difference to its count at that time; `counted`, the running number of
 * the line at the read cursor where it is kept, tells exactly.
 */
export function mergeMembership(row: Row, me: Membership, serverCount: number, counted: number | undefined): Row {
  const known = row.info.me;
  const isRejoin = known !== undefined && known.visibleFrom !== me.visibleFrom;
  const knownRead = known?.read ?? 0;
  let { readCount } = row;
  if (me.read >= knownRead || isRejoin) {
    const told = (isRejoin ? undefined : counted) ?? serverCount - me.unread;
    readCount = isRejoin ? told : Math.max(readCount, told);
  }
  const read = isRejoin ? me.read : Math.max(me.read, knownRead);
  const draft = row.draftTold ? me.draft : (known?.draft ?? me.draft);
  const toldRead = isRejoin ? me.read : Math.max(row.toldRead, me.read);
  return { ...row, readCount, toldRead, info: { ...row.info, me: { ...me, read, draft } } };
}

/** The person has seen everything up to `seq`. */
export function markRead(row: Row, seq: number, count: number): Row {
  const me = row.info.me ?? NOBODY;
  if (seq <= me.read) return row;
  return { ...row, readCount: Math.max(row.readCount, count), info: { ...row.info, me: { ...me, read: seq } } };
}

/** Whether the server has to hear of my read cursor. */
export function owesRead(row: Row): boolean {
  return readOf(row) > row.toldRead;
}
