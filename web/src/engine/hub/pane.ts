/**
 * One open conversation of one tab: a window of it, how it grows, and what is shown around it.
 *
 * Lines come from the store where the kept window covers them, else from the server. What is fetched next to the kept
 * window is kept, too; what lies apart from it is only shown. Work on the window is done in turns with everything else, and
 * what was applied while a page was under way is applied to the page again: nothing is missed and nothing comes twice.
 */
import type { Item, TimelineView } from "../api";
import { retryOf } from "../errors";
import type { Line, Row } from "../store/rows";
import { lineOf, linesOf, type Model } from "../sync/model";
import { targetOf } from "../sync/reduce";
import { lowestOf, readOf, unreadOf } from "../sync/row";
import type { Session } from "../sync/session";
import type { Applied } from "../sync/timeline";
import type { Turns } from "../sync/turns";
import type { Cursors, Entry, HistoryPage, MessageState } from "../wire/generated";
import { Company } from "./company";
import { echoItem, lineItem } from "./items";
import { type Known, Quotes } from "./quotes";
import { FOLLOWED_MAX, Window } from "./window";

const FIRST = 60;
const PAGE = 50;
const AROUND = 30;
/** Fewer lines than a screen has: fetch more at once. */
const FEW = 30;

export class Pane {
  private readonly window = new Window();
  private generation = 0;
  private anchor: "end" | number = "end";
  private loading: TimelineView["loading"] = "none";
  private stuck = false;
  private unreadAfter = -1;
  private isLoaded = false;
  /** The reader is at the end. */
  private isFollowing = true;
  private readonly quotes: Quotes;
  private readonly shown = new WeakMap<Line, { quote: Known | undefined; item: Item | undefined }>();
  private readonly company: Company;
  /** Entries applied while a page is under way; undefined: none is. */
  private since: Entry[] | undefined;
  private running: Promise<void> | undefined;
  private isClosed = false;

  constructor(
    readonly conversation: number,
    private readonly model: Model,
    private readonly turns: Turns,
    private readonly session: Session,
    private readonly changed: () => void,
  ) {
    this.company = new Company(() => model.myUid, changed);
    this.quotes = new Quotes({
      get isOnline() {
        return session.isOnline;
      },
      kept: (seqs) => this.keptAt(seqs),
      fetch: (seq) => this.fetchMessage(seq),
      changed,
    });
  }

  private get row(): Row | undefined {
    return this.model.rows.get(this.conversation);
  }

  // -------------------------------------------------------------------------------------------- what is shown

  view(): TimelineView {
    const { row, window } = this;
    return {
      items: this.items(),
      shifted: window.shifted,
      generation: this.generation,
      anchor: this.anchor,
      hasOlder: row !== undefined && this.isLoaded && window.low > lowestOf(row),
      hasNewer: row !== undefined && this.isLoaded && !this.isAttached(row),
      loading: this.loading,
      stuck: this.stuck,
      unreadAfter: Math.max(0, this.unreadAfter),
      peerDelivered: row?.info.peerDelivered ?? 0,
      peerRead: row?.info.peerRead ?? 0,
      readers: new Map(this.company.readers),
      typing: this.company.typing,
    };
  }

  private isAttached(row: Row): boolean {
    return this.window.high >= row.position;
  }

  private items(): Item[] {
    const { row } = this;
    const items = this.window.lines.map((line) => this.itemOf(line)).filter((item) => item !== undefined);
    if (row && !this.isAttached(row)) return items;
    for (const echo of this.model.echoes.values()) {
      if (echo.conversation === this.conversation)
        items.push(echoItem(echo, this.model.myUid, this.quotes.of(echo.replyTo)));
    }
    return items;
  }

  private itemOf(line: Line): Item | undefined {
    const quote = this.quotes.of(line.message?.replyTo ?? 0);
    const known = this.shown.get(line);
    if (known && known.quote === quote) return known.item;
    const item = lineItem(line, this.model.myUid, quote);
    this.shown.set(line, { quote, item });
    return item;
  }

  private async keptAt(seqs: readonly number[]): Promise<readonly Line[]> {
    const places = seqs.map((seq) => ({ conversation: this.conversation, seq }));
    const kept = await this.turns.run(() => this.model.store.linesAt(places));
    return [...kept, ...this.window.lines.filter((line) => seqs.includes(line.seq))];
  }

  private async fetchMessage(seq: number): Promise<MessageState | undefined> {
    if (seq < (this.row ? lowestOf(this.row) : 1)) return undefined;
    const page = await this.history({ firstMessageId: seq + 1, count: 1 });
    return page.messages.find((message) => message.seq === seq);
  }

