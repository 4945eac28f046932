import { expect, test } from "vitest";
import { type Clock, Frames, SHARE_MS } from "../../src/ui/logic/frames";

/** Time that passes as steps say, and frames that come when they are asked for. */
class Time implements Clock {
  ms = 0;
  private next: (() => void) | undefined;

  now(): number {
    return this.ms;
  }

  request(run: () => void): number {
    this.next = run;
    return 1;
  }

  cancel(): void {
    this.next = undefined;
  }

  /** How long the next frame takes; undefined: nobody wants one. */
  frame(): number | undefined {
    const run = this.next;
    this.next = undefined;
    const before = this.ms;
    run?.();
    return run && this.ms - before;
  }
}

function work(time: Time, steps: number, stepMs: number) {
  const done = { steps: 0, begins: 0, ends: 0, left: steps };
  const step = () => {
    time.ms += stepMs;
    done.steps++;
    done.left--;
    return done.left > 0;
  };
  return { done, begin: () => done.begins++, step, end: () => done.ends++ };
}

test("however much there is, a frame takes its share and one step at most, and all is done in the end", () => {
  const time = new Time();
  const much = work(time, 1_000, 0.7);
  const frames = new Frames(much, time);
  frames.soon();
  let count = 0;
  for (let took = time.frame(); took !== undefined; took = time.frame(), count++)
    expect(took).toBeLessThanOrEqual(SHARE_MS + 0.7);
  expect(much.done).toEqual({ steps: 1_000, begins: count, ends: count, left: 0 });
  expect(count).toBe(Math.ceil(1_000 / Math.ceil(SHARE_MS / 0.7)));
});

test("a busy machine makes one step a frame", () => {
  const time = new Time();
  const slow = work(time, 3, 50);
  const frames = new Frames(slow, time);
  frames.soon();
  for (const left of [2, 1, 0]) {
    time.frame();
    expect(slow.done.left).toBe(left);
  }
  expect(time.frame()).toBeUndefined();
});

test("asked for twice it is one frame, and none once it was stopped", () => {
  const time = new Time();
  const some = work(time, 1, 0);
  const frames = new Frames(some, time);
  frames.soon();
  frames.soon();
  time.frame();
  expect(some.done.begins).toBe(1);
  frames.soon();
  frames.stop();
  expect(time.frame()).toBeUndefined();
  frames.soon();
  expect(time.frame()).toBeDefined();
});
