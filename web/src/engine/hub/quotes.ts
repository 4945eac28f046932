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
  private readonly wanted = new Set<number>();

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
    if (this.wanted.size > 0) void this.resolve().catch(() => undefined);
  }

  private want(seq: number): void {
    if (this.wanted.has(seq)) return;
    this.wanted.add(seq);
    if (this.wanted.size === 1) queueMicrotask(() => void this.resolve().catch(() => undefined));
  }

  private async resolve(): Promise<void> {
    const seqs = [...this.wanted];
    for (const { seq, message } of await this.source.kept(seqs)) if (message) this.learn(seq, quoteOf(message));
    this.source.changed();
    for (const seq of seqs) {
      if (!this.wanted.has(seq) || !this.source.isOnline) continue;
      const state = await this.source.fetch(seq);
      this.learn(seq, state ? quoteOf(state) : "missing");
    }
    this.source.changed();
    // What stays is asked for again when its line is shown anew, or with the next connection.
    if (this.source.isOnline) this.wanted.clear();
  }

  private learn(seq: number, quote: Known): void {
    this.known.set(seq, quote);
    this.wanted.delete(seq);
  }
}
