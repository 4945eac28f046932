/**
 * Messages that wait for their ack, in order per conversation. Without IO: the store keeps them, the session sends them.
 *
 * Each send names in `after` the key of the one before it that has no ack yet. When one fails in a way that another try may
 * cure, it and all behind it in its conversation are sent again, with the same keys. Tries never end by themselves (the
 * person discards), but pause up to {@link PAUSE_MAX_MS}. A message keeps its key for good.
 */
import { EngineError } from "../api";
import { retryOf } from "../errors";
import type { Body, Send } from "../wire/generated";

/** Messages of all conversations that wait. */
export const WAITING_MAX = 1_000;
/** Unanswered sends of one conversation, and of all together: the rest of the connection's room is for requests. */
const IN_FLIGHT_MAX = 16;
const IN_FLIGHT_ALL_MAX = 32;
const PAUSE_FIRST_MS = 100;
export const PAUSE_MAX_MS = 30_000;

/** A message of mine as it waits. */
export interface Waiting {
  readonly conversation: number;
  readonly key: string;
  readonly body: Body;
  readonly replyTo: number;
}

interface Item {
  readonly send: Waiting;
  /** Failures of an earlier attempt mean nothing. */
  attempt: number;
  inFlight: boolean;
}

interface Lane {
  items: Item[];
  holdUntil: number;
  tries: number;
}

export interface Attempt {
  readonly send: Send;
  readonly attempt: number;
}

/** `again`: it will be sent again. `failed`: it left the queue. `stale`: of an earlier attempt, or gone. */
export type Verdict = "again" | "failed" | "stale";

export class Outbox {
  private lanes = new Map<number, Lane>();

  get size(): number {
    let size = 0;
    for (const lane of this.lanes.values()) size += lane.items.length;
    return size;
  }

  push(send: Waiting): void {
    this.lane(send.conversation).items.push({ send, attempt: 0, inFlight: false });
  }

  /** The queue as the store has it, with what the server forgot: all of it goes out again. */
  restore(sends: readonly Waiting[]): void {
    const attempts = new Map<string, number>();
    for (const lane of this.lanes.values())
      for (const item of lane.items) attempts.set(item.send.key, item.attempt + 1);
    this.lanes.clear();
    for (const send of sends) {
      this.lane(send.conversation).items.push({ send, attempt: attempts.get(send.key) ?? 0, inFlight: false });
    }
  }

  private lane(conversation: number): Lane {
    const known = this.lanes.get(conversation);
    if (known) return known;
    const lane: Lane = { items: [], holdUntil: 0, tries: 0 };
    this.lanes.set(conversation, lane);
    return lane;
  }

  /** Everything that may go out now. */
  due(now: number): Attempt[] {
    let room = IN_FLIGHT_ALL_MAX;
    for (const lane of this.lanes.values()) for (const item of lane.items) if (item.inFlight) room -= 1;
    const attempts: Attempt[] = [];
    for (const lane of this.lanes.values()) {
      if (lane.holdUntil > now) continue;
      lane.holdUntil = 0;
      room -= takeDue(lane, room, attempts);
    }
    return attempts;
  }

  /** When {@link Outbox.due} has something that must wait now. */
  get wakeAt(): number | undefined {
    const holds = [...this.lanes.values()].map((lane) => lane.holdUntil).filter((until) => until > 0);
    return holds.length > 0 ? Math.min(...holds) : undefined;
  }

  /** Stored, says an ack of any attempt or the entry itself. False if it was not waiting. */
  acked(conversation: number, key: string): boolean {
    return this.remove(conversation, key);
  }

  /** Out of the queue without a trace; `after` of those behind it is made anew when they are sent. */
  remove(conversation: number, key: string): boolean {
    const lane = this.lanes.get(conversation);
    const at = lane?.items.findIndex((item) => item.send.key === key) ?? -1;
    if (!lane || at < 0) return false;
    lane.items.splice(at, 1);
    lane.tries = 0;
    if (lane.items.length === 0) this.lanes.delete(conversation);
    return true;
  }

  failed(conversation: number, key: string, attempt: number, error: unknown, now: number): Verdict {
    const lane = this.lanes.get(conversation);
    const at = lane?.items.findIndex((item) => item.send.key === key && item.attempt === attempt) ?? -1;
    if (!lane || at < 0) return "stale";
    if (isFinal(error)) {
      this.remove(conversation, key);
      return "failed";
    }
    const growing = Math.min(PAUSE_FIRST_MS * 2 ** Math.min(lane.tries, 20), PAUSE_MAX_MS);
    const retry = retryOf(error);
    const pause =
      retry.kind === "after" ? Math.max(retry.ms, growing) : retry.kind === "never" ? PAUSE_MAX_MS : growing;
    lane.tries += 1;
    lane.holdUntil = now + pause;
    rewind(lane, at);
    return "again";
  }

  /** Nothing is known of what was under way: all of it goes out again on the next connection. */
  linkLost(): void {
    for (const lane of this.lanes.values()) {
      lane.holdUntil = 0;
      lane.tries = 0;
      rewind(lane, 0);
    }
  }
}

function takeDue(lane: Lane, room: number, attempts: Attempt[]): number {
  const firstUnsent = lane.items.findIndex((item) => !item.inFlight);
  const sent = firstUnsent < 0 ? lane.items.length : firstUnsent;
  const end = Math.min(lane.items.length, IN_FLIGHT_MAX, sent + Math.max(0, room));
  for (let at = sent; at < end; at++) {
    const item = lane.items[at] as Item;
    item.inFlight = true;
    attempts.push({ send: { ...item.send, after: lane.items[at - 1]?.send.key ?? "" }, attempt: item.attempt });
  }
  return Math.max(0, end - sent);
}

function rewind(lane: Lane, from: number): void {
  for (const item of lane.items.slice(from)) {
    if (!item.inFlight) continue;
    item.inFlight = false;
    item.attempt += 1;
  }
}

/** A session that ended says nothing about the message: it waits for the next log-in. */
function isFinal(error: unknown): boolean {
  if (!(error instanceof EngineError)) return false;
  const isOfSession = error.code === "unauthorized" || error.code === "disabled" || error.code === "logged_out";
  return retryOf(error).kind === "never" && !isOfSession;
}
