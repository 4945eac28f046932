/** What can go wrong, and what to do about it: the retry policy lives with the error, not at its callers. */
import { EngineError } from "./api";
import { ERRORS, type Error as WireError } from "./wire/generated";

export type Retry =
  /** Not reached, or the connection went away: again once connected, with the same key. */
  | { kind: "network" }
  | { kind: "after"; ms: number }
  /** The outcome is unknown, or the order was wrong. */
  | { kind: "same_key" }
  | { kind: "never" };

/** Pause when the server asks for one without saying how long. */
const PAUSE_MS = 1_000;

export const offline = () => new EngineError("offline", "there is no connection to the server");
export const timedOut = () => new EngineError("timeout", "the answer took too long");

export function refused(error: WireError): EngineError {
  return new EngineError(error.code, error.message, error.retryAfterMs || undefined, error.trace || undefined);
}

export function retryOf(error: unknown): Retry {
  if (!(error instanceof EngineError)) return { kind: "never" };
  if (error.code === "offline") return { kind: "network" };
  const known = Object.hasOwn(ERRORS, error.code) ? ERRORS[error.code as keyof typeof ERRORS] : undefined;
  switch (known ?? (isLocal(error.code) ? "never" : "after a while")) {
    case "same key":
      return { kind: "same_key" };
    case "after a while":
      return { kind: "after", ms: error.retryAfterMs ?? PAUSE_MS };
    case "reconnect":
      return { kind: "network" };
    default:
      return { kind: "never" };
  }
}

function isLocal(code: string): boolean {
  return code === "outbox_full" || code === "logged_out" || code === "store_failed";
}

/** Errors cross to other threads as plain data. */
export interface ErrorData {
  readonly code: string;
  readonly message: string;
  readonly retryAfterMs?: number | undefined;
  readonly trace?: string | undefined;
}

export function toData(error: unknown): ErrorData {
  if (error instanceof EngineError) {
    const { code, message, retryAfterMs, trace } = error;
    return { code, message, retryAfterMs, trace };
  }
  return { code: "internal", message: String(error) };
}

export function fromData({ code, message, retryAfterMs, trace }: ErrorData): EngineError {
  return new EngineError(code, message, retryAfterMs, trace);
}
