import { describe, expect, test } from "vitest";
import { nearer } from "../../src/ui/logic/nearer";

interface Row {
  readonly key: string;
  readonly look: number;
}

const MOST = 4;
const made = new Map<string, Row>();
/** The same objects as long as they look the same. */
function row(number: number, look: number): Row {
  const name = `${number} ${look}`;
  const known = made.get(name) ?? { key: `m${number}`, look };
  made.set(name, known);
  return known;
}
const rows = (from: number, to: number, look = 0): Row[] =>
  Array.from({ length: Math.max(0, to - from + 1) }, (_, at) => row(from + at, look));
const keys = (list: readonly Row[]) => list.map(({ key }) => key);

/** All that is drawn on the way, the goal itself last. */
function way(drawn: readonly Row[], goal: readonly Row[]): (readonly Row[])[] {
  const steps: (readonly Row[])[] = [];
  for (let now = drawn; now !== goal; steps.push(now)) {
    const next = nearer(now, goal, MOST);
    const before = new Set(now);
    const fresh = next.filter((row) => !before.has(row)).length;
    expect(fresh).toBeLessThanOrEqual(MOST);
    expect(now.filter((row) => !keys(next).includes(row.key)).length).toBeLessThanOrEqual(2 * MOST);
    expect(new Set(keys(next)).size).toBe(next.length);
    expect(next.length).toBeLessThanOrEqual(Math.max(drawn.length, goal.length));
    expect(steps.length).toBeLessThan(1_000);
    now = next;
  }
  return steps;
}

/** Rows that are drawn and stay have no hole among them. */
function expectRun(list: readonly Row[]): void {
  const numbers = list.map(({ key }) => Number(key.slice(1)));
  expect(numbers).toEqual(numbers.map((_, at) => (numbers[0] ?? 0) + at));
}

describe("without a hole on the way", () => {
  test("more behind, while the beginning goes", () => {
    const steps = way(rows(1, 96), rows(31, 126));
    for (const step of steps) expectRun(step);
    expect(steps.length).toBe(Math.ceil(30 / MOST));
  });

  test("more before, from near to far, while the end goes", () => {
    const steps = way(rows(101, 260), rows(89, 248));
    for (const step of steps) expectRun(step);
    expect(keys(steps[0] ?? [])[0]).toBe("m97");
  });

  test("both", () => {
    for (const step of way(rows(50, 60), rows(1, 100))) expectRun(step);
  });
});

test("what changed is drawn anew, a few at a time, and what did not stays the same object", () => {
  const drawn = rows(1, 20);
  const goal = drawn.map((row, at) => (at % 2 ? { ...row, look: 1 } : row));
  const steps = way(drawn, goal);
  expect(steps.length).toBe(Math.ceil(10 / MOST));
  expect(steps[0]?.filter(({ look }) => look === 1)).toHaveLength(MOST);
});

test("nothing in common: what is there goes from the top, twice as fast as the others come", () => {
  const steps = way(rows(1, 96), rows(501, 532));
  expect(keys(steps[0] ?? [])).toEqual([...keys(rows(9, 96)), ...keys(rows(501, 504))]);
  expect(steps.length).toBe(96 / (2 * MOST));
});

test("in the middle, and in another order", () => {
  const [a, b, c] = rows(1, 3) as [Row, Row, Row];
  expect(keys(nearer([a, c], [a, b, c], MOST))).toEqual(["m1", "m2", "m3"]);
  expect(keys(nearer([a, b], [b, c, a], MOST))).toEqual(["m2", "m3", "m1"]);
  expect(nearer([], [], MOST)).toEqual([]);
});

test("whatever follows what: it always gets there", () => {
  let state = 7;
  const random = (below: number) => {
    state = (Math.imul(state, 1_103_515_245) + 12_345) >>> 0;
    return (state >>> 8) % below;
  };
  const some = () => rows(1, 40, random(3)).filter(() => random(2) === 1);
  for (let time = 0; time < 500; time++) {
    const goal = random(4) ? some() : some().reverse();
    way(random(4) ? some() : some().reverse(), goal);
  }
});
