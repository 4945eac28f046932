import { describe, expect, test } from "vitest";
import type { Item, TimelineView } from "../src/engine/api";
import { diff, patched } from "../src/engine/hub/patch";
import { FOLLOWED_MAX, WINDOW_MAX, Window } from "../src/engine/hub/window";
import type { Line } from "../src/engine/store/rows";
import { lineOf } from "../src/engine/sync/model";
import { body, entry, messages } from "./make";

const lines = (from: number, to: number): Line[] => messages(from, to).map((one) => lineOf(one) as Line);
const seqs = ({ lines }: Window) => lines.map(({ seq }) => seq);
const range = (from: number, to: number) => Array.from({ length: to - from + 1 }, (_, at) => from + at);

function window(from: number, to: number): Window {
  const window = new Window();
  window.replace(lines(from, to), from, to);
  return window;
}

describe("a window", () => {
  test("grows at both ends, each line once", () => {
    const view = window(50, 60);
    view.prepend(lines(40, 52), 40);
    view.extend(lines(58, 70), 70);
    expect(seqs(view)).toEqual(range(40, 70));
    expect([view.low, view.high, view.shifted]).toEqual([40, 70, 10]);
  });

  test("is bounded: what is prepended pushes out the end, what is appended the beginning", () => {
    const view = window(5_001, 6_000);
    view.prepend(lines(4_951, 5_000), 4_951);
    expect([view.lines.length, view.low, view.high, view.shifted]).toEqual([WINDOW_MAX, 4_951, 5_950, 50]);
    view.extend(lines(5_951, 6_050), 6_050);
    expect(view.lines.length).toBeLessThanOrEqual(WINDOW_MAX);
    expect(seqs(view)).toEqual(range(view.low, 6_050));
    expect(view.shifted).toBe(50 - (view.low - 4_951));
  });

  test("a conversation of 100,000 scrolls to its top through a bounded window, each line once", () => {
    const view = window(99_951, 100_000);
    const seen = seqs(view);
    let longest = 0;
    while (view.low > 1) {
      const low = Math.max(1, view.low - 50);
      view.prepend(lines(low, view.low - 1), low);
      seen.push(...seqs(view).slice(0, 50));
      longest = Math.max(longest, view.lines.length);
    }
    expect([seen.length, new Set(seen).size, longest]).toEqual([100_000, 100_000, WINDOW_MAX]);
  });

  test("while it is followed, appends keep it short", () => {
    const view = window(1, 250);
    for (let seq = 251; seq <= 900; seq++) view.append(messages(seq, seq), seq, FOLLOWED_MAX);
    expect(view.lines.length).toBeLessThanOrEqual(FOLLOWED_MAX);
    expect(seqs(view)).toEqual(range(view.low, 900));
  });

  test("changes reach the lines they mean, and lines are not changed in place", () => {
    const view = window(1, 5);
    const before = view.lines;
    view.append(
      [
        entry(6, { edited: { target: 2, body: body("x") } }),
        entry(7, { recalled: { target: 4 } }),
        entry(8, { recalled: { target: 99 } }),
      ],
      8,
    );
    expect(view.lines.map((line) => line.message?.body?.segments[0]?.text)).toEqual(["m1", "x", "m3", undefined, "m5"]);
    expect(before[1]?.message?.body?.segments[0]?.text).toBe("m2");
    expect(view.lines[0]).toBe(before[0]);
    expect(view.high).toBe(8);
  });
});

describe("patches", () => {
  const item = (seq: number): Item => ({
    type: "event",
    id: `s:${seq}`,
    seq,
    atMs: 0,
    author: 1,
    event: { kind: "title", title: "" },
  });
  const pool = range(0, 3_000).map(item);
  const view = (from: number, to: number, shifted: number, generation = 1) =>
    ({ items: pool.slice(from, to), shifted, generation }) as unknown as TimelineView;
  const size = ({ head, insert }: ReturnType<typeof diff>) => head.length + insert.length;

  test.each([
    ["an append", view(10, 60, 0), view(10, 61, 0), 1],
    ["older lines", view(50, 100, 0), view(0, 100, 50), 50],
    ["older lines that push out the end", view(50, 1_050, 0), view(0, 1_000, 50), 50],
    ["an append that pushes out the beginning", view(0, 1_000, 0), view(200, 1_001, -200), 1],
    ["a jump", view(0, 50, 0), view(700, 760, 0, 2), 60],
    ["nothing", view(0, 50, 0), view(0, 50, 0), 0],
    ["everything gone", view(0, 50, 0), view(0, 0, 0), 0],
  ])("%s is small and exact", (_, before, after, expected) => {
    const patch = diff(before, after);
    expect(patched(before.items, patch)).toEqual(after.items);
    expect(size(patch)).toBe(expected);
  });

  test("one changed line is one line", () => {
    const before = view(0, 500, 0);
    const after = { ...before, items: before.items.with(250, { ...item(250), atMs: 9 }) };
    const patch = diff(before, after);
    expect([patch.at, patch.remove, patch.insert.length]).toEqual([250, 1, 1]);
    expect(patched(before.items, patch)).toEqual(after.items);
  });

  test("whatever happens, the tab has what the hub has", () => {
    let before: TimelineView | undefined;
    let items: readonly Item[] = [];
    let [from, to, shifted, generation] = [500, 560, 0, 1];
    for (let step = 0; step < 2_000; step++) {
      const by = Math.floor(Math.random() * 40);
      const kind = Math.floor(Math.random() * 5);
      if (kind === 0 && from > by) [from, shifted] = [from - by, shifted + by];
      else if (kind === 1 && to + by < 3_000) to += by;
      else if (kind === 2 && to - by > from) to -= by;
      else if (kind === 3 && from + by < to) [from, shifted] = [from + by, shifted - by];
      else if (kind === 4 && step % 50 === 0) [from, to, shifted, generation] = [500, 560, 0, generation + 1];
      const after = view(from, to, shifted, generation);
      items = patched(items, diff(before, after));
      expect(items).toEqual(after.items);
      before = after;
    }
  });
});
