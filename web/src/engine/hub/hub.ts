/**
 * The engine of one browser: one connection, one store, any number of tabs.
 *
 * Ties the parts together, in one direction each: what the session tells goes to the tabs, what the tabs tell goes to the
 * parts. Who is logged in is {@link Identity}, which tabs there are {@link Tabs}, what a command does `commands.ts`.
 */
import type { Conversation, Ended, Limits, Missing, Person } from "../api";
import { EngineError } from "../api";
import { toData } from "../errors";
import { Gate } from "../net/gate";
import { Memory } from "../store/memory";
import { Spill } from "../store/spill";
import { Model } from "../sync/model";
import type { Observer } from "../sync/observer";
import { Session } from "../sync/session";
import type { Applied } from "../sync/timeline";
import { Turns } from "../sync/turns";
import type { Cursors, Hello, RoomInfo, UserEvent } from "../wire/generated";
import { commands, type Desk } from "./commands";
import { Directory } from "./directory";
import { Identity } from "./identity";
import type { Calls, FromHub, Line, Tell, ToHub, Update } from "./messages";
import { itemOfEntry, Pane } from "./pane";
import type { Port, Source, Whole } from "./port";
import { ConversationList, roomOf } from "./rows";
import { Tabs } from "./tabs";

const TYPING_PAUSE_MS = 3_000;

const DEFAULT_LIMITS: Limits = {
  textBytes: 16_384,
  groupMembers: 500,
  friends: 5_000,
  rooms: 200,
  recallWindowMs: 120_000,
};

export class Hub implements Observer, Source, Desk {
  readonly turns = new Turns();
  readonly model: Model;
  readonly session: Session;
  readonly directory: Directory;
  readonly gate: Gate;
  readonly identity: Identity;
  readonly tabs: Tabs;
  limits: Limits = DEFAULT_LIMITS;
  private readonly list: ConversationList;
  private readonly calls: ReturnType<typeof commands>;
  private isStarted = false;
  private isSyncedOnce = false;
  /** The connection is told of new rooms. */
  private isWatching = false;
  private readonly typedAt = new Map<number, number>();
  /** Where things are kept: on disk, in memory for want of a store, or in memory because the disk is full. */
  private kept: "disk" | "memory" | "full";

  /** `origin` of the server. */
  constructor(
    origin: string,
    private readonly store: Spill | Memory,
  ) {
    this.kept = store instanceof Memory ? "memory" : "disk";
    if (store instanceof Spill) store.onFull = () => void this.storeFull();
    const { turns } = this;
    this.gate = new Gate(origin);
    this.model = new Model(store);
    this.list = new ConversationList(this.model);
    this.session = new Session(this.model, turns, `${origin.replace(/^http/, "ws")}/ws`, this, () => this.load());
    this.tabs = new Tabs(
      this,
      (port) => this.sayMissing(port),
      () => this.watchRooms(),
    );
    this.directory = new Directory(
      store,
      () => this.model.myUid,
      (type, payload) => this.session.ask(type, payload),
      {
        contacts: () => this.tabs.touch("contacts"),
        people: (uids) => this.tabs.touchPeople(uids),
      },
    );
    this.identity = new Identity(store, this.model, turns, this.session, this.gate, {
      reload: () => this.load(),
      changed: () => this.tabs.touch("session"),
      named: (me) => this.directory.learn([me], true),
      replaced: (isEmpty) => this.replaced(isEmpty),
    });
    this.calls = commands(this);
  }

  async start(): Promise<void> {
    await this.turns.run(() => this.load());
    if (this.store instanceof Spill && this.store.isFull) this.kept = "full";
    if (this.kept === "memory") await this.identity.adoptCookie();
    this.isStarted = true;
    this.session.start();
    this.tabs.touch("session");
    this.tabs.touchConversations();
  }

  private async load(): Promise<void> {
    const loaded = await this.store.open();
    this.model.load(loaded.facts, loaded.rows, loaded.echoes);
    this.directory.load(loaded);
    this.tabs.each((port) => this.directory.want([...port.people]));
    this.identity.loaded(loaded);
    this.tabs.touchConversations();
  }

