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
 * follows, else the end.
 */
export function carried(
  drawn: readonly Keyed[],
  old: readonly Keyed[],
  next: readonly Keyed[],
  follows: boolean,
): Slice {
  const placeOf = (row: Keyed) => next.findIndex(({ key }) => key === row.key);
  let first = -1;
  let last = -1;
  for (let i = 0; i < drawn.length && first < 0; i++) first = placeOf(drawn[i] as Keyed);
  for (let i = drawn.length - 1; i >= 0 && last < 0; i--) last = placeOf(drawn[i] as Keyed);
  const behind = next.length - last - 1;
  if (first < 0 || (follows && behind > BEHIND_MAX)) return atEnd(next.length);
  if (follows) return { from: Math.max(first, next.length - FOLLOWED_MAX), to: next.length };
  const from = drawn[0]?.key === old[0]?.key ? Math.max(0, first - STEP / 2) : first;
  const to = last + 1 + (drawn.at(-1)?.key === old.at(-1)?.key ? Math.min(behind, STEP) : 0);
  return { from, to: Math.min(to, from + DRAWN_MAX) };
}
