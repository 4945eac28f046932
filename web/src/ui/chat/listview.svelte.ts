/**
 * Which lines of a conversation are drawn, and where the view is. Of a window of up to a thousand rows those around the view
 * are in the document. Whatever changes, the line at the top of the view stays where it is to the pixel, and only
 * {@link Follow} moves the view to the end.
 *
 * What comes in changes `goal` alone; {@link Frames} bring what is drawn there, a few rows at a time. A window that is opened
 * or replaced is drawn at once, so that the way there is never seen.
 */
import { flushSync } from "svelte";
import type { Timeline, TimelineView } from "../../engine/api";
import { Follow, NEAR_END_PX } from "../logic/follow";
import { Frames, type Work } from "../logic/frames";
import { nearer } from "../logic/nearer";
import { buildRows, type Row, type RowCache } from "../logic/rows";
import { around, atEnd, carried, earlier, later, type Slice } from "../logic/slice";
import { attempt } from "../state/ask.svelte";

/** So near to an edge of what is drawn more is drawn, or asked for. */
const AHEAD_PX = 1000;
/** Unread lines up to this many are shown with the end; of more, the first. */
const UNREAD_WITH_END = 8;
/** So many rows are made, and twice as many go, in one step. */
const ROWS_A_STEP = 4;

export class ListView implements Work {
  /** What is in the document. */
  drawn = $state.raw<readonly Row[]>([]);
  /** The reader is away from the end. */
  away = $state(false);
  /** How many scrolls to the end there were. */
  scrolls = $state(0);
  /** The rows of the whole window. */
  rows: readonly Row[];
  private goal: readonly Row[];
  private shown: TimelineView;
  private latest: TimelineView;
  private scroller!: HTMLElement;
  private readonly follow = new Follow();
  private readonly frames = new Frames(this);
  private readonly cache: RowCache = new WeakMap();
  private anchor: { element: Element; top: number } | undefined;
  private isAsking = false;
  private lastOffset = 0;

  constructor(private readonly timeline: Timeline) {
    this.latest = timeline.view.value;
    this.shown = this.latest;
    this.rows = buildRows(this.shown, this.cache);
    this.goal = this.within(this.firstSlice());
    this.drawn = this.goal;
  }

  /** The document has it, in this scrolling element. */
  mount(scroller: HTMLElement): () => void {
    this.scroller = scroller;
    this.place();
    const stop = this.timeline.view.subscribe((view) => this.arrived(view));
    const sizes = new ResizeObserver(() => this.resized());
    sizes.observe(scroller);
    return () => {
      stop();
      this.frames.stop();
      sizes.disconnect();
    };
  }

  // === what is drawn ===

  private arrived(next: TimelineView): void {
    this.latest = next;
    if (next === this.shown) return;
    if (next.generation !== this.shown.generation) queueMicrotask(() => this.replaced());
    else this.frames.soon();
  }

  private replaced(): void {
    if (this.latest.generation === this.shown.generation || !this.scroller.isConnected) return;
    this.shown = this.latest;
    this.rows = buildRows(this.shown, this.cache);
    this.drawNow(this.firstSlice());
    this.place();
  }

  begin(): void {
    if (!this.scroller.isConnected) return;
    this.replaced();
    this.notice();
    if (this.latest !== this.shown) this.take();
    else if (this.drawn === this.goal) this.extend();
    this.anchor = this.follow.atEnd ? undefined : this.topLine();
  }

  step(): boolean {
    if (this.drawn === this.goal || !this.scroller.isConnected) return false;
    this.drawn = nearer(this.drawn, this.goal, ROWS_A_STEP);
    flushSync();
    return this.drawn !== this.goal;
  }

  /** The line at the top of the view, or the end, is where it was. */
  end(): void {
    if (!this.scroller.isConnected) return;
    if (this.follow.atEnd) this.holdEnd();
    else if (this.anchor?.element.isConnected) this.moveBy(topOf(this.anchor.element) - this.anchor.top);
    this.moved();
  }

  private take(): void {
    this.shown = this.latest;
    const built = buildRows(this.shown, this.cache);
    if (this.rows.at(-1)?.key !== built.at(-1)?.key) this.appended();
    this.goal = this.within(carried(this.drawn, this.rows, built, this.follow.atEnd), built);
    this.rows = built;
  }

  private appended(): void {
    if (this.follow.appended(performance.now())) this.scrolls = this.follow.scrolls;
    const last = this.shown.items.at(-1);
    if (last?.type === "message" && last.mine && last.state === "sending") this.follow.placed(true);
  }

  /** More rows where the reader is near to an edge, or a page where there are no more. */
  private extend(): void {
    const short = this.shortAt();
    if (short === "none") return;
    const slice = this.slice();
    if (short === "top" && slice.from > 0) this.goal = this.within(earlier(slice));
    else if (short === "end" && slice.to < this.rows.length) this.goal = this.within(later(slice, this.rows.length));
    else void this.fetchMore(short === "top" ? this.timeline.older() : this.timeline.newer());
  }

  private async fetchMore(page: Promise<void>): Promise<void> {
    this.isAsking = true;
    const isDone = await attempt(page);
    this.isAsking = false;
    if (isDone) this.drawMore();
  }

  private drawMore(): void {
    if (this.scroller.isConnected && this.shortAt() !== "none") this.frames.soon();
  }

  /** The edge that the reader is near to, if there is something beyond. */
  private shortAt(): "top" | "end" | "none" {
    const { shown } = this;
    const mayAsk = !this.isAsking && shown.loading === "none";
    const slice = this.slice();
    if (this.leftBelow() < AHEAD_PX && (slice.to < this.rows.length || (mayAsk && shown.hasNewer))) return "end";
    const hasOlder = slice.from > 0 || (mayAsk && shown.hasOlder && !shown.stuck);
    return this.scroller.scrollTop < AHEAD_PX && hasOlder ? "top" : "none";
  }

