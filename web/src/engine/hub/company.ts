/** Who else is in a conversation right now: up to where each has read, and who writes. */
import type { Cursor } from "../wire/generated";

/** Somebody who was not heard writing for so long has stopped. */
const TYPING_MS = 5_000;

export class Company {
  readonly readers = new Map<number, number>();
  private readonly typists = new Map<number, ReturnType<typeof setTimeout>>();

  constructor(
    private readonly myUid: () => number,
    private readonly changed: () => void,
  ) {}

  /** Who began last comes last. */
  get typing(): readonly number[] {
    return [...this.typists.keys()];
  }

  read(cursors: readonly Cursor[]): void {
    for (const { uid, read } of cursors)
      if (uid !== this.myUid()) this.readers.set(uid, Math.max(read, this.readers.get(uid) ?? 0));
    this.changed();
  }

  types(uid: number): void {
    clearTimeout(this.typists.get(uid));
    this.typists.delete(uid);
    this.typists.set(
      uid,
      setTimeout(() => this.stops(uid), TYPING_MS),
    );
    this.changed();
  }

  stops(uid: number): void {
    if (!this.typists.has(uid)) return;
    clearTimeout(this.typists.get(uid));
    this.typists.delete(uid);
    this.changed();
  }

  close(): void {
    for (const timer of this.typists.values()) clearTimeout(timer);
  }
}
