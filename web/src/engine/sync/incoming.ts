/**
 * What comes in: pages of sync, pushes, pulls. It alone moves positions; pushes that came since the last turn are one turn
 * together, so a burst costs few writes.
 *
 * Bounds: {@link PUSHES_MAX} entries wait for their turn, beyond that they are dropped and one sync takes their place;
 * {@link PULLS_MAX} pulls run at once, one per conversation.
 */
import { retryOf } from "../errors";
import type { Connection } from "../net/connection";
import type { Push } from "../wire/codec";
import type { Conversation, Entries, Entry, SyncPage, UserEvent } from "../wire/generated";
import type { Advance, Model, Page } from "./model";
import type { Host, Observer } from "./observer";
import type { Outgoing } from "./outgoing";
import { Schedule } from "./schedule";
import { type Applied, Timeline } from "./timeline";

const PUSHES_MAX = 4_000;
const PULLS_MAX = 8;
/** No server sends a client away for longer. */
const PAUSE_MAX_MS = 300_000;
const NEVER = Number.POSITIVE_INFINITY;

interface Move {
  readonly conversation: number;
  /** Its position before. */
  readonly held: number;
  readonly applied: Applied;
}

export class Incoming {
  private readonly sync = new Schedule();
  private timelines = new Map<number, Timeline>();
  private pushes: Push[] = [];
  private pushedEntries = 0;
  private isDraining = false;
  private pulls = 0;
  /** Counts connections: what an earlier one brought late is not taken for this one's. */
  private link = 0;

  constructor(
    private readonly model: Model,
    private readonly observer: Observer,
    private readonly outgoing: Outgoing,
    private readonly host: Host,
    /** Told each time nothing more is to be fetched. */
    private readonly onSynced: () => void,
  ) {}

  /** Positions as the store has them. */
  restore(): void {
    this.timelines = new Map();
    for (const { id, from, position } of this.model.rows.values()) this.timelines.set(id, new Timeline(from, position));
  }

  linkUp(now: number): void {
    this.sync.begin(now);
  }

  linkLost(now: number): void {
    this.link += 1;
    this.pushes = [];
    this.pushedEntries = 0;
    this.pulls = 0;
    this.sync.linkLost();
    for (const timeline of this.timelines.values()) timeline.linkLost(now);
  }

  wakeAt(): number {
    return Math.min(this.sync.wakeAt ?? NEVER, this.pullAt());
  }

  start(connection: Connection, now: number): void {
    this.startSync(connection, now);
    this.startPulls(connection, now);
  }

  /** In its turn, and only if the connection is still the same. */
  private settle(work: () => Promise<void>): void {
    const { link } = this;
    this.host.settle(() => (link === this.link ? work() : undefined));
  }

  // -------------------------------------------------------------------------------------------- sync

  /** Another epoch: positions and cursors mean nothing any more. */
  async meetEpoch(epoch: string): Promise<void> {
    const known = this.model.place.epoch;
    if (known === epoch) return;
    const isFirst = known === "0";
    await this.model.apply({ reset: !isFirst, place: { epoch, cursor: "" }, advances: [] });
    if (isFirst) return;
    this.timelines.clear();
    this.forgotten();
  }

  private forgotten(): void {
    this.outgoing.restore();
    this.observer.reset();
  }

  private startSync(connection: Connection, now: number): void {
    if (!this.sync.start(now)) return;
    connection.request("sync", { cursor: this.model.place.cursor }).then(
      (page) => this.settle(() => this.onPage(page)),
      (error) => this.settle(() => this.onSyncFailed(error)),
    );
  }

  private async onPage(page: SyncPage): Promise<void> {
    const now = Date.now();
    if (page.reset) this.timelines.clear();
    const moves: Move[] = [];
    const advances: Advance[] = [];
    for (const change of page.conversations) {
      const { conversation: info } = change;
      if (!info) continue;
      const timeline = this.timelineOf(info.id);
      const held = timeline.position;
      const applied = timeline.page(change, now);
      moves.push({ conversation: info.id, held, applied });
      advances.push(this.advance(info.id, applied, info));
    }
    await this.keep({ reset: page.reset, place: { ...this.model.place, cursor: page.cursor }, advances });
    if (page.reset) this.forgotten();
    this.tell(moves, false);
    await this.onUserEvents(page.events);
    this.sync.paged(now, page.more);
    if (!page.more) this.onSynced();
    this.host.wake();
  }

  private async onSyncFailed(error: unknown): Promise<void> {
    const { code } = error as { code?: string };
    if (code === "bad_cursor") await this.model.apply({ place: { ...this.model.place, cursor: "" }, advances: [] });
    const retry = retryOf(error);
    this.sync.failed(Date.now(), retry.kind === "after" ? retry.ms : 0);
    this.host.wake();
  }

  private timelineOf(conversation: number): Timeline {
    let timeline = this.timelines.get(conversation);
    if (!timeline) {
      timeline = new Timeline(1, 0);
      this.timelines.set(conversation, timeline);
    }
    return timeline;
  }

  private advance(conversation: number, { restart, ready }: Applied, info?: Conversation): Advance {
    const { from, position } = this.timelineOf(conversation);
    return { conversation, info, restart, ready, from, position };
  }

