import { describe, expect, test } from "vitest";
import type { EventItem, Item, MessageItem } from "../../src/engine/api";
import { buildRows, currentOf, PAUSE_MS, type Row, RUN_MS } from "../../src/ui/logic/rows";

const START = new Date(2026, 10, 21, 10, 0).getTime();
const MINUTE_MS = 60_000;

function message(seq: number, author: number, atMs: number, more: Partial<MessageItem> = {}): MessageItem {
  return {
    type: "message", id: `m${seq}`, seq, atMs, author, mine: author === 1, state: "received", key: `k${seq}`,
    segments: [{ kind: "text", text: "x" }], text: "x", recalled: false, editedAtMs: 0, mentionsMe: false, reactions: [],
    ...more,
  }; // biome-ignore format: a fixture
}

const event = (seq: number, atMs: number): EventItem => ({
  type: "event",
  id: `e${seq}`,
  seq,
  atMs,
  author: 2,
  event: { kind: "left", uid: 2 },
});

const rowsOf = (items: readonly Item[], unreadAfter = 0, hasOlder = false) =>
  buildRows({ items, unreadAfter, hasOlder }, new WeakMap());

/** `m3 <>`: message 3, first and last of its run. */
const drawn = (rows: readonly Row[]) =>
  rows.map((row) =>
    row.kind === "message"
      ? `${row.key} ${row.first ? "<" : ""}${row.last ? ">" : ""}`.trim()
      : row.kind === "event"
        ? row.key
        : row.kind,
  );

describe("rows", () => {
  test("one author's messages within three minutes are one run", () => {
    const items = [
      message(1, 2, START),
      message(2, 2, START + 1),
      message(3, 2, START + 1 + RUN_MS),
      message(4, 1, START + RUN_MS + 2),
    ];
    expect(drawn(rowsOf(items))).toEqual(["day", "m1 <", "m2 >", "m3 <>", "m4 <>"]);
  });

  test("a pause is marked with the time, midnight with the day", () => {
    const midnight = new Date(2026, 10, 22).getTime();
    const items = [
      message(1, 2, START),
      message(2, 2, START + PAUSE_MS),
      message(3, 2, midnight - 1),
      message(4, 2, midnight),
    ];
    expect(drawn(rowsOf(items))).toEqual(["day", "m1 <>", "time", "m2 <>", "time", "m3 <>", "day", "m4 <>"]);
  });

  test("the day of the first line is announced only when nothing older exists", () => {
    expect(drawn(rowsOf([message(1, 2, START)], 0, true))).toEqual(["m1 <>"]);
  });

  test("new messages begin at the first unread one of somebody else", () => {
    const items = [
      message(1, 2, START),
      message(2, 1, START),
      message(3, 1, START),
      message(4, 2, START),
      message(5, 2, START),
    ];
    expect(drawn(rowsOf(items, 2))).toEqual(["day", "m1 <>", "m2 <", "m3 >", "new", "m4 <", "m5 >"]);
    expect(drawn(rowsOf(items, 5))).not.toContain("new");
    expect(drawn(rowsOf(items, 0))).not.toContain("new");
  });

  test("events and recalled messages part runs", () => {
    const items = [
      message(1, 2, START),
      event(2, START),
      message(3, 2, START),
      message(4, 2, START, { recalled: true }),
      message(5, 2, START),
    ];
    expect(drawn(rowsOf(items))).toEqual(["day", "m1 <>", "e2", "m3 <>", "m4 <>", "m5 <>"]);
  });

  test("clocks that go back divide nothing", () => {
    const items = [message(1, 2, START), message(2, 2, START - MINUTE_MS)];
    expect(drawn(rowsOf(items))).toEqual(["day", "m1 <", "m2 >"]);
  });

  test("keys are unique, and rows that look the same stay the same objects", () => {
    const cache = new WeakMap<Item, Row>();
    const items = Array.from({ length: 300 }, (_, i) => message(i + 1, (i % 3) + 1, START + i * MINUTE_MS * 7));
    const before = buildRows({ items, unreadAfter: 9, hasOlder: false }, cache);
    expect(new Set(before.map((row) => row.key)).size).toBe(before.length);
    const after = buildRows(
      { items: [...items, message(301, 1, START + 301 * MINUTE_MS * 7)], unreadAfter: 9, hasOlder: false },
      cache,
    );
    const kept = after.filter((row) => "item" in row && before.includes(row));
    expect(kept.length).toBeGreaterThanOrEqual(299);
  });

  test("a thousand lines take little time", () => {
    const items = Array.from({ length: 1_000 }, (_, i) => message(i + 1, (i % 3) + 1, START + i * 40_000));
    const cache = new WeakMap<Item, Row>();
    buildRows({ items, unreadAfter: 0, hasOlder: true }, cache);
    const began = performance.now();
    for (let i = 0; i < 50; i++) buildRows({ items, unreadAfter: 0, hasOlder: true }, cache);
    expect((performance.now() - began) / 50).toBeLessThan(8);
  });
});

describe("the line a menu was opened on", () => {
  const pending = message(0, 1, START, { id: "k:a", state: "sending" });

  test("is the stored one after its ack", () => {
    const stored = message(5, 1, START, { id: "k:a", state: "sent" });
    expect(currentOf([message(4, 2, START), stored], pending)).toBe(stored);
  });

  test("stays as it was when it left the window", () =>
    expect(currentOf([message(4, 2, START)], pending)).toBe(pending));
});
