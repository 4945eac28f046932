/**
 * Script time and distance of the frames of a page, by the browser's own trace.
 *
 * A piece of script is measured by two clocks, and the smaller counts: that of the wall goes on while another process has the
 * core, and that of the thread, on a virtual machine, while another machine has it. What neither leaves out, such as a core
 * that others make slower, hits now this frame, now that: see {@link calmest}.
 */
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
  /** The same with collecting garbage, within script and between. */
  readonly withCollections: readonly number[];
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
    const used = Math.min(dur, tdur);
    if (SCRIPT.has(name) && ts >= scriptEnd) {
      scriptEnd = ts + dur;
      add(scripts, ts, used);
    } else if ((RENDERING.has(name) || COLLECTING.has(name)) && ts >= otherEnd) {
      otherEnd = ts + dur;
      if (ts < scriptEnd) add(scripts, ts, -used);
      if (COLLECTING.has(name)) add(collections, ts, used);
    }
  }
  const intervals = starts.slice(1).map((ts, at) => (ts - (starts[at] ?? ts)) / 1_000);
  const sorted = (values: readonly number[]) => [...values].sort((a, b) => a - b);
  return {
    scripts: sorted(scripts),
    withCollections: sorted(scripts.map((ms, at) => ms + (collections[at] ?? 0))),
    collections: sorted(collections.filter((ms) => ms > 0)),
    intervals: sorted(intervals),
  };
}

const TRIES = 3;

/**
 * Of up to three measurements the one whose longest frame is the shortest; the first that `isCalm` is enough. What is long through
 * our fault is so each time. Each is told.
 */
export async function calmest(isCalm: (frames: Frames) => boolean, measured: () => Promise<Frames>): Promise<Frames> {
  let best: Frames | undefined;
  for (let time = 0; time < TRIES; time++) {
    const frames = await measured();
    tell(frames);
    if (isCalm(frames)) return frames;
    if (!best || worst(frames) < worst(best)) best = frames;
  }
  return best as Frames;
}

export const worst = ({ scripts }: Frames): number => quantile(scripts, 1);

function tell({ scripts, withCollections, collections, intervals }: Frames): void {
  console.info(
    [
      `${scripts.length} frames, ms (p50 / p95 / p99 / worst): script ${told(scripts)}`,
      `with collecting garbage, in ${collections.length} of them, ${told(withCollections)}`,
      `from frame to frame ${told(intervals)}`,
    ].join("; "),
  );
}

/** The usual quantiles, to be reported. */
const told = (sorted: readonly number[]): string =>
  [0.5, 0.95, 0.99, 1].map((share) => quantile(sorted, share).toFixed(1)).join(" / ");

/** A value that so large a share of the sorted ones does not exceed. */
export function quantile(sorted: readonly number[], share: number): number {
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? 0;
}
