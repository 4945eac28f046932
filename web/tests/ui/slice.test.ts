import { describe, expect, test } from "vitest";
import {
  around,
  atEnd,
  BEHIND_MAX,
  carried,
  DRAWN_MAX,
  earlier,
  FIRST,
  FOLLOWED_MAX,
  later,
  STEP,
} from "../../src/ui/logic/slice";

const list = (from: number, to: number) => Array.from({ length: to - from + 1 }, (_, i) => ({ key: `m${from + i}` }));

test("the end, and around a row", () => {
  expect(atEnd(1_000)).toEqual({ from: 1_000 - FIRST, to: 1_000 });
  expect(atEnd(3)).toEqual({ from: 0, to: 3 });
  expect(around(500, 1_000)).toEqual({ from: 500 - FIRST / 2, to: 500 + FIRST / 2 });
  expect(around(2, 1_000)).toEqual({ from: 0, to: FIRST });
  expect(around(999, 1_000)).toEqual({ from: 1_000 - FIRST, to: 1_000 });
});

test("going up and down a thousand rows, the bound holds and every row comes", () => {
  let slice = atEnd(1_000);
  for (let step = 0; slice.from > 0; step++) {
    const before = slice;
    slice = earlier(slice);
    expect(slice.from).toBeLessThan(before.from);
    expect(slice.to).toBeGreaterThan(before.from);
    expect(slice.to - slice.from).toBeLessThanOrEqual(DRAWN_MAX);
    expect(step).toBeLessThan(100);
  }
  while (slice.to < 1_000) {
    const before = slice;
    slice = later(slice, 1_000);
    expect(slice.from).toBeLessThan(before.to);
    expect(slice.to - slice.from).toBeLessThanOrEqual(DRAWN_MAX);
  }
});

describe("a list that changed", () => {
  const keys = (slice: { from: number; to: number }, rows: { key: string }[]) => [
    rows[slice.from]?.key,
    rows[slice.to - 1]?.key,
  ];

  test("older ones came: the same rows are drawn, and some above where the first one was", () => {
    const next = list(1, 100);
    expect(keys(carried(list(56, 70), list(51, 100), next, false), next)).toEqual(["m56", "m70"]);
    expect(keys(carried(list(51, 70), list(51, 100), next, false), next)).toEqual([`m${51 - STEP / 2}`, "m70"]);
    expect(keys(carried(list(51, 100), list(51, 100), next, true), next)).toEqual(["m51", "m100"]);
  });

  test("one was appended: it is drawn when the end was", () => {
    const next = list(1, 51);
    expect(keys(carried(list(21, 50), list(1, 50), next, true), next)).toEqual(["m21", "m51"]);
    expect(keys(carried(list(11, 40), list(1, 50), next, false), next)).toEqual(["m11", "m40"]);
  });

  test("several were appended: a reader at the end gets all of them and at most so many rows, another keeps what they read", () => {
    const next = list(1, 50 + BEHIND_MAX);
    expect(keys(carried(list(1, 50), list(1, 50), next, true), next)).toEqual([
      `m${51 + BEHIND_MAX - FOLLOWED_MAX}`,
      `m${50 + BEHIND_MAX}`,
    ]);
    expect(keys(carried(list(11, 50), list(1, 50), next, false), next)).toEqual(["m11", `m${50 + STEP}`]);
    expect(keys(carried(list(11, 40), list(1, 50), next, false), next)).toEqual(["m11", "m40"]);
    expect(carried(list(1, DRAWN_MAX), list(1, DRAWN_MAX), list(1, 500), false)).toEqual({ from: 0, to: DRAWN_MAX });
  });

  test("many were appended: a reader at the end sees the end alone", () => {
    const next = list(1, 51 + BEHIND_MAX);
    expect(carried(list(11, 50), list(1, 50), next, true)).toEqual(atEnd(next.length));
    expect(keys(carried(list(11, 40), list(1, 50), next, true), next)[1]).toBe(`m${51 + BEHIND_MAX}`);
  });

  test("somebody who fell behind and goes up keeps what is in view, without the hole before it", () => {
    const next = list(1, 300);
    const drawn = [...list(2, 60), ...list(269, 300)];
    expect(keys(carried(drawn, next, next, false), next)).toEqual(["m269", "m300"]);
    expect(keys(carried([...list(100, 120), ...list(124, 140)], next, next, false), next)).toEqual(["m100", "m140"]);
  });

  test("rows at the edges went: the rest is drawn", () => {
    const next = list(21, 60);
    expect(keys(carried(list(11, 70), list(1, 100), next, false), next)).toEqual(["m21", "m60"]);
    expect(carried(list(1, 5), list(1, 5), list(90, 99), false)).toEqual(atEnd(10));
  });
});
