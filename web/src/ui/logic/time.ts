/** Times as people read them. Pure: now and locale come from the caller. */

export interface TimeWords {
  readonly today: string;
  readonly yesterday: string;
}

const MINUTE_MS = 60_000;
const DAY_MS = 86_400_000;
const formats = new Map<string, Intl.DateTimeFormat>();

function format(locale: string, name: string, options: Intl.DateTimeFormatOptions): Intl.DateTimeFormat {
  const key = `${locale} ${name}`;
  const known = formats.get(key);
  if (known) return known;
  const made = new Intl.DateTimeFormat(locale, options);
  formats.set(key, made);
  return made;
}

/** One text for a whole minute: neighbouring lines ask for the same one. */
function ofMinute(write: (atMs: number, locale: string) => string): (atMs: number, locale: string) => string {
  let last = { minute: Number.NaN, locale: "", text: "" };
  return (atMs, locale) => {
    const minute = Math.floor(atMs / MINUTE_MS);
    if (minute !== last.minute || locale !== last.locale) last = { minute, locale, text: write(atMs, locale) };
    return last.text;
  };
}

export const clock = ofMinute((atMs, locale) =>
  format(locale, "clock", { hour: "2-digit", minute: "2-digit", hourCycle: "h23" }).format(atMs),
);

/** Midnight of the day of a moment, in local time: equal for two moments of one day. */
export function dayOf(atMs: number): number {
  const date = new Date(atMs);
  return new Date(date.getFullYear(), date.getMonth(), date.getDate()).getTime();
}

/** The midnight after it. */
export function dayAfter(atMs: number): number {
  const date = new Date(atMs);
  return new Date(date.getFullYear(), date.getMonth(), date.getDate() + 1).getTime();
}

/** Whole days from one moment's day to the other's; rounding takes the hour of summer time away. */
const daysBetween = (earlier: number, later: number) => Math.round((dayOf(later) - dayOf(earlier)) / DAY_MS);

/** In lists: a time today, a day before. */
export function listTime(atMs: number, nowMs: number, locale: string, words: TimeWords): string {
  const days = daysBetween(atMs, nowMs);
  if (days <= 0) return clock(atMs, locale);
  if (days === 1) return words.yesterday;
  if (days < 7) return format(locale, "weekday", { weekday: "short" }).format(atMs);
  return shortDate(atMs, nowMs, locale);
}

function shortDate(atMs: number, nowMs: number, locale: string): string {
  const sameYear = new Date(atMs).getFullYear() === new Date(nowMs).getFullYear();
  return sameYear
    ? format(locale, "day", { month: "short", day: "numeric" }).format(atMs)
    : format(locale, "date", { year: "numeric", month: "2-digit", day: "2-digit" }).format(atMs);
}

/** On day separators. */
export function dayLabel(atMs: number, nowMs: number, locale: string, words: TimeWords): string {
  const days = daysBetween(atMs, nowMs);
  if (days <= 0) return words.today;
  if (days === 1) return words.yesterday;
  const sameYear = new Date(atMs).getFullYear() === new Date(nowMs).getFullYear();
  return sameYear
    ? format(locale, "long", { weekday: "long", month: "long", day: "numeric" }).format(atMs)
    : format(locale, "longer", { year: "numeric", month: "long", day: "numeric" }).format(atMs);
}

export const fullTime = ofMinute((atMs, locale) =>
  format(locale, "full", { dateStyle: "medium", timeStyle: "short", hourCycle: "h23" }).format(atMs),
);

export const dateOnly = (atMs: number, locale: string): string =>
  format(locale, "dateOnly", { dateStyle: "medium" }).format(atMs);
