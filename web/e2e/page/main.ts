/** The engine without a user interface, for tests to call. */
import { type Engine, type Live, startEngine } from "../../src/engine";

const engine = startEngine();

/** The next value that fits. */
function when<T>(live: Live<T>, fits: (value: T) => boolean): Promise<T> {
  return new Promise((resolve) => {
    let stop: (() => void) | undefined;
    let isDone = false;
    stop = live.subscribe((value) => {
      if (isDone || !fits(value)) return;
      isDone = true;
      resolve(value);
      queueMicrotask(() => stop?.());
    });
  });
}

export interface Exposed {
  engine: Engine;
  when: typeof when;
}

declare global {
  interface Window extends Exposed {}
}

Object.assign(window, { engine, when } satisfies Exposed);
