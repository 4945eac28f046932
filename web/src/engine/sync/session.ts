/**
 * Keeps a connection up, applies what it brings, sends what waits.
 *
 * It alone writes the log and moves positions. Everything it hears is worked on in turns; pushes that came meanwhile are
 * one turn together, so a burst costs few writes. What an observer is told of is in the store before.
 *
 * Bounds: {@link PUSHES_MAX} entries wait for their turn, beyond that they are dropped and one sync takes their place;
 * {@link PULLS_MAX} pulls run at once, one per conversation.
 */
import type { Ended, Connection as Status } from "../api";
import { offline, retryOf } from "../errors";
import { type CloseReason, Connection } from "../net/connection";
import { Backoff } from "../random";
import { StoreTaken } from "../store/rows";
import type { Loose, Push } from "../wire/codec";
import type { Conversation, Cursors, Entry, Hello, Requests, RoomInfo, SyncPage, UserEvent } from "../wire/generated";
import type { Advance, Model, Page } from "./model";
import { Outbox, WAITING_MAX, type Waiting } from "./outbox";
import { owesRead, readOf } from "./row";
import { Schedule } from "./schedule";
import { type Applied, Timeline } from "./timeline";
import type { Turns } from "./turns";

const PUSHES_MAX = 4_000;
const PULLS_MAX = 8;
/** Deliveries and read cursors are told together, after these times. */
const DELIVER_WAIT_MS = 1_000;
const READ_WAIT_MS = 300;
const DRAFT_WAIT_MS = 1_000;
const CURSORS_MAX = 16;
const RECONNECT_FIRST_MS = 250;
const RECONNECT_MAX_MS = 10_000;
/** How long a probed connection has for a sign of life. */
const PROBE_MS = 4_000;

/** Who is told what happened. Nothing here throws. */
export interface Observer {
  status(status: Status): void;
  hello(hello: Hello): void;
  /** The server is there, but does not know who this is. */
  silent(): void;
  /** The session is over, for this reason. */
  ended(ended: Ended): void;
  /** A conversation moved; `isLive`: not by catching up. `held` was its position before. */
  moved(conversation: number, held: number, applied: Applied, isLive: boolean): void;
  /** Something about these conversations changed. */
  changed(conversations: Iterable<number>): void;
  /** Conversations and windows were replaced. */
  reset(): void;
  synced(): void;
  userEvents(events: readonly UserEvent[]): void;
  cursors(cursors: Cursors): void;
  typing(conversation: number, uid: number): void;
  rooms(rooms: readonly RoomInfo[]): void;
  notice(title: string, text: string, atMs: number): void;
  sendFailed(conversation: number, key: string, code: string): void;
}

type Link =
  | { state: "idle" }
  | { state: "waiting"; until: number }
  | { state: "dialing"; connection: Connection }
  | { state: "online"; connection: Connection; isSynced: boolean; leaveAt: number };

interface Tracked {
  readonly timeline: Timeline;
  readonly isRoom: boolean;
}

export class Session {
  private link: Link = { state: "idle" };
  private readonly backoff = new Backoff(RECONNECT_FIRST_MS, RECONNECT_MAX_MS);
  private readonly sync = new Schedule();
  private readonly outbox = new Outbox();
  private tracked = new Map<number, Tracked>();
  private pushes: Push[] = [];
  private pushedEntries = 0;
  private isDraining = false;
  private pulls = 0;
  private readonly undelivered = new Set<number>();
  private deliverAt = Number.POSITIVE_INFINITY;
  private readAt = Number.POSITIVE_INFINITY;
  private readonly drafts = new Map<number, number>();
  private timer: ReturnType<typeof setTimeout> | undefined;
  private timerAt = Number.POSITIVE_INFINITY;

  constructor(
    private readonly model: Model,
    private readonly turns: Turns,
    private readonly url: string,
    private readonly observer: Observer,
    /** Memory from the store, after the store failed. */
    private readonly reload: () => Promise<void>,
  ) {}

  /** Memory is what the store says; dials if there is somebody to log in. */
  start(): void {
    this.restore();
    this.dialNow();
  }

  restore(): void {
    this.tracked = new Map();
    for (const { id, from, position, info } of this.model.rows.values()) {
      this.tracked.set(id, { timeline: new Timeline(from, position), isRoom: info.kind === "ROOM" });
    }
    this.outbox.restore(this.model.waiting());
  }

  get isOnline(): boolean {
    return this.link.state === "online";
  }

