/**
 * Work that may be too much for one frame. It comes in small steps: a frame makes steps until its share of time is used, and
 * what is left goes on in the next one, from what is there by then.
 *
 * **Bounds:** a frame has at most {@link SHARE_MS} and one step of it, however much there is to do; and at least one step, so
 * that all is done in the end, however busy the machine is.
 */
export const SHARE_MS = 3;

export interface Work {
  /** Looks at what there is to do, once in a frame. */
  begin(): void;
  /** Does a little of it. False: nothing is left. */
  step(): boolean;
  /** After the last step of a frame. */
  end(): void;
}

export interface Clock {
  now(): number;
  /** Calls back with the next frame. */
  request(run: () => void): number;
  cancel(id: number): void;
}

const BROWSER: Clock = {
  now: () => performance.now(),
  request: (run) => requestAnimationFrame(run),
  cancel: (id) => cancelAnimationFrame(id),
};

export class Frames {
  private wanted = 0;

  constructor(
    private readonly work: Work,
    private readonly clock: Clock = BROWSER,
  ) {}

  /** With the next frame. */
  soon(): void {
    this.wanted ||= this.clock.request(() => this.frame());
  }

  stop(): void {
    this.clock.cancel(this.wanted);
    this.wanted = 0;
  }

  private frame(): void {
    this.wanted = 0;
    const until = this.clock.now() + SHARE_MS;
    this.work.begin();
    let isLeft = this.work.step();
    while (isLeft && this.clock.now() < until) isLeft = this.work.step();
    this.work.end();
    if (isLeft) this.soon();
  }
}
