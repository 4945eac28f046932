/**
 * One live connection: requests matched to replies, pushes, heartbeats, and why it ended. No store, no retries.
 *
 * The cookie logs it in; `hello` is the first thing it hears. Every request ends: with its reply, at its deadline, or with
 * the connection. At most {@link IN_FLIGHT_MAX} requests wait for replies; further ones wait for room, in order.
 */
import type { EngineError } from "../api";
import { offline, refused, timedOut } from "../errors";
import {
  decodeEnvelope,
  type Envelope,
  encodeRequest,
  type Loose,
  type Push,
  read,
  readPush,
  readReply,
  WireError,
} from "../wire/codec";
import { CLOSES, type Hello, type Requests } from "../wire/generated";

const CONNECT_MS = 10_000;
/** A server that opened and says nothing knows no session: the cookie may be gone. */
const SILENCE_MS = 2_000;
const REQUEST_MS = 10_000;
const HEARTBEAT_MS = 30_000;
/** Silence of the server after which the connection counts as lost. */
const LIVENESS_MS = 75_000;
/** The server stops reading at 64. */
const IN_FLIGHT_MAX = 56;
const TEXT_MAX = 65_536;

export interface CloseReason {
  /** Name of a close of docs/protocol.md, or `lost`. */
  readonly name: string;
  readonly advice: "stop" | "reconnect";
}

export interface Events {
  hello(hello: Hello): void;
  push(push: Push): void;
  /** It is open, but there is no `hello`. */
  silent(): void;
  /** Once, and nothing after it. */
  closed(reason: CloseReason): void;
}

interface Waiting {
  readonly type: keyof Requests;
  readonly payload: unknown;
  readonly resolve: (reply: never) => void;
  readonly reject: (error: EngineError) => void;
  deadline: ReturnType<typeof setTimeout>;
}

export class Connection {
  private readonly socket: WebSocket;
  private readonly waiting = new Map<number, Waiting>();
  private readonly queue: Waiting[] = [];
  private lastSeq = 0;
  private lastHeard = Date.now();
  private messagesHeard = 0;
  private lastSent = Date.now();
  private heartbeatMs = HEARTBEAT_MS;
  private beat: ReturnType<typeof setInterval> | undefined;
  private readonly connectDeadline: ReturnType<typeof setTimeout>;
  private silence: ReturnType<typeof setTimeout> | undefined;
  private ended = false;

  constructor(
    url: string,
    private readonly events: Events,
  ) {
    this.socket = new WebSocket(url, "skein.json");
    this.socket.onmessage = (message) => this.heard(message.data);
    this.socket.onopen = () => {
      this.silence = setTimeout(() => this.events.silent(), SILENCE_MS);
    };
    this.socket.onclose = (close) => this.end(reasonOf(close.code));
    this.connectDeadline = setTimeout(() => this.end(LOST), CONNECT_MS);
  }

  request<T extends keyof Requests>(type: T, payload: Loose<Requests[T][0]>): Promise<Requests[T][1]> {
    return new Promise((resolve, reject) => {
      if (this.ended) return reject(offline());
      const waiting: Waiting = { type, payload, resolve: resolve as Waiting["resolve"], reject, deadline: 0 as never };
      waiting.deadline = setTimeout(() => this.late(waiting), REQUEST_MS);
      this.queue.push(waiting);
      this.sendQueued();
    });
  }

  /** How many requests go out at once now. */
  get room(): number {
    return this.ended ? 0 : Math.max(0, IN_FLIGHT_MAX - this.waiting.size - this.queue.length);
  }

  /** Ends it from this side, without an event. */
  close(): void {
    if (this.ended) return;
    this.release();
    this.socket.close(1000);
  }

  private sendQueued(): void {
    while (this.socket.readyState === WebSocket.OPEN && this.waiting.size < IN_FLIGHT_MAX) {
      const waiting = this.queue.shift();
      if (!waiting) return;
      const seq = this.nextSeq();
      const text = encodeRequest(waiting.type, seq, waiting.payload as never);
      if (new TextEncoder().encode(text).length > TEXT_MAX) {
        clearTimeout(waiting.deadline);
        waiting.reject(refused({ code: "too_large", message: "larger than a frame", retryAfterMs: 0, trace: "" }));
        continue;
      }
      this.waiting.set(seq, waiting);
      this.lastSent = Date.now();
      this.socket.send(text);
    }
  }

