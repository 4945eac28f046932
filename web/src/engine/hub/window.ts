/**
 * The lines a person looks at: a contiguous stretch `low … high` of one conversation, at most {@link WINDOW_MAX} lines.
 * Without IO. What is beyond the bound leaves at the far end.
 */
import type { Line } from "../store/rows";
import { lineOf } from "../sync/model";
import { applyToMessage, targetOf } from "../sync/reduce";
import type { Entry } from "../wire/generated";

export const WINDOW_MAX = 1_000;
/** While the reader is at the end, so many are enough: what is above comes again from the store. */
export const FOLLOWED_MAX = 300;
/** Lines that leave at once when appends pass the bound, so that not each append moves the beginning. */
const TRIM = 100;

export class Window {
  lines: readonly Line[] = [];
  /** Everything there is from `low` to `high` is in `lines`. Empty: `high < low`. */
  low = 1;
  high = 0;
  /** Lines put before minus lines taken from the beginning, ever. */
  shifted = 0;

  replace(lines: readonly Line[], low: number, high: number): void {
    this.lines = lines;
    this.low = low;
    this.high = high;
  }

  /** Older lines: from `low` on everything is here then. */
  prepend(lines: readonly Line[], low: number): void {
    const older = lines.filter((line) => line.seq < this.low);
    this.lines = [...older, ...this.lines];
    this.low = Math.min(this.low, low);
    this.shifted += older.length;
    if (this.lines.length <= WINDOW_MAX) return;
    this.lines = this.lines.slice(0, WINDOW_MAX);
    this.high = this.lines.at(-1)?.seq ?? this.high;
  }

  /** Newer lines: up to `high` everything is here then. */
  extend(lines: readonly Line[], high: number, max = WINDOW_MAX): void {
    const newer = lines.filter((line) => line.seq > this.high);
    if (newer.length > 0) this.lines = [...this.lines, ...newer];
    this.high = Math.max(this.high, high);
    if (this.lines.length > max) this.trimBeginning(this.lines.length - max + TRIM);
  }

  private trimBeginning(count: number): void {
    this.lines = this.lines.slice(count);
    this.shifted -= count;
    this.low = this.lines[0]?.seq ?? this.high + 1;
  }

  /** Whether another line at the end would push one out at the beginning. */
  get isFull(): boolean {
    return this.lines.length >= WINDOW_MAX;
  }

  /** Edits, recalls and reactions, wherever their messages came from. */
  affect(entries: readonly Entry[]): void {
    for (const entry of entries) {
      const target = targetOf(entry);
      const at = target === undefined ? -1 : this.find(target);
      const line = this.lines[at];
      if (!line?.message) continue;
      const message = applyToMessage(line.message, entry);
      if (message !== line.message) this.lines = this.lines.with(at, { ...line, message });
    }
  }

  /** Entries right behind the window; at most `max` lines are left. */
  append(entries: readonly Entry[], high: number, max = WINDOW_MAX): void {
    this.extend(
      entries.map(lineOf).filter((line) => line !== undefined),
      high,
      max,
    );
    this.affect(entries);
  }

  find(seq: number): number {
    let [from, to] = [0, this.lines.length - 1];
    while (from <= to) {
      const middle = (from + to) >> 1;
      const found = this.lines[middle]?.seq ?? 0;
      if (found === seq) return middle;
      if (found < seq) from = middle + 1;
      else to = middle - 1;
    }
    return -1;
  }
}
