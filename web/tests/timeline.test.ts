import { describe, expect, test } from "vitest";
import { AHEAD_MAX, type Applied, GAP_WAIT_MS, Timeline, TRIES_MAX } from "../src/engine/sync/timeline";
import { conversation, entry, messages } from "./make";

const seqs = ({ ready }: Applied) => ready.map(({ seq }) => seq);
const range = (from: number, to: number) => messages(from, to).map(({ seq }) => seq);
const page = (head: number, first: number, limited: boolean, change = {}) => ({
  conversation: conversation({ head, ...change }),
  entries: messages(first, head),
  limited,
});
const pulled = (from: number, to: number, more = {}) => ({
  conversation: 3,
  entries: messages(from, to),
  head: 0,
  floor: 0,
  ...more,
});

describe("order", () => {
  test("the next applies and older ones are ignored", () => {
    const timeline = new Timeline(1, 5);
    expect(seqs(timeline.push([entry(6), entry(5), entry(6)], 0))).toEqual([6]);
    expect(timeline.position).toBe(6);
    expect(timeline.pullAt).toBeUndefined();
  });

  test("whatever order, repetition and loss: each once, in order", () => {
    for (let run = 0; run < 200; run++) {
      const timeline = new Timeline(1, 0);
      const out: number[] = [];
      const take = (applied: Applied) => out.push(...seqs(applied));
      const heard = messages(1, 40)
        .flatMap((one) => (Math.random() < 0.3 ? [] : Math.random() < 0.3 ? [one, one] : [one]))
        .sort(() => Math.random() - 0.5);
      let now = 0;
      let lost = 0;
      for (const one of heard) take(timeline.push([one], now++));
      take(timeline.page({ conversation: conversation({ head: 40 }), entries: [], limited: false }, now));
      while (timeline.pullAt !== undefined) {
        now = timeline.pullAt;
        const missing = timeline.pull(now);
        if (!missing) break;
        // So many in a row that the gap is given up are another test.
        lost = lost < TRIES_MAX - 1 && Math.random() < 0.3 ? lost + 1 : 0;
        take(timeline.pulled(lost > 0 ? undefined : pulled(missing.from, missing.to, { head: 40 }), now));
      }
      expect(out).toEqual(range(1, 40));
    }
  });
});

describe("gaps", () => {
  test("a gap waits, then is pulled once at a time", () => {
    const timeline = new Timeline(1, 5);
    expect(seqs(timeline.push([entry(9)], 0))).toEqual([]);
    expect(timeline.pullAt).toBe(GAP_WAIT_MS);
    expect(timeline.pull(GAP_WAIT_MS - 1)).toBeUndefined();
    expect(timeline.pull(GAP_WAIT_MS)).toEqual({ from: 6, to: 8 });
    expect(timeline.pull(GAP_WAIT_MS * 9)).toBeUndefined();
    expect(seqs(timeline.pulled(pulled(6, 8), 0))).toEqual([6, 7, 8, 9]);
    expect(timeline.pullAt).toBeUndefined();
  });

  test("one that closes by itself is not pulled", () => {
    const timeline = new Timeline(1, 0);
    timeline.push([entry(2)], 0);
    expect(seqs(timeline.push([entry(1)], 0))).toEqual([1, 2]);
    expect(timeline.pull(GAP_WAIT_MS)).toBeUndefined();
  });

  test("a head without its entries is one", () => {
    const timeline = new Timeline(1, 3);
    timeline.page(page(7, 8, false), 0);
    expect(timeline.pull(GAP_WAIT_MS)).toEqual({ from: 4, to: 7 });
  });

  test("one that never closes is given up, and the next push opens it anew", () => {
    const timeline = new Timeline(1, 3);
    timeline.push([entry(9)], 0);
    let pulls = 0;
    for (let at = timeline.pullAt; at !== undefined; at = timeline.pullAt) {
      expect(timeline.pull(at)).toBeDefined();
      timeline.pulled(undefined, at);
      pulls += 1;
    }
    expect(pulls).toBe(TRIES_MAX + 1);
    timeline.push([entry(10)], 0);
    expect(timeline.pullAt).toBeDefined();
  });

  test("a pull that got lost with its connection is made again", () => {
    const timeline = new Timeline(1, 0);
    timeline.push([entry(2)], 0);
    timeline.pull(GAP_WAIT_MS);
    timeline.linkLost(500);
    expect(timeline.pull(500)).toEqual({ from: 1, to: 1 });
  });

  test("what waits behind one is bounded", () => {
    const timeline = new Timeline(1, 0);
    timeline.push(messages(2, 1_999), 0);
    const applied = timeline.push([entry(1)], 0);
    expect(applied.ready).toHaveLength(AHEAD_MAX + 1);
    expect(timeline.missing()?.from).toBe(AHEAD_MAX + 2);
  });
});

describe("windows", () => {
  test("limited starts a new one, unless it reaches the old one", () => {
    const timeline = new Timeline(1, 100);
    expect(timeline.page(page(300, 251, true), 0).restart).toBe(true);
    expect([timeline.from, timeline.position]).toEqual([251, 300]);
    const applied = timeline.page(page(310, 280, true), 0);
    expect(applied.restart).toBe(false);
    expect(seqs(applied)).toEqual(range(301, 310));
    expect(timeline.from).toBe(251);
  });

  test("a new conversation is pulled whole if short, and begins at its end if long", () => {
    const short = new Timeline(1, 0);
    short.page(page(7, 8, false), 0);
    expect(short.pull(GAP_WAIT_MS)).toEqual({ from: 1, to: 7 });
    const long = new Timeline(1, 0);
    expect(long.page(page(7_000, 7_001, false), 0).restart).toBe(true);
    expect([long.from, long.position, long.missing()]).toEqual([7_001, 7_000, undefined]);
  });

  test("who left pulls no further than they may see", () => {
    const timeline = new Timeline(1, 3);
    const me = { ...conversation().me, visibleTo: 3 };
    timeline.page({ conversation: conversation({ head: 9, me: me as never }), entries: [], limited: false }, 0);
    expect(timeline.missing()).toBeUndefined();
  });

  test("retention moves the window", () => {
    const timeline = new Timeline(1, 3);
    timeline.push([entry(60)], 0);
    timeline.pull(GAP_WAIT_MS);
    const applied = timeline.pulled(pulled(50, 50, { head: 60, floor: 49 }), 0);
    expect(applied.restart).toBe(true);
    expect(seqs(applied)).toEqual([50]);
    expect(timeline.missing()).toEqual({ from: 51, to: 59 });
  });
});