  // -------------------------------------------------------------------------------------------- what is heard

  /** The log moved; `held` was the position before. */
  moved(held: number, { restart, ready }: Applied): void {
    if (!this.isLoaded) return;
    this.since?.push(...ready);
    for (const entry of ready) {
      const target = targetOf(entry);
      if (target !== undefined) this.quotes.stale(target);
      if (entry.message) this.company.stops(entry.author);
    }
    const wasAttached = this.window.high >= held;
    if (restart && wasAttached && this.isFollowing) void this.latest();
    else if (restart || !wasAttached || (!this.isFollowing && this.window.isFull)) this.window.affect(ready);
    else
      this.window.append(ready, Math.max(held, ready.at(-1)?.seq ?? held), this.isFollowing ? FOLLOWED_MAX : undefined);
    this.changed();
  }

  /** Its row changed, or came to be. */
  rowChanged(): void {
    if (!this.isLoaded && this.generation > 0 && (this.row?.position ?? 0) > 0) void this.latest();
    this.changed();
  }

  /** All that was kept is gone. */
  reset(): void {
    this.quotes.clear();
    void this.latest();
  }

  online(): void {
    this.quotes.online();
    if (this.stuck) void this.older();
  }

  heardCursors({ cursors }: Cursors): void {
    this.company.read(cursors);
  }

  heardTyping(uid: number): void {
    this.company.types(uid);
  }

  close(): void {
    this.isClosed = true;
    this.company.close();
  }

  // -------------------------------------------------------------------------------------------- how it grows

  follow(isFollowing: boolean): void {
    this.isFollowing = isFollowing;
  }

  /** The running number at a seq, where its line is here. */
  countAt(seq: number): number | undefined {
    const line = this.window.lines.findLast((line) => line.seq <= seq);
    return line && seq <= this.window.high ? line.count : undefined;
  }

  get isAtEnd(): boolean {
    return this.row !== undefined && this.isLoaded && this.isAttached(this.row);
  }

  async latest(): Promise<void> {
    await this.turns.run(async () => {
      if (this.isClosed) return;
      const { row } = this;
      this.generation += 1;
      this.anchor = "end";
      this.isLoaded = row !== undefined && row.position > 0;
      if (!row) return this.changed();
      if (this.unreadAfter < 0) this.unreadAfter = unreadOf(row) > 0 ? readOf(row) : 0;
      const lines = await this.model.store.linesBelow(row.id, row.from, row.position + 1, FIRST);
      this.window.replace(lines, lines.length < FIRST ? row.from : (lines[0]?.seq ?? row.from), row.position);
      this.stuck = false;
      this.changed();
    });
    const { row } = this;
    if (row && this.isLoaded && this.window.lines.length < FEW && this.window.low > lowestOf(row)) await this.older();
  }

  async around(seq: number): Promise<void> {
    this.show("around");
    try {
      const isKept = await this.turns.run(() => this.aroundKept(seq));
      if (!isKept) await this.aroundFetched(seq);
    } finally {
      this.since = undefined;
      this.show("none");
    }
  }

  private async aroundKept(seq: number): Promise<boolean> {
    const { row } = this;
    if (!row || seq < row.from || seq > row.position) return false;
    const older = await this.model.store.linesBelow(row.id, row.from, seq + 1, AROUND);
    const newer = await this.model.store.linesAbove(row.id, seq, AROUND);
    const low = older.length < AROUND ? row.from : (older[0]?.seq ?? seq);
    const high = newer.length < AROUND ? row.position : (newer.at(-1)?.seq ?? seq);
    this.jump(seq, [...older, ...newer], low, high);
    return true;
  }

  private async aroundFetched(seq: number): Promise<void> {
    this.since = [];
    const older = await this.history({ firstMessageId: seq + 1, count: AROUND });
    const newer = await this.history({ lastMessageId: seq, count: AROUND });
    await this.merge((since) => {
      const { row } = this;
      if (!row) return;
      const before = linesOf(older, since).filter((line) => line.seq <= seq);
      const after = linesOf(newer, since).filter((line) => line.seq > seq && line.seq < row.from);
      this.jump(seq, [...before, ...after], startOf(older, before, row), endOf(newer, after, row));
    });
  }

  private jump(seq: number, lines: readonly Line[], low: number, high: number): void {
    this.window.replace(lines, low, high);
    this.generation += 1;
    this.anchor = seq;
    this.isLoaded = true;
    this.isFollowing = false;
    this.stuck = false;
  }

