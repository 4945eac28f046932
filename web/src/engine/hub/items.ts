/** From what is kept to what a person sees. Pure. */
import type { EventItem, Item, LastLine, MessageItem, Quote, Segment } from "../api";
import type { Echo, Line } from "../store/rows";
import type { Body, Entry, MessageState, Segment as WireSegment } from "../wire/generated";

const SAFE_SCHEMES = /^(?:https?:\/\/|mailto:)/i;

export function segmentsOf(body: Body | undefined): Segment[] {
  if (!body) return [];
  if (body.kind !== "text") return [{ kind: "text", text: body.fallback }];
  return body.segments.map(segmentOf).filter((segment) => segment !== undefined);
}

function segmentOf({ text, mention, link }: WireSegment): Segment | undefined {
  if (text !== undefined) return { kind: "text", text };
  if (mention) return { kind: "mention", uid: mention.uid };
  if (link === undefined) return undefined;
  return SAFE_SCHEMES.test(link) ? { kind: "link", url: link } : { kind: "text", text: link };
}

export function textOf(segments: readonly Segment[]): string {
  return segments
    .map((segment) =>
      segment.kind === "text" ? segment.text : segment.kind === "link" ? segment.url : nameOf(segment.uid),
    )
    .join("");
}

function nameOf(uid: number): string {
  return uid === 0 ? "@all" : `@${uid}`;
}

/** Segments as they are written; undefined: there is nothing but spaces. */
export function bodyOf(segments: readonly Segment[]): Body | undefined {
  if (textOf(segments).trim() === "") return undefined;
  const parts = segments.map((segment): WireSegment => {
    if (segment.kind === "text") return { text: segment.text };
    return segment.kind === "mention" ? { mention: { uid: segment.uid } } : { link: segment.url };
  });
  return { kind: "text", segments: parts, fallback: "", payload: "" };
}

export function bytesOf(segments: readonly Segment[]): number {
  return new TextEncoder().encode(textOf(segments)).length;
}

export function idOf(author: number, key: string, seq: number, myUid: number): string {
  return author === myUid && key !== "" ? `k:${key}` : `s:${seq}`;
}

type Reply = NonNullable<MessageItem["replyTo"]>;

function messageItem(state: MessageState, myUid: number, quote: Quote | "missing" | undefined): MessageItem {
  const segments = segmentsOf(state.body);
  const mine = state.author === myUid;
  const item = {
    type: "message" as const,
    id: idOf(state.author, state.key, state.seq, myUid),
    seq: state.seq,
    atMs: state.atMs,
    author: state.author,
    mine,
    state: "received" as const,
    key: state.key,
    segments,
    text: textOf(segments),
    recalled: state.recalled,
    editedAtMs: state.editedAtMs,
    mentionsMe:
      !mine && segments.some((segment) => segment.kind === "mention" && (segment.uid === 0 || segment.uid === myUid)),
    reactions: state.reactions,
  };
  return state.replyTo > 0 ? { ...item, replyTo: replyOf(state.replyTo, quote) } : item;
}

function replyOf(seq: number, quote: Quote | "missing" | undefined): Reply {
  if (quote === undefined) return { seq };
  return quote === "missing" ? { seq, missing: true } : { seq, quote };
}

export function quoteOf(state: MessageState): Quote {
  const segments = segmentsOf(state.body);
  return { author: state.author, text: textOf(segments), segments, recalled: state.recalled };
}

export function lineItem(line: Line, myUid: number, quote: Quote | "missing" | undefined): Item | undefined {
  if (line.message) return messageItem(line.message, myUid, quote);
  const event = line.event && eventOf(line.event);
  if (!line.event || !event) return undefined;
  const { seq, atMs, author } = line.event;
  return { type: "event", id: `s:${seq}`, seq, atMs, author, event };
}

function eventOf(entry: Entry): EventItem["event"] | undefined {
  const { joined, left, role, info, muted } = entry;
  if (joined) return { kind: "joined", uids: joined.uids };
  if (left) return { kind: "left", uid: left.uid };
  if (role) return { kind: "role", uid: role.uid, role: roleOf(role.role) };
  if (info?.title !== undefined) return { kind: "title", title: info.title };
  if (info?.announcement !== undefined) return { kind: "announcement", announcement: info.announcement };
  if (info?.mutedAll !== undefined) return { kind: "muted_all", on: info.mutedAll };
  return muted && { kind: "silenced", uid: muted.uid, untilMs: muted.untilMs };
}

export function roleOf(role: string): "member" | "admin" | "owner" {
  return role === "OWNER" ? "owner" : role === "ADMIN" ? "admin" : "member";
}

const ECHO_STATES = { waiting: "sending", acked: "sent", failed: "failed" } as const;

export function echoItem(echo: Echo, myUid: number, quote: Quote | "missing" | undefined): MessageItem {
  const segments = segmentsOf(echo.body);
  const item: MessageItem = {
    type: "message",
    id: `k:${echo.key}`,
    seq: echo.seq,
    atMs: echo.atMs,
    author: myUid,
    mine: true,
    state: ECHO_STATES[echo.state],
    key: echo.key,
    segments,
    text: textOf(segments),
    recalled: false,
    editedAtMs: 0,
    mentionsMe: false,
    reactions: [],
  };
  const failed = echo.state === "failed" ? { error: echo.code } : {};
  return { ...item, ...failed, ...(echo.replyTo > 0 ? { replyTo: replyOf(echo.replyTo, quote) } : {}) };
}

export function lastLineOf(item: MessageItem): LastLine {
  const { author, text, segments, recalled, atMs, state } = item;
  return { author, text, segments, recalled, atMs, state };
}
