/**
 * When the message list goes to its end by itself. Pure: the time comes from the caller.
 *
 * An append begins a burst of 500 ms; all growth within it, be it further messages or rows that turn out taller, belongs
 * to the one scroll of that burst. A reader who has scrolled up is left where they are.
 */
export const BURST_MS = 500;
/** So near to the end the reader counts as being there. */
export const NEAR_END_PX = 56;

export class Follow {
  /** The reader is at the end and wants to stay there. */
  atEnd = true;
  /** How many scrolls there were: one for each burst. */
  scrolls = 0;
  private burstEndsAt = Number.NEGATIVE_INFINITY;

  /** Something was appended. True: this begins a burst, scroll to the end. */
  appended(nowMs: number): boolean {
    if (!this.atEnd || nowMs < this.burstEndsAt) return false;
    this.burstEndsAt = nowMs + BURST_MS;
    this.scrolls++;
    return true;
  }

  /**
   * The list was scrolled to where so many pixels are left below. Any move upwards lets go of the end, or messages that
   * come in would take small moves back; a move downwards to near the end takes hold of it again.
   */
  scrolled(leftPx: number, upwards: boolean): void {
    if (leftPx <= 1) this.atEnd = true;
    else if (upwards) this.atEnd = false;
    else if (leftPx <= NEAR_END_PX) this.atEnd = true;
  }

  /** The list was placed somewhere on purpose: opened, or jumped to a message. */
  placed(atEnd: boolean): void {
    this.atEnd = atEnd;
    this.burstEndsAt = Number.NEGATIVE_INFINITY;
  }
}