  private async keep(page: Page): Promise<void> {
    const settled = await this.model.apply(page);
    const uid = this.model.myUid;
    for (const { conversation, ready } of page.advances) {
      this.outgoing.settled(conversation, settled);
      if (ready.some((entry) => entry.author !== uid)) this.outgoing.received(conversation);
    }
  }

  private tell(moves: readonly Move[], isLive: boolean): void {
    for (const { conversation, held, applied } of moves) {
      if (applied.restart || applied.ready.length > 0) this.observer.moved(conversation, held, applied, isLive);
    }
    this.observer.changed(moves.map(({ conversation }) => conversation));
  }

  /** A conversation as a reply or an event told it. */
  async learn(info: Conversation): Promise<void> {
    const timeline = this.timelineOf(info.id);
    const held = timeline.position;
    const applied = timeline.page({ conversation: info, entries: [], limited: false }, Date.now());
    await this.keep({ advances: [this.advance(info.id, applied, info)] });
    this.tell([{ conversation: info.id, held, applied }], false);
    this.host.wake();
  }

  private async onUserEvents(events: readonly UserEvent[]): Promise<void> {
    if (events.length === 0) return;
    for (const { membership, conversation } of events) {
      if (membership && (await this.model.membership(membership))) this.observer.changed([membership.conversation]);
      if (conversation) await this.learn(conversation);
    }
    this.observer.userEvents(events);
  }

  // -------------------------------------------------------------------------------------------- pushes

  heard(push: Push): void {
    this.sync.heardPush(Date.now());
    this.pushes.push(push);
    if (push.type === "serverMessages") this.pushedEntries += push.payload.entries.length;
    if (this.pushedEntries > PUSHES_MAX) this.overflow();
    if (this.isDraining) return;
    this.isDraining = true;
    this.host.settle(() => this.drain());
  }

  private overflow(): void {
    this.pushes = this.pushes.filter((push) => push.type !== "serverMessages");
    this.pushedEntries = 0;
    this.sync.want(Date.now());
  }

  /** All pushes that wait, as one write where they are messages. */
  private async drain(): Promise<void> {
    this.isDraining = false;
    const { pushes } = this;
    this.pushes = [];
    this.pushedEntries = 0;
    const messages = new Map<number, Entry[]>();
    for (const push of pushes) {
      if (push.type !== "serverMessages") continue;
      const { conversation, entries } = push.payload;
      messages.set(conversation, [...(messages.get(conversation) ?? []), ...entries]);
    }
    await this.onMessages(messages);
    for (const push of pushes) if (push.type !== "serverMessages") await this.onPush(push);
    this.host.wake();
  }

  private async onMessages(messages: ReadonlyMap<number, readonly Entry[]>): Promise<void> {
    const now = Date.now();
    const moves: Move[] = [];
    for (const [conversation, entries] of messages) {
      const timeline = this.timelines.get(conversation);
      if (!timeline) {
        this.sync.wantForUnknown(now);
        continue;
      }
      const held = timeline.position;
      const applied = timeline.push(entries, now);
      if (applied.ready.length > 0) moves.push({ conversation, held, applied });
    }
    if (moves.length === 0) return;
    await this.keep({ advances: moves.map(({ conversation, applied }) => this.advance(conversation, applied)) });
    this.tell(moves, this.host.isSynced);
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
        return this.sync.want(Date.now() + Math.min(Math.max(0, push.payload.afterMs), PAUSE_MAX_MS));
      case "notice":
        return this.observer.notice(push.payload.title, push.payload.text, push.payload.atMs);
      default:
        return undefined;
    }
  }

  // -------------------------------------------------------------------------------------------- pulls

  /** Not while as many pulls run as may: the end of one looks again. */
  private pullAt(): number {
    let at = NEVER;
    if (this.pulls < PULLS_MAX)
      for (const timeline of this.timelines.values()) at = Math.min(at, timeline.pullAt ?? at);
    return at;
  }

  private startPulls(connection: Connection, now: number): void {
    for (const [conversation, timeline] of this.timelines) {
      if (this.pulls >= PULLS_MAX) return;
      const range = timeline.pull(now);
      if (!range) continue;
      this.pulls += 1;
      connection.request("pull", { conversation, ...range }).then(
        (entries) => this.settle(() => this.onPulled(conversation, entries)),
        (error) => this.settle(() => this.onPulled(conversation, undefined, error)),
      );
    }
  }

  private async onPulled(conversation: number, entries: Entries | undefined, error?: unknown): Promise<void> {
    this.pulls = Math.max(0, this.pulls - 1);
    const timeline = this.timelines.get(conversation);
    if (timeline && error !== undefined && retryOf(error).kind === "never") timeline.giveUp();
    else if (timeline) {
      const held = timeline.position;
      const applied = timeline.pulled(entries, Date.now());
      if (applied.restart || applied.ready.length > 0) {
        await this.keep({ advances: [this.advance(conversation, applied)] });
        this.tell([{ conversation, held, applied }], this.host.isSynced);
      }
    }
    this.host.wake();
  }
}
