/** Script time and distance of the frames of a page, by the browser's own trace. */
import type { Browser, Page } from "playwright-core";

interface TraceEvent {
  readonly name: string;
  readonly ph: string;
  /** Begin and length by the clock, and length by the processor time of the thread; microseconds. */
  readonly ts: number;
  readonly dur?: number;
  readonly tdur?: number;
  readonly pid: number;
  readonly tid: number;
  readonly args?: unknown;
}

/** As the browser's own tools sort it: script, and what it makes the browser do in between. */
const SCRIPT = new Set(["FunctionCall", "EvaluateScript", "RunMicrotasks", "v8.callFunction"]);
const RENDERING = new Set(["Layout", "UpdateLayoutTree", "HitTest", "ParseHTML", "PrePaint", "Paint"]);
const COLLECTING = new Set(["MinorGC", "MajorGC"]);
/** Frames nearer to each other are one. */
const FRAME_US = 1_000;

export interface Frames {
  /** Processor time of script per frame, without layout that it forced and collecting garbage; milliseconds, sorted. */
  readonly scripts: readonly number[];
  /** Processor time of collecting garbage, for each frame that had to; milliseconds, sorted. */
  readonly collections: readonly number[];
  /** Time from frame to frame; milliseconds, sorted. */
  readonly intervals: readonly number[];
}

/** Begins to watch; the returned function ends it. */
export async function frames(browser: Browser, page: Page): Promise<() => Promise<Frames>> {
  await browser.startTracing(page, { categories: ["devtools.timeline", "v8"] });
  const mark = `frames-${Date.now()}`;
  await page.evaluate((mark) => console.timeStamp(mark), mark);
  return async () => {
    const { traceEvents } = JSON.parse((await browser.stopTracing()).toString()) as { traceEvents: TraceEvent[] };
    const marked = traceEvents.find(({ name, args }) => name === "TimeStamp" && JSON.stringify(args).includes(mark));
    if (!marked) throw new Error("the trace has no mark");
    const ours = ({ pid, tid, ts }: TraceEvent) => pid === marked.pid && tid === marked.tid && ts >= marked.ts;
    return measure(traceEvents.filter(ours).sort((a, b) => a.ts - b.ts));
  };
}

function measure(events: readonly TraceEvent[]): Frames {
  const begins = events.filter(({ name, ph }) => name === "AnimationFrame" && ph === "b").map(({ ts }) => ts);
  const starts = begins.filter((ts, at) => at === 0 || ts - (begins[at - 1] ?? 0) > FRAME_US);
  const scripts = starts.map(() => 0);
  const collections = starts.map(() => 0);
  const add = (to: number[], ts: number, us: number) => {
    const next = starts.findIndex((start) => start > ts);
    const frame = next < 0 ? starts.length - 1 : Math.max(0, next - 1);
    to[frame] = (to[frame] ?? 0) + us / 1_000;
  };
  // What is nested in script is script, but for rendering and collecting.
  let scriptEnd = 0;
  let otherEnd = 0;
  for (const { name, ph, ts, dur = 0, tdur = dur } of events) {
    if (ph !== "X") continue;
    if (SCRIPT.has(name) && ts >= scriptEnd) {
      scriptEnd = ts + dur;
      add(scripts, ts, tdur);
    } else if ((RENDERING.has(name) || COLLECTING.has(name)) && ts >= otherEnd) {
      otherEnd = ts + dur;
      if (ts < scriptEnd) add(scripts, ts, -tdur);
      if (COLLECTING.has(name)) add(collections, ts, tdur);
    }
  }
  const intervals = starts.slice(1).map((ts, at) => (ts - (starts[at] ?? ts)) / 1_000);
  const sorted = (values: readonly number[]) => [...values].sort((a, b) => a - b);
  return {
    scripts: sorted(scripts),
    collections: sorted(collections.filter((ms) => ms > 0)),
    intervals: sorted(intervals),
  };
}

/** The usual quantiles, to be reported. */
export const told = (sorted: readonly number[]): string =>
  [0.5, 0.95, 0.99, 1].map((share) => quantile(sorted, share).toFixed(1)).join(" / ");

/** A value that so large a share of the sorted ones does not exceed. */
export function quantile(sorted: readonly number[], share: number): number {
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? 0;
}
