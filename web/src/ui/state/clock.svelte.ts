/** The present moment, for what shows times relative to it. Moves on once a minute. */
const MINUTE_MS = 60_000;

let nowMs = $state(Date.now());

export const today = (): number => nowMs;

export function keepTime(): () => void {
  const timer = setInterval(() => {
    nowMs = Date.now();
  }, MINUTE_MS);
  return () => clearInterval(timer);
}