  get isSynced(): boolean {
    return this.link.state === "online" && this.link.isSynced;
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
      hello: (hello) =>
        this.ofLink(connection, () => void this.guard(this.turns.run(() => this.opened(connection, hello)))),
      push: (push) => this.ofLink(connection, () => this.heard(push)),
      silent: () => this.ofLink(connection, () => this.observer.silent()),
      closed: (reason) => this.ofLink(connection, () => this.closed(reason)),
    });
    this.link = { state: "dialing", connection };
    this.showStatus();
  }

  /** What an earlier connection says is not taken for this one's. */
  private ofLink(connection: Connection, run: () => void): void {
    if ("connection" in this.link && this.link.connection === connection) run();
  }

  private async opened(connection: Connection, hello: Hello): Promise<void> {
    await this.meetEpoch(hello.epoch);
    this.ofLink(connection, () => {
      this.backoff.reset();
      this.link = { state: "online", connection, isSynced: false, leaveAt: Number.POSITIVE_INFINITY };
      this.sync.begin(Date.now());
      this.showStatus();
      this.observer.hello(hello);
      this.wake();
    });
  }

  /** Another epoch: positions and cursors mean nothing any more. */
  private async meetEpoch(epoch: string): Promise<void> {
    const known = this.model.place.epoch;
    if (known === epoch) return;
    const isFirst = known === "0";
    await this.model.apply({ reset: !isFirst, place: { epoch, cursor: "" }, advances: [] });
    if (!isFirst) this.forgotten();
  }

  private forgotten(): void {
    this.tracked.clear();
    this.outbox.restore(this.model.waiting());
    this.observer.reset();
  }

  private closed(reason: CloseReason): void {
    const leaveAt = this.link.state === "online" ? this.link.leaveAt : Number.POSITIVE_INFINITY;
    this.dropLink();
    if (reason.advice === "stop") {
      this.showStatus();
      this.observer.ended(endedBy(reason.name));
      return;
    }
    this.waitToDial();
    // `goAway` said when to come back.
    if (Number.isFinite(leaveAt)) this.link = { state: "waiting", until: leaveAt };
    this.showStatus();
    this.wake();
  }

  private waitToDial(): void {
    this.link = { state: "waiting", until: Date.now() + this.backoff.next() };
  }

  /** What was under way is not: its outcome is unknown. */
  private dropLink(): void {
    if ("connection" in this.link) this.link.connection.close();
    this.link = { state: "idle" };
    this.pushes = [];
    this.pushedEntries = 0;
    this.pulls = 0;
    this.outbox.linkLost();
    this.sync.linkLost();
    for (const { timeline } of this.tracked.values()) timeline.linkLost(Date.now());
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
  private wake(): void {
    const now = Date.now();
    if (this.link.state === "waiting" && this.link.until <= now) this.dial();
    if (this.link.state === "online") {
      if (this.link.leaveAt <= now) return this.closed({ name: "going_away", advice: "reconnect" });
      this.startSync(this.link.connection, now);
      this.startPulls(this.link.connection, now);
      this.startSends(this.link.connection, now);
      this.startCursors(now);
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
    this.timer = setTimeout(onTime, Math.min(Math.max(0, at - Date.now()), 0x7fff_ffff));
  }

  private dueAt(): number {
    if (this.link.state === "waiting") return this.link.until;
    if (this.link.state !== "online") return Number.POSITIVE_INFINITY;
    const drafts = Math.min(Number.POSITIVE_INFINITY, ...this.drafts.values());
    const own = Math.min(this.link.leaveAt, this.deliverAt, this.readAt, drafts, this.pullAt());
    return Math.min(own, this.sync.wakeAt ?? own, this.outbox.wakeAt ?? own);
  }

  /** A failed store takes the link down; the session begins anew from what is stored. */
  private async guard(work: Promise<void>): Promise<void> {
    try {
      await work;
    } catch (error) {
      this.dropLink();
      if (error instanceof StoreTaken) {
        this.showStatus();
        this.observer.ended("replaced");
        return;
      }
      console.error("the session starts over from its store", error);
      await this.turns.run(this.reload).catch(() => undefined);
      this.restore();
      this.waitToDial();
      this.showStatus();
      this.wake();
    }
  }

  // -------------------------------------------------------------------------------------------- sync

  private startSync(connection: Connection, now: number): void {
    if (!this.sync.start(now)) return;
    const asked = connection.request("sync", { cursor: this.model.place.cursor });
    asked.then(
      (page) => this.ofLink(connection, () => void this.guard(this.turns.run(() => this.onPage(page)))),
      (error) => this.ofLink(connection, () => void this.guard(this.turns.run(() => this.onSyncFailed(error)))),
    );
  }

  private async onPage(page: SyncPage): Promise<void> {
    const now = Date.now();
    if (page.reset) this.tracked.clear();
    const advances: Advance[] = [];
    const moves: { held: number; applied: Applied; id: number }[] = [];
    for (const change of page.conversations) {
      if (!change.conversation) continue;
      const { timeline } = this.track(change.conversation);
      const held = timeline.position;
      const applied = timeline.page(change, now);
      moves.push({ held, applied, id: change.conversation.id });
      advances.push(this.advance(change.conversation.id, applied, change.conversation));
    }
    const place = { ...this.model.place, cursor: page.cursor };
    await this.keep({ reset: page.reset, place, advances });
    if (page.reset) this.forgottenButTracked();
    for (const { id, held, applied } of moves) this.moved(id, held, applied, false);
    this.observer.changed(moves.map(({ id }) => id));
    if (page.events.length > 0) await this.onUserEvents(page.events);
    this.sync.paged(now, page.more);
    if (!page.more) this.onSynced();
    this.wake();
  }

  private forgottenButTracked(): void {
    this.outbox.restore(this.model.waiting());
    this.observer.reset();
  }

  private async onSyncFailed(error: unknown): Promise<void> {
    const { code } = error as { code?: string };
    if (code === "bad_cursor") await this.model.apply({ place: { ...this.model.place, cursor: "" }, advances: [] });
    const retry = retryOf(error);
    this.sync.failed(Date.now(), retry.kind === "after" ? retry.ms : 0);
    this.wake();
  }

  private onSynced(): void {
    if (this.link.state !== "online") return;
    const wasSynced = this.link.isSynced;
    this.link.isSynced = true;
    this.readAt = Date.now();
    for (const row of this.model.rows.values()) if (!row.draftTold) this.drafts.set(row.id, Date.now());
    this.showStatus();
    if (!wasSynced) this.observer.synced();
  }

  private track(info: Conversation): Tracked {
    let tracked = this.tracked.get(info.id);
    if (!tracked) {
      tracked = { timeline: new Timeline(1, 0), isRoom: info.kind === "ROOM" };
      this.tracked.set(info.id, tracked);
    }
    return tracked;
  }

  private advance(conversation: number, { restart, ready }: Applied, info?: Conversation): Advance {
    const timeline = this.tracked.get(conversation)?.timeline ?? new Timeline(1, 0);
    return { conversation, info, restart, ready, from: timeline.from, position: timeline.position };
  }

  private async keep(page: Page): Promise<void> {
    for (const key of await this.model.apply(page)) {
      // The entry itself came: as good as an ack.
      for (const { conversation } of page.advances) this.outbox.acked(conversation, key);
    }
    const uid = this.model.myUid;
    for (const { conversation, ready } of page.advances) {
      if (!ready.some((entry) => entry.author !== uid)) continue;
      this.undelivered.add(conversation);
      this.deliverAt = Math.min(this.deliverAt, Date.now() + DELIVER_WAIT_MS);
    }
  }

  private moved(conversation: number, held: number, applied: Applied, isLive: boolean): void {
    if (applied.restart || applied.ready.length > 0) this.observer.moved(conversation, held, applied, isLive);
  }

  /** A conversation as a reply told it. */
  learn(conversation: Conversation): Promise<void> {
    return this.turns.run(() => this.learnNow(conversation));
  }

  private async learnNow(conversation: Conversation): Promise<void> {
    const { timeline } = this.track(conversation);
    const held = timeline.position;
    const applied = timeline.page({ conversation, entries: [], limited: false }, Date.now());
    await this.keep({ advances: [this.advance(conversation.id, applied, conversation)] });
    this.moved(conversation.id, held, applied, false);
    this.observer.changed([conversation.id]);
    this.wake();
  }

  private async onUserEvents(events: readonly UserEvent[]): Promise<void> {
    for (const { membership, conversation } of events) {
      if (membership && (await this.model.membership(membership))) this.observer.changed([membership.conversation]);
      if (conversation) await this.learnNow(conversation);
    }
    this.observer.userEvents(events);
  }

  // -------------------------------------------------------------------------------------------- pushes

  private heard(push: Push): void {
    this.sync.heardPush(Date.now());
    if (push.type === "goAway") return this.onGoAway(push.payload.afterMs);
    this.pushes.push(push);
    if (push.type === "serverMessages") this.pushedEntries += push.payload.entries.length;
    if (this.pushedEntries > PUSHES_MAX) this.overflow();
    if (this.isDraining) return;
    this.isDraining = true;
    const drained = this.turns.run(() => {
      this.isDraining = false;
      return this.drain();
    });
    void this.guard(drained);
  }

  private overflow(): void {
    this.pushes = this.pushes.filter((push) => push.type !== "serverMessages");
    this.pushedEntries = 0;
    this.sync.want(Date.now());
  }

  private onGoAway(afterMs: number): void {
    if (this.link.state === "online") this.link.leaveAt = Date.now() + Math.min(Math.max(0, afterMs), 300_000);
    this.setClock();
  }

  /** All pushes that wait, as one write where they are messages. */
  private async drain(): Promise<void> {
    const pushes = this.pushes;
    this.pushes = [];
    this.pushedEntries = 0;
    const messages = new Map<number, Entry[]>();
    for (const push of pushes) {
      if (push.type !== "serverMessages") continue;
      const { conversation, entries } = push.payload;
      const known = messages.get(conversation);
      if (known) known.push(...entries);
      else messages.set(conversation, [...entries]);
    }
    await this.onMessages(messages);
    for (const push of pushes) if (push.type !== "serverMessages") await this.onPush(push);
    this.wake();
  }

  private async onMessages(messages: ReadonlyMap<number, readonly Entry[]>): Promise<void> {
    const now = Date.now();
    const advances: Advance[] = [];
    const moves: { held: number; applied: Applied; id: number }[] = [];
    for (const [id, entries] of messages) {
      const timeline = this.tracked.get(id)?.timeline;
      if (!timeline) {
        this.sync.wantForUnknown(now);
        continue;
      }
      const held = timeline.position;
      const applied = timeline.push(entries, now);
      if (applied.ready.length === 0) continue;
      moves.push({ held, applied, id });
      advances.push(this.advance(id, applied));
    }
    if (advances.length === 0) return;
    await this.keep({ advances });
    for (const { id, held, applied } of moves) this.moved(id, held, applied, this.isSynced);
    this.observer.changed(moves.map(({ id }) => id));
  }

  private async onPush(push: Push): Promise<void> {
    switch (push.type) {
      case "userEvents":
        return this.onUserEvents(push.payload.events);
      case "cursors":
        if (await this.model.cursors(push.payload)) this.observer.changed([push.payload.conversation]);
        return this.observer.cursors(push.payload);
      case "typing":
        return this.observer.typing(push.payload.conversation, push.payload.uid);
      case "roomsChanged":
        return this.observer.rooms(push.payload.rooms);
      case "resync":
        return this.sync.want(Date.now() + Math.min(Math.max(0, push.payload.afterMs), 300_000));
      case "notice":
        return this.observer.notice(push.payload.title, push.payload.text, push.payload.atMs);
      default:
        return undefined;
    }
  }

  // -------------------------------------------------------------------------------------------- pulls

  /** Not while as many pulls run as may: the end of one looks again. */
  private pullAt(): number {
    let at = Number.POSITIVE_INFINITY;
    if (this.pulls < PULLS_MAX)
      for (const { timeline } of this.tracked.values()) at = Math.min(at, timeline.pullAt ?? at);
    return at;
  }

  private startPulls(connection: Connection, now: number): void {
    for (const [conversation, { timeline }] of this.tracked) {
      if (this.pulls >= PULLS_MAX) return;
      const range = timeline.pull(now);
      if (!range) continue;
      this.pulls += 1;
      connection.request("pull", { conversation, ...range }).then(
        (entries) =>
          this.ofLink(connection, () => void this.guard(this.turns.run(() => this.onPulled(conversation, entries)))),
        (error) =>
          this.ofLink(
            connection,
            () => void this.guard(this.turns.run(() => this.onPulled(conversation, undefined, error))),
          ),
      );
    }
  }

  private async onPulled(
    conversation: number,
    entries: Requests["pull"][1] | undefined,
    error?: unknown,
  ): Promise<void> {
    this.pulls = Math.max(0, this.pulls - 1);
    const timeline = this.tracked.get(conversation)?.timeline;
    if (timeline && error !== undefined && retryOf(error).kind === "never") timeline.giveUp();
    else if (timeline) {
      const held = timeline.position;
      const applied = timeline.pulled(entries, Date.now());
      if (applied.restart || applied.ready.length > 0) {
        await this.keep({ advances: [this.advance(conversation, applied)] });
        this.moved(conversation, held, applied, this.isSynced);
        this.observer.changed([conversation]);
      }
    }
    this.wake();
  }

  // -------------------------------------------------------------------------------------------- what goes out

  /** A request of the person: with the connection there is, or `offline`. */
  ask<T extends keyof Requests>(type: T, payload: Loose<Requests[T][0]>): Promise<Requests[T][1]> {
    return this.link.state === "online" ? this.link.connection.request(type, payload) : Promise.reject(offline());
  }

  get hasRoomToSend(): number {
    return WAITING_MAX - this.outbox.size;
  }

  /** On disk first, then on its way. */
  async send(sends: readonly Waiting[]): Promise<void> {
    await this.model.enqueue(sends, Date.now());
    for (const send of sends) this.outbox.push(send);
    this.wake();
  }

  async retry(key: string): Promise<boolean> {
    const echo = await this.model.retry(key, Date.now());
    if (!echo) return false;
    this.outbox.push(echo);
    this.wake();
    return true;
  }

  /** One that is under way may arrive all the same. */
  async discard(key: string): Promise<boolean> {
    const echo = await this.model.discard(key);
    if (echo) this.outbox.remove(echo.conversation, key);
    return echo !== undefined;
  }

  private startSends(connection: Connection, now: number): void {
    for (const { send, attempt } of this.outbox.due(now)) {
      connection.request("clientMessages", send).then(
        ({ seq }) => void this.guard(this.turns.run(() => this.onAcked(send.conversation, send.key, seq))),
        (error) =>
          void this.guard(this.turns.run(() => this.onSendFailed(send.conversation, send.key, attempt, error))),
      );
    }
  }

  /** The echo keeps its place until the entry comes in the stream: an ack does not move the position. */
  private async onAcked(conversation: number, key: string, seq: number): Promise<void> {
    if (this.outbox.acked(conversation, key)) {
      await this.model.acked(key, seq);
      this.observer.changed([conversation]);
    }
    this.wake();
  }

  private async onSendFailed(conversation: number, key: string, attempt: number, error: unknown): Promise<void> {
    if (this.outbox.failed(conversation, key, attempt, error, Date.now()) === "failed") {
      const { code } = error as { code: string };
      await this.model.failed(key, code);
      this.observer.changed([conversation]);
      this.observer.sendFailed(conversation, key, code);
    }
    this.wake();
  }

  /** My read cursor moved; the server hears of it soon. */
  owesRead(): void {
    this.readAt = Math.min(this.readAt, Date.now() + READ_WAIT_MS);
    this.setClock();
  }

  /** A draft changed; the server hears of it when typing pauses. */
  owesDraft(conversation: number): void {
    this.drafts.set(conversation, Date.now() + DRAFT_WAIT_MS);
    this.setClock();
  }

  private startCursors(now: number): void {
    if (this.deliverAt <= now) this.tellDeliveries(now);
    if (this.readAt <= now) this.tellReads(now);
    for (const [conversation, at] of this.drafts) {
      if (at > now) continue;
      this.drafts.delete(conversation);
      this.tellDraft(conversation);
    }
  }

  /** Rooms have too many members to count deliveries. A lost telling is made good by the next. */
  private tellDeliveries(now: number): void {
    let told = 0;
    for (const conversation of this.undelivered) {
      if (told >= CURSORS_MAX) break;
      this.undelivered.delete(conversation);
      const tracked = this.tracked.get(conversation);
      if (!tracked || tracked.isRoom || tracked.timeline.position === 0) continue;
      told += 1;
      this.ask("markDelivered", { conversation, seq: tracked.timeline.position }).catch(() => undefined);
    }
    this.deliverAt = this.undelivered.size > 0 ? now + DELIVER_WAIT_MS : Number.POSITIVE_INFINITY;
  }

  private tellReads(now: number): void {
    const owed = [...this.model.rows.values()].filter(owesRead);
    for (const row of owed.slice(0, CURSORS_MAX)) {
      const conversation = row.id;
      const outcome = this.ask("markRead", { conversation, seq: readOf(row) }).then(
        (reply) => this.turns.run(() => this.model.membership({ ...reply, conversation })),
        (error) => (retryOf(error).kind === "never" ? this.turns.run(() => this.model.readTold(conversation)) : false),
      );
      void this.guard(outcome.then((isChanged) => (isChanged ? this.observer.changed([conversation]) : undefined)));
    }
    this.readAt = owed.length > CURSORS_MAX ? now + READ_WAIT_MS : Number.POSITIVE_INFINITY;
  }

  private tellDraft(conversation: number): void {
    const draft = this.model.rows.get(conversation)?.info.me?.draft ?? "";
    const told = async (isTold: boolean) => {
      const now = this.model.rows.get(conversation)?.info.me?.draft;
      if (isTold && now === draft) await this.model.draft(conversation, draft, true);
    };
    const outcome = this.ask("changeSettings", { conversation, draft }).then(
      () => this.turns.run(() => told(true)),
      (error) => this.turns.run(() => told(retryOf(error).kind === "never")),
    );
    void this.guard(outcome);
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
