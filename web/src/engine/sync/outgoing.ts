/**
 * What goes out by itself: messages of the outbox until each is stored or refused for good, and what the server has to hear of
 * this device: what it holds, what was read, drafts. The latter are told together, {@link CURSORS_MAX} at a time.
 */
import { retryOf } from "../errors";
import type { Connection } from "../net/connection";
import type { Model } from "./model";
import type { Host, Observer } from "./observer";
import { Outbox, WAITING_MAX, type Waiting } from "./outbox";
import { owesRead, readOf } from "./row";

const DELIVER_WAIT_MS = 1_000;
const READ_WAIT_MS = 300;
const DRAFT_WAIT_MS = 1_000;
const CURSORS_MAX = 16;
const NEVER = Number.POSITIVE_INFINITY;

export class Outgoing {
  private readonly outbox = new Outbox();
  private readonly undelivered = new Set<number>();
  private deliverAt = NEVER;
  private readAt = NEVER;
  private readonly drafts = new Map<number, number>();

  constructor(
    private readonly model: Model,
    private readonly observer: Observer,
    private readonly host: Host,
  ) {}

  /** The queue as the store has it. */
  restore(): void {
    this.outbox.restore(this.model.waiting());
  }

  linkLost(): void {
    this.outbox.linkLost();
  }

  /** What happened here while there was no connection is told now. */
  synced(): void {
    this.readAt = Date.now();
    for (const row of this.model.rows.values()) if (!row.draftTold) this.drafts.set(row.id, Date.now());
  }

  wakeAt(): number {
    const drafts = Math.min(NEVER, ...this.drafts.values());
    return Math.min(this.deliverAt, this.readAt, drafts, this.outbox.wakeAt ?? NEVER);
  }

  start(connection: Connection, now: number): void {
    this.startSends(connection, now);
    if (this.deliverAt <= now) this.tellDeliveries(connection, now);
    if (this.readAt <= now) this.tellReads(connection, now);
    for (const [conversation, at] of this.drafts) {
      if (at > now) continue;
      this.drafts.delete(conversation);
      this.tellDraft(connection, conversation);
    }
  }

  // -------------------------------------------------------------------------------------------- messages

  get room(): number {
    return WAITING_MAX - this.outbox.size;
  }

  /** On disk first, then on its way. */
  async send(sends: readonly Waiting[]): Promise<void> {
    await this.model.enqueue(sends, Date.now());
    for (const send of sends) this.outbox.push(send);
    this.host.wake();
  }

  async retry(key: string): Promise<void> {
    const echo = await this.model.retry(key, Date.now());
    if (!echo) return;
    this.outbox.push(echo);
    this.host.wake();
  }

  /** One that is under way may arrive all the same. */
  async discard(key: string): Promise<void> {
    const echo = await this.model.discard(key);
    if (echo) this.outbox.remove(echo.conversation, key);
  }

  /** The entries themselves came: as good as acks. */
  settled(conversation: number, keys: readonly string[]): void {
    for (const key of keys) this.outbox.acked(conversation, key);
  }

  private startSends(connection: Connection, now: number): void {
    for (const { send, attempt } of this.outbox.due(now)) {
      const { conversation, key } = send;
      connection.request("clientMessages", send).then(
        ({ seq }) => this.host.settle(() => this.onAcked(conversation, key, seq)),
        (error) => this.host.settle(() => this.onFailed(conversation, key, attempt, error)),
      );
    }
  }

  /** The echo keeps its place until the entry comes in the stream: an ack does not move the position. */
  private async onAcked(conversation: number, key: string, seq: number): Promise<void> {
    if (this.outbox.acked(conversation, key)) {
      await this.model.acked(key, seq);
      this.observer.changed([conversation]);
    }
    this.host.wake();
  }

  private async onFailed(conversation: number, key: string, attempt: number, error: unknown): Promise<void> {
    if (this.outbox.failed(conversation, key, attempt, error, Date.now()) === "failed") {
      const { code } = error as { code: string };
      await this.model.failed(key, code);
      this.observer.changed([conversation]);
      this.observer.sendFailed(conversation, key, code);
    }
    this.host.wake();
  }

  // -------------------------------------------------------------------------------------------- cursors and drafts

  /** Something of others came. */
  received(conversation: number): void {
    this.undelivered.add(conversation);
    this.deliverAt = Math.min(this.deliverAt, Date.now() + DELIVER_WAIT_MS);
  }

  /** My read cursor moved. */
  owesRead(): void {
    this.readAt = Math.min(this.readAt, Date.now() + READ_WAIT_MS);
    this.host.wake();
  }

  /** A draft changed; it is told when typing pauses. */
  owesDraft(conversation: number): void {
    this.drafts.set(conversation, Date.now() + DRAFT_WAIT_MS);
    this.host.wake();
  }

  /** Rooms have too many members to count deliveries. A lost telling is made good by the next. */
  private tellDeliveries(connection: Connection, now: number): void {
    let told = 0;
    for (const conversation of this.undelivered) {
      if (told >= CURSORS_MAX) break;
      this.undelivered.delete(conversation);
      const row = this.model.rows.get(conversation);
      if (!row || row.info.kind === "ROOM" || row.position === 0) continue;
      told += 1;
      connection.request("markDelivered", { conversation, seq: row.position }).catch(() => undefined);
    }
    this.deliverAt = this.undelivered.size > 0 ? now + DELIVER_WAIT_MS : NEVER;
  }

  private tellReads(connection: Connection, now: number): void {
    const owed = [...this.model.rows.values()].filter(owesRead);
    for (const row of owed.slice(0, CURSORS_MAX)) {
      const conversation = row.id;
      connection.request("markRead", { conversation, seq: readOf(row) }).then(
        (reply) =>
          this.host.settle(async () => {
            if (await this.model.membership({ ...reply, conversation })) this.observer.changed([conversation]);
          }),
        (error) =>
          this.host.settle(async () => {
            if (retryOf(error).kind === "never") await this.model.readTold(conversation);
          }),
      );
    }
    this.readAt = owed.length > CURSORS_MAX ? now + READ_WAIT_MS : NEVER;
  }

  private tellDraft(connection: Connection, conversation: number): void {
    const draft = this.model.rows.get(conversation)?.info.me?.draft ?? "";
    const told = async () => {
      // Unless it changed again meanwhile.
      if (this.model.rows.get(conversation)?.info.me?.draft === draft)
        await this.model.draft(conversation, draft, true);
    };
    connection.request("changeSettings", { conversation, draft }).then(
      () => this.host.settle(told),
      (error) => {
        if (retryOf(error).kind === "never") this.host.settle(told);
      },
    );
  }
}
