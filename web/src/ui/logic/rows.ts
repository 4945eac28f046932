/**
 * What the message list draws: the lines of a window with day separators, time dividers and the "new messages" line
 * between them, and which lines belong together. Pure.
 *
 * **Invariant:** a row has the same key as long as it means the same, and is the same object as long as it looks the same.
 */
import type { EventItem, Item, MessageItem } from "../../engine/api";
import { dayAfter, dayOf } from "./time";

export type Row =
  | { readonly kind: "day"; readonly key: string; readonly atMs: number }
  | { readonly kind: "time"; readonly key: string; readonly atMs: number }
  | { readonly kind: "new"; readonly key: string }
  | { readonly kind: "event"; readonly key: string; readonly item: EventItem }
  | MessageRow;

export interface MessageRow {
  readonly kind: "message";
  readonly key: string;
  readonly item: MessageItem;
  /** First and last of a run by one author: the first has the name and the avatar, the last the tail. */
  readonly first: boolean;
  readonly last: boolean;
}

/** The line as it is now, however it was when it was pointed at; a line that left the window is as it was. */
export function currentOf(items: readonly Item[], line: MessageItem): MessageItem {
  const found = items.find((item) => item.id === line.id);
  return found?.type === "message" ? found : line;
}

/** A pause after which the time is written between the messages. */
export const PAUSE_MS = 15 * 60_000;
/** Within this one author's messages belong together. */
export const RUN_MS = 3 * 60_000;

export interface RowSource {
  readonly items: readonly Item[];
  /** Read position when the conversation was opened; 0: no line. */
  readonly unreadAfter: number;
  /** Whether something older exists that is not in the window: then the first line's day is not announced. */
  readonly hasOlder: boolean;
}

/** Remembers the rows of lines, so that what did not change stays the same object. Forgets with the lines. */
export type RowCache = WeakMap<Item, Row>;

export function buildRows(source: RowSource, cache: RowCache): Row[] {
  const { items } = source;
  const rows: Row[] = [];
  let newLine = source.unreadAfter > 0;
  for (let i = 0; i < items.length; i++) {
    const item = items[i] as Item;
    const before = items[i - 1];
    const divider = dividerBetween(before, item, source.hasOlder);
    if (divider) rows.push(divider);
    const startsNew = newLine && item.seq > source.unreadAfter && !isMine(item);
    if (startsNew) {
      rows.push({ kind: "new", key: "new" });
      newLine = false;
    }
    rows.push(rowOf(item, before, items[i + 1], divider !== undefined || startsNew, cache));
  }
  return rows;
}

const isMine = (item: Item) => item.type === "message" && item.mine;

function dividerBetween(before: Item | undefined, item: Item, hasOlder: boolean): Row | undefined {
  if (!before) return hasOlder ? undefined : { kind: "day", key: `day ${dayOf(item.atMs)}`, atMs: item.atMs };
  const pause = item.atMs - before.atMs;
  if (pause < PAUSE_MS && pause > -PAUSE_MS && sameDay(before.atMs, item.atMs)) return undefined;
  const day = dayOf(item.atMs);
  if (dayOf(before.atMs) < day) return { kind: "day", key: `day ${day} ${item.id}`, atMs: item.atMs };
  if (pause >= PAUSE_MS) return { kind: "time", key: `time ${item.id}`, atMs: item.atMs };
  return undefined;
}

/** The day that was asked for last: neighbours are of one day nearly always, and the calendar is slow. */
let lastDay = { fromMs: Number.NaN, toMs: Number.NaN };

function sameDay(a: number, b: number): boolean {
  if (!(a >= lastDay.fromMs && a < lastDay.toMs)) lastDay = { fromMs: dayOf(a), toMs: dayAfter(a) };
  return b >= lastDay.fromMs && b < lastDay.toMs;
}

function rowOf(item: Item, before: Item | undefined, after: Item | undefined, parted: boolean, cache: RowCache): Row {
  const known = cache.get(item);
  if (item.type === "event") {
    if (known) return known;
    const row: Row = { kind: "event", key: item.id, item };
    cache.set(item, row);
    return row;
  }
  const first = parted || !belongsTo(before, item);
  const last = !belongsTo(item, after);
  if (known?.kind === "message" && known.first === first && known.last === last) return known;
  const row: Row = { kind: "message", key: item.id, item, first, last };
  cache.set(item, row);
  return row;
}

function belongsTo(before: Item | undefined, after: Item | undefined): boolean {
  if (before?.type !== "message" || after?.type !== "message") return false;
  if (before.recalled || after.recalled) return false;
  const pause = after.atMs - before.atMs;
  return before.author === after.author && pause < RUN_MS && pause > -RUN_MS && sameDay(before.atMs, after.atMs);
}
