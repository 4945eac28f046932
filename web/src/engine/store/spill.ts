/**
 * A store on a disk that may have no room left: on disk for as long as it takes what is written, from then on in memory.
 *
 * Into memory goes everything but the lines, of which the server has all: each window begins anew behind its position. What
 * is on disk stays as it was, for the next start to catch up from.
 *
 * **Invariant:** what comes of the log between the first refusal and {@link Spill.open} belongs to windows that are gone, and
 * is left out; the cursor is left, too, so that it comes again.
 */
import { Memory } from "./memory";
import type { Line, Loaded, Store, Write } from "./rows";

export interface Disk extends Store {
  /** What is kept, without claiming it. */
  peek(): Promise<Loaded>;
}

const isFull = (error: unknown) => error instanceof Error && error.name === "QuotaExceededError";

export class Spill implements Store {
  /** Told once, when the disk is full: everything is to be read anew. */
  onFull: () => void = () => undefined;
  private memory: Memory | undefined;
  private isRead = false;

  constructor(private readonly disk: Disk) {}

  get isFull(): boolean {
    return this.memory !== undefined;
  }

  async open(): Promise<Loaded> {
    if (!this.memory) {
      try {
        return await this.disk.open();
      } catch (error) {
        if (!isFull(error)) throw error;
        this.memory = await this.spilled();
      }
    }
    this.isRead = true;
    return this.memory.open();
  }

  async write(write: Write): Promise<void> {
    if (this.memory) return this.memory.write(this.isRead ? write : withoutLog(write));
    try {
      await this.disk.write(write);
    } catch (error) {
      if (!isFull(error)) throw error;
      this.memory = await this.spilled();
      await this.memory.write(withoutLog(write));
      this.onFull();
    }
  }

  private async spilled(): Promise<Memory> {
    const { rows, ...rest } = await this.disk.peek();
    const memory = new Memory();
    await memory.write({ ...rest, rows: rows.map((row) => ({ ...row, from: row.position + 1 })) });
    return memory;
  }

  private get current(): Store {
    return this.memory ?? this.disk;
  }

  linesBelow(conversation: number, from: number, below: number, count: number): Promise<Line[]> {
    return this.current.linesBelow(conversation, from, below, count);
  }

  linesAbove(conversation: number, above: number, count: number): Promise<Line[]> {
    return this.current.linesAbove(conversation, above, count);
  }

  linesAt(places: readonly { conversation: number; seq: number }[]): Promise<Line[]> {
    return this.current.linesAt(places);
  }
}

function withoutLog({ forgetLog: _, forgetWindows: __, rows: ___, lines: ____, facts, ...rest }: Write): Write {
  if (!facts) return rest;
  const { place: _____, ...others } = facts;
  return { ...rest, facts: others };
}