  /** Another account, or none. */
  private replaced(isEmpty: boolean): void {
    this.isSyncedOnce = false;
    if (isEmpty) {
      this.directory.load({ facts: {}, rows: [], echoes: [], people: [], contacts: [], requests: [] });
      this.tabs.closePanes();
    }
    this.tabs.touch("session", "contacts", "connection");
    this.tabs.touchConversations();
  }

  attach(line: Line<ToHub, FromHub>): void {
    this.tabs.attach(line);
  }

  private sayMissing(port: Port): void {
    const withheld: Missing[] = this.kept === "disk" ? [] : [this.kept === "memory" ? "storage" : "storage_full"];
    port.send({ t: "update", update: { missing: [...port.missing, ...withheld] } });
  }

  /** The store is in memory from now on, and its windows are empty. */
  private async storeFull(): Promise<void> {
    this.kept = "full";
    this.tabs.each((port) => this.sayMissing(port));
    await this.session.startOver(0);
    this.reset();
  }

  // -------------------------------------------------------------------------------------------- what tabs ask and tell

  call(port: Port, name: keyof Calls, args: readonly unknown[]): Promise<unknown> {
    const command = this.calls[name] as (port: Port, ...args: readonly unknown[]) => Promise<unknown>;
    return command(port, ...args);
  }

  toError(error: unknown): ReturnType<typeof toData> {
    if (!(error instanceof EngineError)) console.error(error);
    return toData(error);
  }

  tell(port: Port, tell: Tell): void {
    switch (tell.t) {
      case "open": {
        const pane = new Pane(tell.conversation, this.model, this.turns, this.session, () => port.touchPane(tell.pane));
        port.openPane(tell.pane, pane);
        void pane.latest().catch(() => undefined);
        return;
      }
      case "close":
        return port.closePane(tell.pane);
      case "follow":
        return port.panes.get(tell.pane)?.follow(tell.atEnd);
      case "read":
        return void this.read(tell.conversation, tell.seq, port.panes.get(tell.pane)?.countAt(tell.seq));
      case "typing":
        return this.typed(tell.conversation);
      case "draft":
        return void this.draft(tell.conversation, tell.draft);
      case "people":
        for (const uid of tell.uids) port.people.add(uid);
        port.touchPeople(tell.uids);
        return this.directory.want(tell.uids);
      case "watchRooms":
        port.watchesRooms = tell.on;
        return this.watchRooms();
      case "reconnect":
        return this.identity.reconnect();
      case "nudge":
        return this.session.nudge();
      case "focus":
        port.focusedAt = Date.now();
        return this.session.nudge();
    }
  }

  private watchRooms(): void {
    const watch = this.tabs.watchesRooms;
    if (!this.session.isOnline || watch === this.isWatching) return;
    this.isWatching = watch;
    this.session.ask("listRooms", { watch, count: 1 }).catch(() => undefined);
  }

  private async read(conversation: number, seq: number, count?: number): Promise<void> {
    const isChanged = await this.turns.run(() => this.model.read(conversation, seq, count));
    if (!isChanged) return;
    this.session.outgoing.owesRead();
    this.tabs.changed([conversation]);
  }

  private async draft(conversation: number, draft: string): Promise<void> {
    const isChanged = await this.turns.run(() => this.model.draft(conversation, draft, false));
    if (!isChanged) return;
    this.session.outgoing.owesDraft(conversation);
    this.tabs.changed([conversation]);
  }

  private typed(conversation: number): void {
    const now = Date.now();
    if (now - (this.typedAt.get(conversation) ?? 0) < TYPING_PAUSE_MS) return;
    this.typedAt.set(conversation, now);
    this.session.ask("typing", { conversation }).catch(() => undefined);
  }

  // -------------------------------------------------------------------------------------------- state for tabs

