/** When to sync next. Without IO. */
import { Backoff } from "../random";

/** A session that heard no push for so long, ± a fifth, asks whether it missed one. */
const QUIET_MS = 300_000;
/** Pushes of a conversation that sync does not know either start no more syncs than one in this time. */
const UNKNOWN_PAUSE_MS = 1_000;

export class Schedule {
  isRunning = false;
  private wantedAt: number | undefined;
  private quietAt = Number.POSITIVE_INFINITY;
  private finishedAt = Number.NEGATIVE_INFINITY;
  private readonly backoff = new Backoff(200, 30_000);

  begin(now: number): void {
    this.linkLost();
    this.wantedAt = now;
  }

  linkLost(): void {
    this.isRunning = false;
    this.backoff.reset();
  }

  want(at: number): void {
    this.wantedAt = Math.min(this.wantedAt ?? at, at);
  }

  wantForUnknown(now: number): void {
    this.want(Math.max(now, this.finishedAt + UNKNOWN_PAUSE_MS));
  }

  heardPush(now: number): void {
    this.quietAt = now + QUIET_MS * (0.8 + 0.4 * Math.random());
  }

  get wakeAt(): number | undefined {
    if (this.isRunning) return undefined;
    const at = Math.min(this.wantedAt ?? Number.POSITIVE_INFINITY, this.quietAt);
    return Number.isFinite(at) ? at : undefined;
  }

  /** Whether to ask for a page now. */
  start(now: number): boolean {
    if ((this.wakeAt ?? Number.POSITIVE_INFINITY) > now) return false;
    this.isRunning = true;
    this.wantedAt = undefined;
    this.heardPush(now);
    return true;
  }

  /** A page is in; `more`: the next one is wanted at once. */
  paged(now: number, more: boolean): void {
    this.isRunning = false;
    this.backoff.reset();
    if (more) this.want(now);
    else this.finishedAt = now;
  }

  failed(now: number, askedPauseMs: number): void {
    this.isRunning = false;
    this.want(now + Math.max(askedPauseMs, this.backoff.next()));
  }
}