  private slice(): Slice {
    const from = Math.max(0, this.placeOf(this.goal[0]));
    return { from, to: from + this.goal.length };
  }

  private placeOf(row: Row | undefined): number {
    return this.rows.findIndex(({ key }) => key === row?.key);
  }

  private within({ from, to }: Slice, rows = this.rows): readonly Row[] {
    return rows.slice(from, to);
  }

  private drawNow(slice: Slice): void {
    this.goal = this.within(slice);
    this.drawn = this.goal;
    flushSync();
  }

  // === where the view is ===

  private firstSlice(): Slice {
    const target = this.targetRow();
    return target < 0 ? atEnd(this.rows.length) : around(target, this.rows.length);
  }

  /** Where a window that was opened or replaced begins: at its end (−1), at "new messages", or at what was asked for. */
  private targetRow(): number {
    if (this.shown.anchor !== "end") return this.rowOfSeq(this.shown.anchor);
    const fresh = this.rows.findIndex((row) => row.kind === "new");
    return fresh >= 0 && this.rows.length - fresh > UNREAD_WITH_END ? fresh : -1;
  }

  private place(): void {
    const target = this.targetRow();
    this.follow.placed(target < 0);
    if (target < 0) this.holdEnd();
    else this.show(target, this.shown.anchor === "end" ? "start" : "center");
    this.moved();
  }

  private rowOfSeq(seq: number): number {
    return this.rows.findIndex((row) => "item" in row && row.item.seq === seq);
  }

  scrollToSeq(seq: number): void {
    const index = this.rowOfSeq(seq);
    if (index >= 0) this.show(index, "center");
  }

  show(index: number, block: ScrollLogicalPosition): void {
    this.follow.placed(false);
    const at = () => this.drawn.findIndex(({ key }) => key === this.rows[index]?.key);
    if (at() < 0) this.drawNow(around(index, this.rows.length));
    this.scroller.querySelectorAll(".column")[at()]?.scrollIntoView({ block, behavior: "instant" });
    this.lastOffset = this.scroller.scrollTop;
  }

  async toEnd(): Promise<void> {
    if (this.shown.hasNewer) {
      await attempt(this.timeline.latest());
      return;
    }
    this.notice();
    this.follow.placed(true);
    this.drawNow(atEnd(this.rows.length));
    this.holdEnd();
    this.moved();
  }

  private leftBelow(): number {
    return this.scroller.scrollHeight - this.scroller.clientHeight - this.scroller.scrollTop;
  }

  /** Where the reader has moved the view to; the browser tells of it a frame later, and something may be drawn before. */
  private notice(): void {
    const offset = this.scroller.scrollTop;
    const isWhole = this.isEndDrawn && !this.shown.hasNewer;
    const left = isWhole ? this.leftBelow() : Number.POSITIVE_INFINITY;
    if (offset !== this.lastOffset) this.follow.scrolled(left, offset < this.lastOffset - 1);
    this.lastOffset = offset;
  }

  private get isEndDrawn(): boolean {
    return this.drawn.at(-1)?.key === this.rows.at(-1)?.key;
  }

  scrolled(): void {
    this.notice();
    this.moved();
  }

  private resized(): void {
    this.notice();
    if (this.follow.atEnd) this.holdEnd();
    this.moved();
  }

  private moved(): void {
    this.away = !this.follow.atEnd && (!this.isEndDrawn || this.leftBelow() > NEAR_END_PX);
    this.drawMore();
    this.seen();
  }

  private moveBy(px: number): void {
    if (px === 0) return;
    this.scroller.scrollTop += px;
    this.lastOffset = this.scroller.scrollTop;
  }

  private holdEnd(): void {
    const end = this.scroller.scrollHeight - this.scroller.clientHeight;
    if (Math.abs(this.scroller.scrollTop - end) >= 1) this.scroller.scrollTop = end;
    this.lastOffset = this.scroller.scrollTop;
  }

  /** The first text within the view: what a reader looks at. What is above it in its own line may come and go. */
  private topLine(): { element: Element; top: number } | undefined {
    const edge = topOf(this.scroller);
    const texts = this.scroller.querySelectorAll(".bubble, .recalled, .divider[data-seq]");
    const element = texts[countWhile(texts, (text) => text.getBoundingClientRect().bottom <= edge)];
    return element && { element, top: topOf(element) };
  }

  /** Tells what the reader has seen: the lowest line in view, while the page is looked at. */
  seen(): void {
    this.timeline.follow(this.follow.atEnd);
    if (document.visibilityState !== "visible" || !document.hasFocus()) return;
    const bottom = this.scroller.getBoundingClientRect().bottom - 8;
    const lines = this.scroller.querySelectorAll<HTMLElement>("[data-seq]");
    for (let at = countWhile(lines, (line) => topOf(line) < bottom) - 1; at >= 0; at--) {
      const seq = Number(lines[at]?.dataset.seq);
      if (seq > 0) return this.timeline.read(seq);
    }
  }
}

const topOf = (element: Element) => element.getBoundingClientRect().top;

/** How many at the beginning of what is in order from top to bottom are so. Halves, since each look costs. */
function countWhile<E extends Element>(elements: NodeListOf<E>, isSo: (element: E) => boolean): number {
  let [from, to] = [0, elements.length];
  while (from < to) {
    const middle = (from + to) >> 1;
    if (isSo(elements[middle] as E)) from = middle + 1;
    else to = middle;
  }
  return from;
}
