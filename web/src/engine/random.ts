/** Randomness that also exists where a browser withholds `crypto.randomUUID` (plain HTTP). */

/** A UUID version 7: ordered by time, 74 random bits. */
export function uuidV7(nowMs: number = Date.now()): string {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  for (let at = 5, rest = nowMs; at >= 0; at--, rest = Math.floor(rest / 256)) bytes[at] = rest % 256;
  bytes[6] = 0x70 | ((bytes[6] ?? 0) & 0x0f);
  bytes[8] = 0x80 | ((bytes[8] ?? 0) & 0x3f);
  const hex = Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
  return [hex.slice(0, 8), hex.slice(8, 12), hex.slice(12, 16), hex.slice(16, 20), hex.slice(20)].join("-");
}

/** Pauses between attempts: doubling, bounded; half of each is random, so that many clients do not come back as one. */
export class Backoff {
  attempts = 0;

  constructor(
    private readonly firstMs: number,
    private readonly capMs: number,
  ) {}

  next(): number {
    const due = Math.min(this.firstMs * 2 ** Math.min(this.attempts, 30), this.capMs);
    this.attempts += 1;
    return due / 2 + (due / 2) * Math.random();
  }

  reset(): void {
    this.attempts = 0;
  }
}
