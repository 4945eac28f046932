/**
 * Which rows of a window are drawn: a run of them around the view, as real elements in normal flow, so that no height is
 * ever guessed. It grows where the reader goes and is cut at the far side. Pure.
 *
 * **Bound:** at most {@link DRAWN_MAX} rows are drawn, however long the conversation is.
 */
export interface Slice {
  readonly from: number;
  /** One after the last. */
  readonly to: number;
}

export const DRAWN_MAX = 160;
/** So many for a reader who follows the end: what goes by above need not stay. */
export const FOLLOWED_MAX = 64;
/** How many rows are drawn at first. */
export const FIRST = 32;
/** So many are added where a reader comes near to an edge. */
export const STEP = 12;
/** A reader at the end who is further behind it than this sees what is there now, and not what went by. */
export const BEHIND_MAX = 64;

export const atEnd = (length: number): Slice => ({ from: Math.max(0, length - FIRST), to: length });

export function around(index: number, length: number): Slice {
  const to = Math.min(length, Math.max(0, index - FIRST / 2) + FIRST);
  return { from: Math.max(0, to - FIRST), to };
}

export function earlier(slice: Slice): Slice {
  const from = Math.max(0, slice.from - STEP);
  return { from, to: Math.min(slice.to, from + DRAWN_MAX) };
}

export function later(slice: Slice, length: number): Slice {
  const to = Math.min(length, slice.to + STEP);
  return { from: Math.max(slice.from, to - DRAWN_MAX), to };
}

interface Keyed {
  readonly key: string;
}

/**
 * Where the rows that are `drawn` are in a list that changed, and what comes to them: for a reader who `follows` the end all up
 * to it; else a step, where the end was drawn. Where the first row was drawn, half a step of rows before it: it may get lower by
 * its author's name, and at the very top nothing could make up for it. Beyond the bound the beginning is cut for a reader who
 * follows, else the end. Rows before a hole, which somebody who fell behind leaves, go.
 */
export function carried(
  drawn: readonly Keyed[],
  old: readonly Keyed[],
  next: readonly Keyed[],
  follows: boolean,
): Slice {
  const [first, last] = lastRun(drawn, next);
  const behind = next.length - last - 1;
  if (first < 0 || (follows && behind > BEHIND_MAX)) return atEnd(next.length);
  if (follows) return { from: Math.max(first, next.length - FOLLOWED_MAX), to: next.length };
  const from = drawn[0]?.key === old[0]?.key ? Math.max(0, first - STEP / 2) : first;
  const to = last + 1 + (drawn.at(-1)?.key === old.at(-1)?.key ? Math.min(behind, STEP) : 0);
  return { from, to: Math.min(to, from + DRAWN_MAX) };
}

/** First and last place in `next` of the last drawn rows between which no more than a step of rows is missing; −1: none. */
function lastRun(drawn: readonly Keyed[], next: readonly Keyed[]): readonly [first: number, last: number] {
  const places = new Map(next.map(({ key }, at) => [key, at]));
  let [first, last] = [-1, -1];
  for (const { key } of drawn) {
    const at = places.get(key);
    if (at === undefined) continue;
    first = first < 0 || at > last + STEP ? at : Math.min(first, at);
    last = Math.max(last, at);
  }
  return [first, last];
}
