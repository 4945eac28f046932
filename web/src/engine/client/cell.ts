import type { Live } from "../api";

/** A {@link Live} value that its owner sets. */
export class Cell<T> implements Live<T> {
  private readonly runs = new Set<(value: T) => void>();

  /** `onWatched` is told when the first subscriber comes and when the last one goes. */
  constructor(
    private current: T,
    private readonly onWatched?: (isWatched: boolean) => void,
  ) {}

  get value(): T {
    return this.current;
  }

  get isWatched(): boolean {
    return this.runs.size > 0;
  }

  set(value: T): void {
    if (value === this.current) return;
    this.current = value;
    for (const run of [...this.runs]) run(value);
  }

  subscribe(run: (value: T) => void): () => void {
    // The same function may subscribe twice.
    const own = (value: T) => run(value);
    this.runs.add(own);
    if (this.runs.size === 1) this.onWatched?.(true);
    run(this.current);
    return () => {
      if (this.runs.delete(own) && this.runs.size === 0) this.onWatched?.(false);
    };
  }
}