  whole<K extends Whole>(name: K): NonNullable<Update[K]> {
    const values = {
      session: () => (this.isStarted ? this.identity.state : { state: "starting" }),
      connection: () => this.session.status(),
      limits: () => this.limits,
      contacts: () => this.directory.lists(),
    };
    return values[name]() as NonNullable<Update[K]>;
  }

  conversations(): ReadonlyMap<number, Conversation> {
    return this.list.all();
  }

  order(): readonly number[] {
    return this.list.order();
  }

  conversationsLoaded(): boolean {
    return this.isStarted && (this.model.rows.size > 0 || this.isSyncedOnce || this.model.place.cursor !== "");
  }

  person(uid: number): Person {
    return this.directory.person(uid);
  }

  // -------------------------------------------------------------------------------------------- what the session tells

  status(): void {
    this.tabs.touch("connection");
  }

  hello(hello: Hello): void {
    if (!this.identity.greeted(hello)) return;
    const { limits } = hello;
    if (limits) {
      const { textBytes, groupMembers, friends, rooms, recallWindowMs } = limits;
      this.limits = { textBytes, groupMembers, friends, rooms, recallWindowMs };
      this.tabs.touch("limits");
    }
    this.isWatching = false;
    this.watchRooms();
  }

  silent(): void {
    void this.identity.silent();
  }

  ended(ended: Ended): void {
    this.identity.ended(ended);
  }

  moved(conversation: number, held: number, applied: Applied, isLive: boolean): void {
    this.tabs.eachPaneOf(conversation, (pane) => pane.moved(held, applied));
    if (isLive) this.signalMessages(conversation, applied);
  }

  private signalMessages(conversation: number, { ready }: Applied): void {
    const row = this.model.rows.get(conversation);
    const isMuted = row?.info.me?.muted === true;
    for (const entry of ready) {
      if (entry.author === this.model.myUid || !entry.message) continue;
      const item = itemOfEntry(entry, this.model.myUid);
      if (item?.type !== "message" || (isMuted && !item.mentionsMe)) continue;
      this.tabs.signal({ kind: "message", conversation, item, mentionsMe: item.mentionsMe });
    }
  }

  changed(conversations: Iterable<number>): void {
    this.tabs.changed(conversations);
  }

  reset(): void {
    this.tabs.eachPane((pane) => pane.reset());
    this.tabs.touchConversations();
    void this.directory.refresh().catch(() => undefined);
  }

  synced(): void {
    if (!this.isSyncedOnce) void this.directory.refresh().catch(() => undefined);
    this.isSyncedOnce = true;
    this.tabs.eachPane((pane) => pane.online());
    this.directory.want([]);
    this.tabs.touchConversations();
  }

  userEvents(events: readonly UserEvent[]): void {
    const isLive = this.session.isSynced;
    void this.directory.userEvents(events).then((news) => {
      for (const { request, accepted } of isLive ? news : []) {
        if (request) this.tabs.signal({ kind: "friend_request", request });
        if (accepted !== undefined) this.tabs.signal({ kind: "friend_accepted", uid: accepted });
      }
    });
    const mine = events.findLast(({ profile }) => profile?.uid === this.model.myUid)?.profile;
    if (mine) void this.identity.learn(mine);
  }

  cursors(cursors: Cursors): void {
    this.tabs.eachPaneOf(cursors.conversation, (pane) => pane.heardCursors(cursors));
  }

  typing(conversation: number, uid: number): void {
    if (uid !== this.model.myUid) this.tabs.eachPaneOf(conversation, (pane) => pane.heardTyping(uid));
  }

  rooms(infos: readonly RoomInfo[]): void {
    this.tabs.touchRooms(infos.map((info) => roomOf(info, this.model.rows.get(info.conversation))));
  }

  notice(title: string, text: string, atMs: number): void {
    this.tabs.signal({ kind: "notice", title, text, atMs });
  }

  sendFailed(conversation: number, key: string, code: string): void {
    this.tabs.signal({ kind: "send_failed", conversation, key, code });
  }
}
