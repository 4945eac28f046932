/**
 * How far this device is in one conversation: which entries apply now, which wait, which must be pulled.
 *
 * The window is the contiguous range `from … position` this device holds; older messages come from history, newer entries
 * from pushes, sync and pulls. Entries come out in order of seq, without gaps and doubles, whatever order, repetition or
 * loss they came in; only a restart of the window skips, and then nothing before it is kept. An ack never moves the position.
 *
 * Bounds: {@link AHEAD_MAX} entries wait behind a gap, later ones are pulled again. A gap that does not close is pulled
 * with growing pauses, {@link TRIES_MAX} times; the next push or page opens it anew.
 */
import type { Conversation, ConversationChange, Entries, Entry } from "../wire/generated";

export const AHEAD_MAX = 256;
/** What a gap is given to close by itself. */
export const GAP_WAIT_MS = 200;
/** Entries of one pull. */
export const PULL_MAX = 100;
export const TRIES_MAX = 8;

type Gap = { state: "closed" } | { state: "open"; pullAt: number; tries: number } | { state: "pulling"; tries: number };

/** What to do with the kept window after something was heard. */
export interface Applied {
  /** Forget the window: these entries begin a new one. */
  restart: boolean;
  /** In order, each one above the last. */
  ready: Entry[];
}

export interface Range {
  readonly from: number;
  readonly to: number;
}

export class Timeline {
  private head: number;
  private ahead = new Map<number, Entry>();
  private gap: Gap = { state: "closed" };

  /** A window kept from before. One that was never filled has position 0. */
  constructor(
    private windowFrom: number,
    private windowPosition: number,
  ) {
    this.windowFrom = Math.max(1, windowFrom);
    this.head = windowPosition;
  }

  /** Where the window began when it was last started; history may have reached further back since. */
  get from(): number {
    return this.windowFrom;
  }

  get position(): number {
    return this.windowPosition;
  }

  /** Entries of a push. */
  push(entries: readonly Entry[], now: number): Applied {
    const applied: Applied = { restart: false, ready: [] };
    this.offer(entries, applied);
    this.watchGap(now);
    return applied;
  }

  /** What a page of sync says about this conversation. */
  page(change: ConversationChange, now: number): Applied {
    const { conversation, entries, limited } = change;
    const applied: Applied = { restart: false, ready: [] };
    if (!conversation) return applied;
    const isNew = this.position === 0;
    const first = entries[0]?.seq;
    const next = first ?? (isNew || limited ? this.firstOfShort(conversation) : this.position + 1);
    if (next > this.position + 1 && (limited || isNew || next <= lowestVisible(conversation)))
      this.restart(next, applied);
    this.head = Math.max(this.head, highestVisible(conversation));
    this.offer(entries, applied);
    this.watchGap(now);
    return applied;
  }

  /** Told without its entries: what is short is pulled whole, what is long begins at its end. */
  private firstOfShort(conversation: Conversation): number {
    const lowest = Math.max(lowestVisible(conversation), this.position + 1);
    return conversation.head - lowest < PULL_MAX ? lowest : conversation.head + 1;
  }

  private restart(from: number, applied: Applied): void {
    this.windowFrom = Math.max(1, from);
    this.windowPosition = this.windowFrom - 1;
    this.head = Math.max(this.head, this.windowPosition);
    this.gap = { state: "closed" };
    applied.restart = true;
    applied.ready = [];
  }

  private offer(entries: readonly Entry[], applied: Applied): void {
    for (const entry of entries) {
      this.head = Math.max(this.head, entry.seq);
      if (entry.seq === this.position + 1) this.take(entry, applied);
      else if (entry.seq > this.position) this.keepAhead(entry);
    }
    for (const seq of this.ahead.keys()) if (seq <= this.position) this.ahead.delete(seq);
    for (let next = this.ahead.get(this.position + 1); next; next = this.ahead.get(this.position + 1)) {
      this.ahead.delete(next.seq);
      this.take(next, applied);
    }
  }

  private take(entry: Entry, applied: Applied): void {
    this.windowPosition = entry.seq;
    applied.ready.push(entry);
  }

  /** At the bound the farthest entry goes. */
  private keepAhead(entry: Entry): void {
    this.ahead.set(entry.seq, entry);
    if (this.ahead.size > AHEAD_MAX) this.ahead.delete(Math.max(...this.ahead.keys()));
  }

  private watchGap(now: number): void {
    const isMissing = this.missing() !== undefined;
    if (!isMissing && this.gap.state === "open") this.gap = { state: "closed" };
    else if (isMissing && this.gap.state === "closed")
      this.gap = { state: "open", pullAt: now + GAP_WAIT_MS, tries: 0 };
  }

  /** The first range that is known to exist and not here. */
  missing(): Range | undefined {
    const from = this.position + 1;
    const last = this.ahead.size > 0 ? Math.min(...this.ahead.keys()) - 1 : this.head;
    return from <= last ? { from, to: Math.min(last, this.position + PULL_MAX) } : undefined;
  }

  /** When {@link Timeline.pull} has something to do. */
  get pullAt(): number | undefined {
    return this.gap.state === "open" ? this.gap.pullAt : undefined;
  }

  /** The range to pull now, if any. Until {@link Timeline.pulled} there is no other. */
  pull(now: number): Range | undefined {
    if (this.gap.state !== "open" || this.gap.pullAt > now) return undefined;
    // Pushes may have closed it meanwhile.
    const missing = this.missing();
    this.gap = missing ? { state: "pulling", tries: this.gap.tries } : { state: "closed" };
    return missing;
  }

  /** What a pull brought; `undefined` when it failed. */
  pulled(entries: Entries | undefined, now: number): Applied {
    const applied: Applied = { restart: false, ready: [] };
    const before = this.position;
    if (entries) {
      // Up to the floor everything is removed.
      if (entries.floor > this.position) this.restartKeepingGap(entries.floor + 1, applied);
      this.head = Math.max(this.head, entries.head);
      this.offer(entries.entries, applied);
    }
    if (this.gap.state !== "pulling") {
      this.watchGap(now);
      return applied;
    }
    const tries = this.position > before ? 0 : this.gap.tries + 1;
    if (!this.missing()) this.gap = { state: "closed" };
    else if (tries > TRIES_MAX) this.giveUp();
    else this.gap = { state: "open", pullAt: now + pauseMs(tries), tries };
    return applied;
  }

  private restartKeepingGap(from: number, applied: Applied): void {
    const { gap } = this;
    this.restart(from, applied);
    this.gap = gap;
  }

  /** The server says there is nothing for us in the gap. */
  giveUp(): void {
    this.ahead.clear();
    this.head = this.position;
    this.gap = { state: "closed" };
  }

  /** A pull that was under way got lost with its connection. */
  linkLost(now: number): void {
    if (this.gap.state === "pulling") this.gap = { state: "open", pullAt: now, tries: this.gap.tries };
  }
}

function pauseMs(tries: number): number {
  return tries === 0 ? 0 : GAP_WAIT_MS * 2 ** Math.min(tries, 7);
}

function lowestVisible(conversation: Conversation): number {
  return Math.max(conversation.floor + 1, conversation.me?.visibleFrom ?? 0);
}

/** Who left sees no further than that. */
function highestVisible(conversation: Conversation): number {
  const visibleTo = conversation.me?.visibleTo ?? 0;
  return visibleTo === 0 ? conversation.head : Math.min(conversation.head, visibleTo);
}
