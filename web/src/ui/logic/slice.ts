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
export const FOLLOWED_MAX = 96;
/** How many rows are drawn at first. */
export const FIRST = 32;
/** How many are added in one frame at most: making them is script that holds the frame up. */
export const STEP = 12;
/** A reader at the end who would be further behind it than this is taken there at once. */
export const BEHIND_MAX = 96;

export const atEnd = (length: number): Slice => ({ from: Math.max(0, length - FIRST), to: length });

export function around(index: number, length: number): Slice {
  const to = Math.min(length, Math.max(0, index - FIRST / 2) + FIRST);
  return { from: Math.max(0, to - FIRST), to };
}

export function earlier(slice: Slice): Slice {
  const from = Math.max(0, slice.from - STEP);
  return { from, to: Math.min(slice.to, from + DRAWN_MAX) };
}

export function later(slice: Slice, length: number, follows: boolean): Slice {
  const to = Math.min(length, slice.to + STEP);
  return { from: Math.max(slice.from, to - (follows ? FOLLOWED_MAX : DRAWN_MAX)), to };
}

interface Keyed {
  readonly key: string;
}

/**
 * The same rows in a list that changed. A slice that reached the end, or whose reader `follows` it, goes a step towards it.
 * One that began with the first row goes half a step back where there are rows before it now: that row may get lower by its
 * author's name, and at the very top nothing could make up for it. Beyond the bound the beginning is cut for a reader who
 * follows, else the end.
 */
export function carried(slice: Slice, old: readonly Keyed[], next: readonly Keyed[], follows: boolean): Slice {
  const placeOf = (index: number) => next.findIndex(({ key }) => key === (old[index] as Keyed).key);
  let first = -1;
  let last = -1;
  for (let i = slice.from; i < slice.to && first < 0; i++) first = placeOf(i);
  for (let i = slice.to - 1; i >= slice.from && last < 0; i--) last = placeOf(i);
  if (first < 0) return atEnd(next.length);
  const behind = next.length - last - 1;
  if (follows && behind > BEHIND_MAX) return atEnd(next.length);
  const to = last + 1 + (follows || slice.to === old.length ? Math.min(behind, STEP) : 0);
  if (follows) return { from: Math.max(first, to - FOLLOWED_MAX), to };
  const from = slice.from === 0 ? Math.max(0, first - STEP / 2) : first;
  return { from, to: Math.min(to, from + DRAWN_MAX) };
}
