/**
 * Keeps a connection up for whoever is logged in: dialling with growing pauses, what each way to lose the link means, and the
 * one clock by which everything due is done. What comes in and what goes out are {@link Incoming} and {@link Outgoing}.
 *
 * A failed store takes the link down, and the session begins anew from what is stored.
 */
import type { Ended, Connection as Status } from "../api";
import { offline } from "../errors";
import { type CloseReason, Connection } from "../net/connection";
import { Backoff } from "../random";
import { StoreTaken } from "../store/rows";
import type { Loose, Push } from "../wire/codec";
import type { Conversation, Hello, Requests } from "../wire/generated";
import { Incoming } from "./incoming";
import type { Model } from "./model";
import type { Host, Observer } from "./observer";
import { Outgoing } from "./outgoing";
import type { Turns } from "./turns";

const RECONNECT_FIRST_MS = 250;
const RECONNECT_MAX_MS = 10_000;
/** How long a probed connection has for a sign of life. */
const PROBE_MS = 4_000;
/** No server sends a client away for longer. */
const AWAY_MAX_MS = 300_000;
const TIMER_MAX_MS = 0x7fff_ffff;
const NEVER = Number.POSITIVE_INFINITY;

type Link =
  | { state: "idle" }
  | { state: "waiting"; until: number }
  | { state: "dialing"; connection: Connection }
  | { state: "online"; connection: Connection; isSynced: boolean; leaveAt: number };

export class Session implements Host {
  readonly outgoing: Outgoing;
  private readonly incoming: Incoming;
  private link: Link = { state: "idle" };
  private readonly backoff = new Backoff(RECONNECT_FIRST_MS, RECONNECT_MAX_MS);
  private timer: ReturnType<typeof setTimeout> | undefined;
  private timerAt = NEVER;

  constructor(
    private readonly model: Model,
    private readonly turns: Turns,
    private readonly url: string,
    private readonly observer: Observer,
    /** Memory from the store, after the store failed. */
    private readonly reload: () => Promise<void>,
  ) {
    this.outgoing = new Outgoing(model, observer, this);
    this.incoming = new Incoming(model, observer, this.outgoing, this, () => this.synced());
  }

  /** Memory is what the store says; dials if there is somebody to log in. */
  start(): void {
    this.restore();
    this.dialNow();
  }

  restore(): void {
    this.incoming.restore();
    this.outgoing.restore();
  }

  get isOnline(): boolean {
    return this.link.state === "online";
  }

  get isSynced(): boolean {
    return this.link.state === "online" && this.link.isSynced;
  }

  /** A request of the person: with the connection there is, or `offline`. */
  ask<T extends keyof Requests>(type: T, payload: Loose<Requests[T][0]>): Promise<Requests[T][1]> {
    return this.link.state === "online" ? this.link.connection.request(type, payload) : Promise.reject(offline());
  }

  /** A conversation as a reply told it. */
  learn(conversation: Conversation): Promise<void> {
    return this.turns.run(() => this.incoming.learn(conversation));
  }

  // -------------------------------------------------------------------------------------------- link

  dialNow(): void {
    if (this.link.state === "online" || this.link.state === "dialing") return;
    this.backoff.reset();
    this.link = this.model.account?.live ? { state: "waiting", until: Date.now() } : { state: "idle" };
    this.showStatus();
    this.wake();
  }

  /** The network may be back, or the machine woke up. */
  nudge(): void {
    if (this.link.state === "waiting") this.dialNow();
    else if (this.link.state === "online") this.link.connection.probe(PROBE_MS);
  }

  stop(): void {
    this.dropLink();
    this.showStatus();
  }

  private dial(): void {
    const connection: Connection = new Connection(this.url, {
      hello: (hello) => this.settle(() => this.opened(connection, hello)),
      push: (push) => this.isCurrent(connection) && this.heard(push),
      silent: () => this.isCurrent(connection) && this.observer.silent(),
      closed: (reason) => this.isCurrent(connection) && this.closed(reason),
    });
    this.link = { state: "dialing", connection };
    this.showStatus();
  }

  /** What an earlier connection says is not taken for this one's. */
  private isCurrent(connection: Connection): boolean {
    return "connection" in this.link && this.link.connection === connection;
  }

