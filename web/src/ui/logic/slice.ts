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
/** How many rows are added at once, and drawn at first. */
export const STEP = 32;

export const atEnd = (length: number): Slice => ({ from: Math.max(0, length - STEP), to: length });

export function around(index: number, length: number): Slice {
  const to = Math.min(length, Math.max(0, index - STEP / 2) + STEP);
  return { from: Math.max(0, to - STEP), to };
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
 * The same rows in a list that changed. A slice that reached the end reaches it again; beyond the bound, `follows` says
 * which side is cut: the beginning for a reader at the end, else the end.
 */
export function carried(slice: Slice, old: readonly Keyed[], next: readonly Keyed[], follows: boolean): Slice {
  const places = new Map(next.map((row, index) => [row.key, index]));
  const placeOf = (index: number) => places.get((old[index] as Keyed).key);
  let first: number | undefined;
  let last: number | undefined;
  for (let i = slice.from; i < slice.to && first === undefined; i++) first = placeOf(i);
  for (let i = slice.to - 1; i >= slice.from && last === undefined; i--) last = placeOf(i);
  if (first === undefined || last === undefined) return atEnd(next.length);
  const to = slice.to === old.length ? next.length : last + 1;
  if (follows) return { from: Math.max(first, to - FOLLOWED_MAX), to };
  return { from: first, to: Math.min(to, first + DRAWN_MAX) };
}