  older(): Promise<void> {
    return this.grow(
      "older",
      () => this.olderKept(),
      () => this.olderFetched(),
    );
  }

  newer(): Promise<void> {
    return this.grow(
      "newer",
      () => this.newerKept(),
      () => this.newerFetched(),
    );
  }

  /** One at a time: calls while one runs are the same call. */
  private grow(
    loading: "older" | "newer",
    fromStore: () => Promise<boolean>,
    fromServer: () => Promise<void>,
  ): Promise<void> {
    this.running ??= this.growNow(loading, fromStore, fromServer).finally(() => {
      this.running = undefined;
      this.show("none");
    });
    return this.running;
  }

  private async growNow(
    loading: "older" | "newer",
    fromStore: () => Promise<boolean>,
    fromServer: () => Promise<void>,
  ): Promise<void> {
    this.show(loading);
    if (await this.turns.run(fromStore)) return;
    this.since = [];
    try {
      await fromServer();
      this.stuck = false;
    } catch (error) {
      this.since = undefined;
      const { kind } = retryOf(error);
      if (kind === "never") throw error;
      this.stuck = true;
    }
  }

  /** A page that was under way arrives. */
  private merge(work: (since: readonly Entry[]) => Promise<void> | void): Promise<void> {
    return this.turns.run(async () => {
      const since = this.since ?? [];
      this.since = undefined;
      await work(since);
    });
  }

  private show(loading: TimelineView["loading"]): void {
    this.loading = loading;
    this.changed();
  }

  /** True: done, or there is nothing older. */
  private async olderKept(): Promise<boolean> {
    const { row, window } = this;
    if (!row || !this.isLoaded || window.low <= lowestOf(row)) return true;
    if (window.low <= row.from) return false;
    const lines = await this.model.store.linesBelow(row.id, row.from, window.low, PAGE);
    window.prepend(lines, lines.length < PAGE ? row.from : (lines[0]?.seq ?? row.from));
    return lines.length > 0;
  }

  private async olderFetched(): Promise<void> {
    const { generation } = this;
    const { low } = this.window;
    const page = await this.history({ firstMessageId: low, count: PAGE });
    await this.merge(async (since) => {
      const { row } = this;
      if (!row || generation !== this.generation || this.window.low !== low) return;
      if (row.from !== low) {
        const lines = linesOf(page, since).filter((line) => line.seq < low);
        return this.window.prepend(lines, startOf(page, lines, row));
      }
      const lines = await this.model.prepend(page, low, since);
      if (lines) this.window.prepend(lines, this.row?.from ?? low);
    });
  }

  private async newerKept(): Promise<boolean> {
    const { row, window } = this;
    if (!row || !this.isLoaded || this.isAttached(row)) return true;
    if (window.high < row.from - 1) return false;
    const lines = await this.model.store.linesAbove(row.id, window.high, PAGE);
    window.extend(lines, lines.length < PAGE ? row.position : (lines.at(-1)?.seq ?? row.position));
    return true;
  }

  private async newerFetched(): Promise<void> {
    const { generation } = this;
    const { high } = this.window;
    const page = await this.history({ lastMessageId: high, count: PAGE });
    await this.merge((since) => {
      const { row } = this;
      if (!row || generation !== this.generation || this.window.high !== high) return;
      const lines = linesOf(page, since).filter((line) => line.seq > high && line.seq < row.from);
      this.window.extend(lines, endOf(page, lines, row));
    });
  }

  private async history(range: {
    firstMessageId?: number;
    lastMessageId?: number;
    count: number;
  }): Promise<HistoryPage> {
    const { conversation } = this;
    return { ...(await this.session.ask("requestRoomHistory", { conversation, ...range })), conversation };
  }
}

/** From where on everything is here with an older page. */
function startOf(page: HistoryPage, lines: readonly Line[], row: Row): number {
  const first = lines[0]?.seq;
  return page.hasMoreMessages && first !== undefined ? first : lowestOf(row);
}

/** Up to where everything is here with a newer page: the kept window at the latest. */
function endOf(page: HistoryPage, lines: readonly Line[], row: Row): number {
  const last = lines.at(-1)?.seq;
  const reachesKept = [...page.messages, ...page.events].some(({ seq }) => seq >= row.from);
  return page.hasMoreMessages && last !== undefined && !reachesKept ? last : row.from - 1;
}

/** What a log entry shows as, for signals. */
export function itemOfEntry(entry: Entry, myUid: number): Item | undefined {
  const line = lineOf(entry);
  return line && lineItem(line, myUid, undefined);
}