  private async opened(connection: Connection, hello: Hello): Promise<void> {
    if (!this.isCurrent(connection)) return;
    await this.incoming.meetEpoch(hello.epoch);
    if (!this.isCurrent(connection)) return;
    this.backoff.reset();
    this.link = { state: "online", connection, isSynced: false, leaveAt: NEVER };
    this.incoming.linkUp(Date.now());
    this.showStatus();
    this.observer.hello(hello);
    this.wake();
  }

  private heard(push: Push): void {
    if (push.type !== "goAway") return this.incoming.heard(push);
    const afterMs = Math.min(Math.max(0, push.payload.afterMs), AWAY_MAX_MS);
    if (this.link.state === "online") this.link.leaveAt = Date.now() + afterMs;
    this.wake();
  }

  private synced(): void {
    if (this.link.state !== "online") return;
    const wasSynced = this.link.isSynced;
    this.link.isSynced = true;
    this.outgoing.synced();
    this.showStatus();
    if (!wasSynced) this.observer.synced();
  }

  private closed(reason: CloseReason): void {
    const leaveAt = this.link.state === "online" ? this.link.leaveAt : NEVER;
    this.dropLink();
    if (reason.advice === "stop") {
      this.showStatus();
      return this.observer.ended(endedBy(reason.name));
    }
    // `goAway` said when to come back.
    this.waitUntil(Number.isFinite(leaveAt) ? leaveAt : Date.now() + this.backoff.next());
  }

  private waitUntil(until: number): void {
    this.link = { state: "waiting", until };
    this.showStatus();
    this.wake();
  }

  /** What was under way is not: its outcome is unknown. */
  private dropLink(): void {
    if ("connection" in this.link) this.link.connection.close();
    this.link = { state: "idle" };
    this.outgoing.linkLost();
    this.incoming.linkLost(Date.now());
  }

  private showStatus(): void {
    this.observer.status(this.status());
  }

  status(): Status {
    const { link } = this;
    switch (link.state) {
      case "idle":
        return { state: "idle" };
      case "waiting":
        return { state: "offline", retryAt: link.until, network: navigator.onLine !== false };
      case "dialing":
        return { state: "connecting", attempt: this.backoff.attempts + 1 };
      case "online":
        return { state: link.isSynced ? "online" : "updating" };
    }
  }

  // -------------------------------------------------------------------------------------------- the clock

  /** Does what is due, and sets the clock to what is due next. */
  wake(): void {
    const now = Date.now();
    if (this.link.state === "waiting" && this.link.until <= now) this.dial();
    if (this.link.state === "online") {
      if (this.link.leaveAt <= now) return this.closed({ name: "going_away", advice: "reconnect" });
      this.incoming.start(this.link.connection, now);
      this.outgoing.start(this.link.connection, now);
    }
    this.setClock();
  }

  private setClock(): void {
    const at = this.dueAt();
    if (this.timer !== undefined && at === this.timerAt) return;
    clearTimeout(this.timer);
    this.timer = undefined;
    this.timerAt = at;
    if (!Number.isFinite(at)) return;
    const onTime = () => {
      this.timer = undefined;
      this.wake();
    };
    this.timer = setTimeout(onTime, Math.min(Math.max(0, at - Date.now()), TIMER_MAX_MS));
  }

  private dueAt(): number {
    if (this.link.state === "waiting") return this.link.until;
    if (this.link.state !== "online") return NEVER;
    return Math.min(this.link.leaveAt, this.incoming.wakeAt(), this.outgoing.wakeAt());
  }

  settle(work: () => Promise<void> | void): void {
    this.turns.run(work).catch((error) => this.recover(error));
  }

  private async recover(error: unknown): Promise<void> {
    this.dropLink();
    if (error instanceof StoreTaken) {
      this.showStatus();
      return this.observer.ended("replaced");
    }
    console.error("the session starts over from its store", error);
    await this.startOver(this.backoff.next());
  }

  /** Everything anew, from what is kept. */
  async startOver(afterMs: number): Promise<void> {
    this.dropLink();
    await this.turns.run(this.reload).catch(() => undefined);
    this.restore();
    if (this.model.account?.live) this.waitUntil(Date.now() + afterMs);
    else this.showStatus();
  }
}

function endedBy(close: string): Ended {
  switch (close) {
    case "logged_in_elsewhere":
    case "replaced":
    case "logged_out":
    case "disabled":
      return close;
    case "auth_failed":
      return "expired";
    default:
      return "incompatible";
  }
}
