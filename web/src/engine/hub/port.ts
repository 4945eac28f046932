/**
 * One tab at the hub: what it looks at, and what of that is not on its screen yet.
 *
 * Updates carry only what changed. After one is sent the next waits until the tab has drawn it, and takes with it all that
 * changed meanwhile: a tab gets at most one update per frame, however much happens, and a tab that sleeps gets none.
 */
import type { Conversation, Missing, Room, Signal, TimelineView } from "../api";
import type { ErrorData } from "../errors";
import type { Calls, FromHub, Line, Tell, ToHub, Update } from "./messages";
import type { Pane } from "./pane";
import { diff } from "./patch";

export type Whole = "session" | "connection" | "limits" | "contacts";

/** So many signals wait for a tab that sleeps; the oldest go. */
const SIGNALS_MAX = 100;

/** Where the state comes from. */
export interface Source {
  whole<K extends Whole>(name: K): NonNullable<Update[K]>;
  conversations(): ReadonlyMap<number, Conversation>;
  order(): readonly number[];
  conversationsLoaded(): boolean;
  person(uid: number): NonNullable<Update["people"]>[number];
  call(port: Port, name: keyof Calls, args: readonly unknown[]): Promise<unknown>;
  tell(port: Port, tell: Tell): void;
  toError(error: unknown): ErrorData;
}

export class Port {
  readonly panes = new Map<number, Pane>();
  readonly people = new Set<number>();
  watchesRooms = false;
  focusedAt = 0;
  heardAt = Date.now();
  private readonly views = new Map<number, TimelineView>();
  private readonly stale = new Set<Whole>();
  private readonly stalePeople = new Set<number>();
  private readonly stalePanes = new Set<number>();
  private rooms: readonly Room[] | undefined;
  private signals: readonly Signal[] = [];
  private sentConversations: ReadonlyMap<number, Conversation> = new Map();
  private sentOrder: readonly number[] = [];
  private staleConversations = false;
  private awaitsDrawing = false;
  private scheduled = false;

  constructor(
    private readonly line: Line<ToHub, FromHub>,
    private readonly source: Source,
    /** What its browser withholds from the tab itself. */
    readonly missing: readonly Missing[],
  ) {
    for (const name of ["session", "connection", "limits", "contacts"] as const) this.stale.add(name);
    this.staleConversations = true;
    this.schedule();
  }

  heard(message: ToHub): void {
    this.heardAt = Date.now();
    switch (message.t) {
      case "drawn":
        this.awaitsDrawing = false;
        if (this.isStale) this.schedule();
        return;
      case "call":
        void this.call(message.id, message.name, message.args);
        return;
      case "hello":
      case "ping":
      case "bye":
        return;
      default:
        this.source.tell(this, message);
    }
  }

  private async call(id: number, name: keyof Calls, args: readonly unknown[]): Promise<void> {
    try {
      const value = await this.source.call(this, name, args);
      // What a command changed is on its way before its answer.
      this.flush();
      this.line.send({ t: "reply", id, value });
    } catch (error) {
      this.line.send({ t: "reply", id, error: this.source.toError(error) });
    }
  }

  send(message: FromHub): void {
    this.line.send(message);
  }

  // -------------------------------------------------------------------------------------------- what changed

  touch(name: Whole): void {
    this.stale.add(name);
    this.schedule();
  }

  touchConversations(): void {
    this.staleConversations = true;
    this.schedule();
  }

  touchPeople(uids: Iterable<number>): void {
    for (const uid of uids) if (this.people.has(uid)) this.stalePeople.add(uid);
    if (this.stalePeople.size > 0) this.schedule();
  }

  touchPane(pane: number): void {
    this.stalePanes.add(pane);
    this.schedule();
  }

  touchRooms(rooms: readonly Room[]): void {
    if (!this.watchesRooms) return;
    const changed = new Set(rooms.map((room) => room.conversation));
    this.rooms = [...(this.rooms ?? []).filter((room) => !changed.has(room.conversation)), ...rooms];
    this.schedule();
  }

  /** Of messages of one conversation that wait together the newest is told. */
  signal(signal: Signal): void {
    const isOlder = (other: Signal) =>
      signal.kind === "message" && other.kind === "message" && other.conversation === signal.conversation;
    this.signals = [...this.signals.filter((other) => !isOlder(other)), signal].slice(-SIGNALS_MAX);
    this.schedule();
  }

  openPane(id: number, pane: Pane): void {
    this.panes.set(id, pane);
  }

  closePane(id: number): void {
    this.panes.get(id)?.close();
    this.panes.delete(id);
    this.views.delete(id);
    this.stalePanes.delete(id);
  }

  close(): void {
    for (const id of [...this.panes.keys()]) this.closePane(id);
    this.awaitsDrawing = true;
  }

  private get isStale(): boolean {
    return (
      this.stale.size + this.stalePeople.size + this.stalePanes.size + this.signals.length > 0 ||
      this.staleConversations ||
      this.rooms !== undefined
    );
  }

  private schedule(): void {
    if (this.scheduled || this.awaitsDrawing) return;
    this.scheduled = true;
    setTimeout(() => {
      this.scheduled = false;
      if (!this.awaitsDrawing) this.flush();
    }, 0);
  }

  private flush(): void {
    if (!this.isStale) return;
    const update: Update = {};
    for (const name of this.stale) Object.assign(update, { [name]: this.source.whole(name) });
    if (this.stalePeople.size > 0) update.people = [...this.stalePeople].map((uid) => this.source.person(uid));
    if (this.rooms) update.rooms = this.rooms;
    if (this.signals.length > 0) update.signals = this.signals;
    if (this.staleConversations) this.patchConversations(update);
    const panes = [...this.stalePanes].map((id) => this.patchPane(id)).filter((patch) => patch !== undefined);
    if (panes.length > 0) update.panes = panes;
    this.stale.clear();
    this.stalePeople.clear();
    this.stalePanes.clear();
    this.rooms = undefined;
    this.signals = [];
    this.staleConversations = false;
    this.awaitsDrawing = true;
    this.line.send({ t: "update", update });
  }

  private patchConversations(update: Update): void {
    const now = this.source.conversations();
    const order = this.source.order();
    const isReset = [...this.sentConversations.keys()].some((id) => !now.has(id));
    const put = [...now.values()].filter(
      (conversation) => isReset || this.sentConversations.get(conversation.id) !== conversation,
    );
    const isSameOrder = order.length === this.sentOrder.length && order.every((id, at) => id === this.sentOrder[at]);
    update.conversations = {
      loaded: this.source.conversationsLoaded(),
      ...(isReset ? { reset: true as const } : {}),
      ...(put.length > 0 ? { put } : {}),
      ...(isSameOrder ? {} : { order }),
    };
    this.sentConversations = new Map(now);
    this.sentOrder = order;
  }

  private patchPane(id: number): [number, ReturnType<typeof diff>] | undefined {
    const view = this.panes.get(id)?.view();
    if (!view) return undefined;
    const patch = diff(this.views.get(id), view);
    this.views.set(id, view);
    return [id, patch];
  }
}