  /** Positive and free. */
  private nextSeq(): number {
    do this.lastSeq = this.lastSeq >= 0x7fff_ffff ? 1 : this.lastSeq + 1;
    while (this.waiting.has(this.lastSeq));
    return this.lastSeq;
  }

  private late(waiting: Waiting): void {
    const at = this.queue.indexOf(waiting);
    if (at >= 0) this.queue.splice(at, 1);
    for (const [seq, other] of this.waiting) if (other === waiting) this.waiting.delete(seq);
    waiting.reject(timedOut());
    this.sendQueued();
  }

  private heard(data: unknown): void {
    if (this.ended) return;
    this.lastHeard = Date.now();
    this.messagesHeard += 1;
    try {
      if (typeof data !== "string") throw new WireError("binary");
      this.dispatch(decodeEnvelope(data));
    } catch (error) {
      if (!(error instanceof WireError)) throw error;
      this.end(reasonOf(1002));
    }
  }

  private dispatch(envelope: Envelope): void {
    if (envelope.seq === 0) {
      const push = readPush(envelope);
      if (push?.type === "hello") this.opened(push.payload);
      else if (push && push.type !== "error") this.events.push(push);
      return;
    }
    const waiting = this.waiting.get(envelope.seq);
    // The answer to a request that reached its deadline.
    if (!waiting) return;
    this.waiting.delete(envelope.seq);
    clearTimeout(waiting.deadline);
    this.answer(waiting, envelope);
    this.sendQueued();
  }

  private answer(waiting: Waiting, envelope: Envelope): void {
    if (envelope.type === "error") waiting.reject(refused(read("Error", envelope.payload)));
    else waiting.resolve(readReply(waiting.type, envelope) as never);
  }

  private opened(hello: Hello): void {
    clearTimeout(this.connectDeadline);
    clearTimeout(this.silence);
    const asked = hello.limits?.heartbeatIntervalMs || HEARTBEAT_MS;
    this.heartbeatMs = Math.min(HEARTBEAT_MS, asked);
    this.beat = setInterval(() => this.tick(), Math.max(100, this.heartbeatMs / 6));
    this.events.hello(hello);
  }

  private tick(): void {
    const now = Date.now();
    if (now - this.lastHeard > LIVENESS_MS) return this.end(reasonOf(4105));
    if (now - this.lastSent < this.heartbeatMs * 0.8) return;
    // Whether it is answered shows in `lastHeard`.
    this.request("heartbeat", {}).catch(() => undefined);
  }

  /** Asks the server for a sign of life: after sleep or a change of network nobody else tells that the line is dead. */
  probe(withinMs: number): void {
    const before = this.messagesHeard;
    this.request("heartbeat", {}).catch(() => undefined);
    setTimeout(() => {
      if (!this.ended && this.messagesHeard === before) this.end(LOST);
    }, withinMs);
  }

  private end(reason: CloseReason): void {
    if (this.ended) return;
    this.release();
    this.socket.close();
    this.events.closed(reason);
  }

  private release(): void {
    this.ended = true;
    this.socket.onopen = null;
    this.socket.onmessage = null;
    this.socket.onclose = null;
    clearTimeout(this.connectDeadline);
    clearTimeout(this.silence);
    clearInterval(this.beat);
    const waiting = [...this.waiting.values(), ...this.queue.splice(0)];
    this.waiting.clear();
    for (const { deadline, reject } of waiting) {
      clearTimeout(deadline);
      reject(offline());
    }
  }
}

const LOST: CloseReason = { name: "lost", advice: "reconnect" };

function reasonOf(code: number): CloseReason {
  const [name, advice] = CLOSES[code] ?? [LOST.name, LOST.advice];
  // This side says 1000 itself; from the server it is the polite form of "lost".
  return code === 1000 ? LOST : { name, advice };
}
