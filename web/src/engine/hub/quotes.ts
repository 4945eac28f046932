/**
 * The messages that lines of a pane quote: from what is kept here, else from the server; off line they wait.
 *
 * Each is asked for once, when a line that quotes it is first shown, and again after it changed.
 */
import type { Quote } from "../api";
import type { Line } from "../store/rows";
import type { MessageState } from "../wire/generated";
import { quoteOf } from "./items";

export type Known = Quote | "missing";

/** Where quoted messages are looked for. */
export interface QuoteSource {
  readonly isOnline: boolean;
  kept(seqs: readonly number[]): Promise<readonly Line[]>;
  /** Undefined: there is none that I may see. */
  fetch(seq: number): Promise<MessageState | undefined>;
  /** Some were found. */
  changed(): void;
}

export class Quotes {
  private readonly known = new Map<number, Known>();
  /** To be looked for. */
  private readonly wanted = new Set<number>();
  /** Looked for, and not found yet: from when that begins until it is known, or wanted again with the next connection. */
  private readonly waiting = new Set<number>();
  private isLooking = false;

  constructor(private readonly source: QuoteSource) {}

  /** Of the message that is replied to; 0: none. */
  of(seq: number): Known | undefined {
    if (seq <= 0) return undefined;
    const known = this.known.get(seq);
    if (known === undefined) this.want(seq);
    return known;
  }

  /** It was edited or recalled. */
  stale(seq: number): void {
    this.known.delete(seq);
  }

  clear(): void {
    this.known.clear();
  }

  online(): void {
    for (const seq of this.waiting) this.wanted.add(seq);
    this.waiting.clear();
    this.look();
  }

  private want(seq: number): void {
    if (this.wanted.has(seq) || this.waiting.has(seq)) return;
    this.wanted.add(seq);
    this.look();
  }

  /** For all lines that are drawn at once together. */
  private look(): void {
    if (this.isLooking) return;
    this.isLooking = true;
    queueMicrotask(async () => {
      try {
        while (this.wanted.size > 0) await this.resolve();
      } finally {
        this.isLooking = false;
      }
    });
  }

  /** What is not kept here waits while off line, as does what the server did not tell. */
  private async resolve(): Promise<void> {
    const seqs = [...this.wanted];
    this.wanted.clear();
    for (const seq of seqs) this.waiting.add(seq);
    const kept = await this.source.kept(seqs).catch(() => []);
    for (const { seq, message } of kept) if (message) this.learn(seq, quoteOf(message));
    this.source.changed();
    for (const seq of seqs) {
      if (!this.waiting.has(seq) || !this.source.isOnline) continue;
      const fetched = this.source.fetch(seq).then((state) => this.learn(seq, state ? quoteOf(state) : "missing"));
      await fetched.catch(() => undefined);
    }
    this.source.changed();
  }

  private learn(seq: number, quote: Known): void {
    this.known.set(seq, quote);
    this.waiting.delete(seq);
    this.wanted.delete(seq);
  }
}
