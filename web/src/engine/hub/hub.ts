/**
 * The engine of one browser: one connection, one store, any number of tabs.
 *
 * Ties the parts together and owns what belongs to none of them: who is logged in, and which tab is told what.
 */
import type { Conversation, Ended, Limits, Me, Missing, Person, Room, Session as SessionState, Signal } from "../api";
import { EngineError } from "../api";
import { toData } from "../errors";
import { Gate } from "../net/gate";
import { Memory } from "../store/memory";
import type { Account, Loaded } from "../store/rows";
import { Spill } from "../store/spill";
import { Model } from "../sync/model";
import type { Observer } from "../sync/observer";
import { Session } from "../sync/session";
import type { Applied } from "../sync/timeline";
import { Turns } from "../sync/turns";
import type { Cursors, Hello, RoomInfo, UserEvent } from "../wire/generated";
import { commands } from "./commands";
import { Directory } from "./directory";
import type { Calls, FromHub, Line, Tell, ToHub, Update } from "./messages";
import { itemOfEntry, Pane } from "./pane";
import { Port, type Source } from "./port";
import { conversationOf, orderOf } from "./rows";

/** A tab that was not heard for so long is gone (a sleeping one says hello again when it wakes up). */
const PORT_SILENCE_MS = 300_000;
const PROFILE_FRESH_MS = 600_000;
const TYPING_PAUSE_MS = 3_000;
const LOG_OUT_RETRY_MS = 30_000;

const DEFAULT_LIMITS: Limits = {
  textBytes: 16_384,
  groupMembers: 500,
  friends: 5_000,
  rooms: 200,
  recallWindowMs: 120_000,
};

export class Hub implements Observer, Source {
  readonly turns = new Turns();
  readonly model: Model;
  readonly session: Session;
  readonly directory: Directory;
  readonly gate: Gate;
  limits: Limits = DEFAULT_LIMITS;
  private readonly ports = new Set<Port>();
  private readonly calls: ReturnType<typeof commands>;
  private isStarted = false;
  private ending: Ended | undefined;
  private isSyncedOnce = false;
  private profileAt = 0;
  /** The connection is told of new rooms. */
  private isWatching = false;
  private readonly typedAt = new Map<number, number>();
  private conversationCache = new Map<number, { row: unknown; echo: unknown; conversation: Conversation }>();

  /** Where things are kept: on disk, in memory for want of a store, or in memory because the disk is full. */
  private kept: "disk" | "memory" | "full";

  /** `origin` of the server. */
  constructor(
    origin: string,
    private readonly store: Spill | Memory,
  ) {
    this.kept = store instanceof Memory ? "memory" : "disk";
    if (store instanceof Spill) store.onFull = () => void this.storeFull();
    this.gate = new Gate(origin);
    this.model = new Model(store);
    this.session = new Session(this.model, this.turns, `${origin.replace(/^http/, "ws")}/ws`, this, () => this.load());
    this.directory = new Directory(
      store,
      () => this.model.myUid,
      (type, payload) => this.session.ask(type, payload),
      {
        contacts: () => this.touch("contacts"),
        people: (uids) => this.each((port) => port.touchPeople(uids)),
      },
    );
    this.calls = commands(this);
  }

  async start(): Promise<void> {
    await this.turns.run(() => this.load());
    if (this.store instanceof Spill && this.store.isFull) this.kept = "full";
    if (this.kept === "memory") await this.adoptCookie();
    this.isStarted = true;
    this.session.start();
    this.touch("session");
    this.touchConversations();
  }

  private async load(): Promise<void> {
    const loaded: Loaded = await this.store.open();
    this.model.load(loaded.facts, loaded.rows, loaded.echoes);
    this.directory.load(loaded);
    this.each((port) => this.directory.want([...port.people]));
    this.ending = this.model.account?.live === false ? this.model.account.ended : undefined;
    if (loaded.facts.logOutOwed) void this.payLogOut();
    this.touchConversations();
  }

  /** A browser that keeps nothing may still have the cookie. */
  private async adoptCookie(): Promise<void> {
    const profile = await this.gate.profile().catch(() => undefined);
    if (profile) await this.turns.run(() => this.model.setAccount({ me: { ...profile, session: "" }, live: true }));
  }

  // -------------------------------------------------------------------------------------------- tabs

  attach(line: Line<ToHub, FromHub>): void {
    let port: Port | undefined;
    line.onMessage = (message) => {
      if (message.t === "hello") {
        if (port) this.detach(port);
        port = new Port(line, this);
        this.ports.add(port);
        port.missing = message.missing;
        this.sayMissing(port);
        return;
      }
      if (!port || !this.ports.has(port)) {
        if (message.t !== "bye") line.send({ t: "lost" });
        return;
      }
      port.heard(message);
      if (message.t === "bye") this.detach(port);
      this.forgetSilent();
    };
  }

  private sayMissing(port: Port): void {
    const withheld: Missing[] = this.kept === "disk" ? [] : [this.kept === "memory" ? "storage" : "storage_full"];
    port.send({ t: "update", update: { missing: [...port.missing, ...withheld] } });
  }

  /** The store is in memory from now on, and its windows are empty. */
  private async storeFull(): Promise<void> {
    this.kept = "full";
    this.each((port) => this.sayMissing(port));
    await this.session.startOver(0);
    this.reset();
  }

  private detach(port: Port): void {
    port.close();
    this.ports.delete(port);
    this.watchRooms();
  }

  private forgetSilent(): void {
    const silent = Date.now() - PORT_SILENCE_MS;
    for (const port of this.ports) if (port.heardAt < silent) this.detach(port);
  }

  private each(run: (port: Port) => void): void {
    for (const port of this.ports) run(port);
  }

  private eachPane(conversation: number, run: (pane: Pane) => void): void {
    for (const port of this.ports)
      for (const pane of port.panes.values()) if (pane.conversation === conversation) run(pane);
  }

  private touch(name: "session" | "connection" | "limits" | "contacts"): void {
    this.each((port) => port.touch(name));
  }

  private touchConversations(): void {
    this.each((port) => port.touchConversations());
  }

  /** In one tab: the one last focused. */
  private signal(signal: Signal): void {
    let best: Port | undefined;
    for (const port of this.ports) if (!best || port.focusedAt > best.focusedAt) best = port;
    best?.send({ t: "signal", signal });
  }

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
        return this.reconnect();
      case "nudge":
        return this.session.nudge();
      case "focus":
        port.focusedAt = Date.now();
        return this.session.nudge();
    }
  }

  // -------------------------------------------------------------------------------------------- state for tabs

  whole<K extends "session" | "connection" | "limits" | "contacts">(name: K): NonNullable<Update[K]> {
    const values = {
      session: () => this.sessionState(),
      connection: () => this.session.status(),
      limits: () => this.limits,
      contacts: () => this.directory.lists(),
    };
    return values[name]() as NonNullable<Update[K]>;
  }

  private sessionState(): SessionState {
    const { account } = this.model;
    if (!this.isStarted) return { state: "starting" };
    const ended = this.ending ? { ended: this.ending } : {};
    if (!account || (!account.live && account.ended === undefined)) return { state: "logged_out", ...ended };
    return { state: "logged_in", me: account.me, ...ended };
  }

  conversations(): ReadonlyMap<number, Conversation> {
    const newest = new Map([...this.model.echoes.values()].map((echo) => [echo.conversation, echo]));
    const cache = new Map<number, { row: unknown; echo: unknown; conversation: Conversation }>();
    for (const row of this.model.rows.values()) {
      const echo = newest.get(row.id);
      const known = this.conversationCache.get(row.id);
      const isSame = known?.row === row && known.echo === echo;
      cache.set(row.id, isSame ? known : { row, echo, conversation: conversationOf(row, echo, this.model.myUid) });
    }
    this.conversationCache = cache;
    return new Map([...cache].map(([id, { conversation }]) => [id, conversation]));
  }

  order(): readonly number[] {
    return orderOf([...this.conversationCache.values()].map(({ conversation }) => conversation));
  }

  conversationsLoaded(): boolean {
    return this.isStarted && (this.model.rows.size > 0 || this.isSyncedOnce || this.model.place.cursor !== "");
  }

  person(uid: number): Person {
    return this.directory.person(uid);
  }

  // -------------------------------------------------------------------------------------------- who is logged in

  /** After a log-in. What another account left is removed first. */
  async adopt(me: Me): Promise<void> {
    this.session.stop();
    await this.turns.run(async () => {
      if (this.model.account && this.model.account.me.uid !== me.uid) await this.model.wipe();
      await this.model.setAccount({ me, live: true });
      await this.load();
    });
    this.ending = undefined;
    this.isSyncedOnce = false;
    this.profileAt = 0;
    this.eachPort();
    this.session.start();
    void this.refreshProfile();
  }

  private eachPort(): void {
    for (const name of ["session", "contacts", "connection"] as const) this.touch(name);
    this.touchConversations();
  }

  /** Changes may come at once, of the profile and of the greeting: each is made to what the last one left. */
  async changeMe(change: Partial<Me>): Promise<void> {
    const me = await this.turns.run(async () => {
      const { account } = this.model;
      if (!account) return undefined;
      const changed = { ...account.me, ...change };
      await this.model.setAccount({ ...account, me: changed });
      return changed;
    });
    if (!me) return;
    await this.directory.learn([me], true);
    this.touch("session");
  }

  private async refreshProfile(): Promise<void> {
    if (Date.now() - this.profileAt < PROFILE_FRESH_MS) return;
    this.profileAt = Date.now();
    const profile = await this.gate.profile().catch(() => undefined);
    if (profile && profile.uid === this.model.myUid) await this.changeMe(profile);
    else this.profileAt = 0;
  }

  /** Removes everything kept here, and tells the server as soon as it can be told. */
  async logOut(): Promise<void> {
    this.session.stop();
    const isOwed = this.model.account?.live === true;
    await this.turns.run(async () => {
      await this.model.wipe(isOwed ? { logOutOwed: true } : {});
      this.session.restore();
    });
    this.forgetAccount();
    if (isOwed) await this.payLogOut();
  }

  private forgetAccount(): void {
    this.ending = undefined;
    this.isSyncedOnce = false;
    this.directory.load({ facts: {}, rows: [], echoes: [], people: [], contacts: [], requests: [] });
    this.each((port) => {
      for (const id of [...port.panes.keys()]) port.closePane(id);
    });
    this.eachPort();
  }

  private async payLogOut(): Promise<void> {
    if (this.model.account?.live) return;
    try {
      await this.gate.logOut();
    } catch (error) {
      const { code } = error as EngineError;
      if (code === "offline" || code === "timeout" || code === "unavailable") {
        setTimeout(() => void this.payLogOut(), LOG_OUT_RETRY_MS);
        return;
      }
    }
    await this.turns.run(() => this.store.write({ facts: { logOutOwed: false } })).catch(() => undefined);
  }

  /** Back to the log-in page; what is kept stays for the same account. */
  async leaveSession(): Promise<void> {
    const { account } = this.model;
    this.session.stop();
    if (account) {
      const { ended: _, ...rest } = account;
      await this.turns.run(() => this.model.setAccount({ ...rest, live: false }));
    }
    this.ending = undefined;
    this.eachPort();
  }

  private reconnect(): void {
    if (this.ending === "replaced" || this.ending === "incompatible") {
      this.ending = undefined;
      this.touch("session");
      void this.turns
        .run(() => this.load())
        .then(() => this.session.start())
        .catch(() => this.ended("replaced"));
    } else this.session.dialNow();
  }

  // -------------------------------------------------------------------------------------------- what the session tells

  status(): void {
    this.touch("connection");
  }

  hello(hello: Hello): void {
    if (hello.uid !== this.model.myUid) {
      // The cookie is another account's: this one has no session any more.
      this.session.stop();
      return this.ended("expired");
    }
    const { limits } = hello;
    if (limits) {
      const { textBytes, groupMembers, friends, rooms, recallWindowMs } = limits;
      this.limits = { textBytes, groupMembers, friends, rooms, recallWindowMs };
      this.touch("limits");
    }
    void this.changeMe({ nickname: hello.nickname, session: hello.session }).then(() => this.refreshProfile());
    this.isWatching = false;
    this.watchRooms();
  }

  /** Without a cookie the connection just waits: HTTP tells whether the session is over. */
  silent(): void {
    this.gate.profile().catch((error: EngineError) => {
      if (error.code !== "unauthorized" && error.code !== "disabled") return;
      this.session.stop();
      this.ended(error.code === "disabled" ? "disabled" : "expired");
    });
  }

  ended(ended: Ended): void {
    this.ending = ended;
    const { account } = this.model;
    const isOver = ended !== "replaced" && ended !== "incompatible";
    if (account && isOver)
      void this.turns.run(() => this.model.setAccount({ ...account, live: false, ended } satisfies Account));
    this.touch("session");
  }

  moved(conversation: number, held: number, applied: Applied, isLive: boolean): void {
    this.eachPane(conversation, (pane) => pane.moved(held, applied));
    if (isLive) this.signalMessages(conversation, applied);
  }

  private signalMessages(conversation: number, { ready }: Applied): void {
    const row = this.model.rows.get(conversation);
    const isMuted = row?.info.me?.muted === true;
    for (const entry of ready) {
      if (entry.author === this.model.myUid || !entry.message) continue;
      const item = itemOfEntry(entry, this.model.myUid);
      if (item?.type !== "message" || (isMuted && !item.mentionsMe)) continue;
      this.signal({ kind: "message", conversation, item, mentionsMe: item.mentionsMe });
    }
  }

  changed(conversations: Iterable<number>): void {
    for (const conversation of conversations) this.eachPane(conversation, (pane) => pane.rowChanged());
    this.touchConversations();
  }

  reset(): void {
    for (const port of this.ports) for (const pane of port.panes.values()) pane.reset();
    this.touchConversations();
    void this.directory.refresh().catch(() => undefined);
  }

  synced(): void {
    if (!this.isSyncedOnce) void this.directory.refresh().catch(() => undefined);
    this.isSyncedOnce = true;
    for (const port of this.ports) for (const pane of port.panes.values()) pane.online();
    this.directory.want([]);
    this.touchConversations();
  }

  userEvents(events: readonly UserEvent[]): void {
    const isLive = this.session.isSynced;
    void this.directory.userEvents(events).then((news) => {
      for (const { request, accepted } of isLive ? news : []) {
        if (request) this.signal({ kind: "friend_request", request });
        if (accepted !== undefined) this.signal({ kind: "friend_accepted", uid: accepted });
      }
    });
    const mine = events.find(({ profile }) => profile?.uid === this.model.myUid)?.profile;
    if (mine) void this.changeMe({ nickname: mine.nickname, signature: mine.signature });
  }

  cursors(cursors: Cursors): void {
    this.eachPane(cursors.conversation, (pane) => pane.heardCursors(cursors));
  }

  typing(conversation: number, uid: number): void {
    if (uid !== this.model.myUid) this.eachPane(conversation, (pane) => pane.heardTyping(uid));
  }

  rooms(infos: readonly RoomInfo[]): void {
    const rooms = infos.map((info) => this.roomOf(info));
    this.each((port) => port.touchRooms(rooms));
  }

  notice(title: string, text: string, atMs: number): void {
    this.signal({ kind: "notice", title, text, atMs });
  }

  sendFailed(conversation: number, key: string, code: string): void {
    this.signal({ kind: "send_failed", conversation, key, code });
  }

  // -------------------------------------------------------------------------------------------- what tabs tell

  roomOf({ conversation, title, owner, members, createdAtMs }: RoomInfo): Room {
    const row = this.model.rows.get(conversation);
    return { conversation, title, owner, members, createdAtMs, joined: row !== undefined && !row.info.me?.visibleTo };
  }

  private watchRooms(): void {
    const watch = this.watchesRooms;
    if (!this.session.isOnline || watch === this.isWatching) return;
    this.isWatching = watch;
    this.session.ask("listRooms", { watch, count: 1 }).catch(() => undefined);
  }

  get watchesRooms(): boolean {
    return [...this.ports].some((port) => port.watchesRooms);
  }

  async read(conversation: number, seq: number, count?: number): Promise<void> {
    const isChanged = await this.turns.run(() => this.model.read(conversation, seq, count));
    if (!isChanged) return;
    this.session.outgoing.owesRead();
    this.changed([conversation]);
  }

  private async draft(conversation: number, draft: string): Promise<void> {
    const isChanged = await this.turns.run(() => this.model.draft(conversation, draft, false));
    if (!isChanged) return;
    this.session.outgoing.owesDraft(conversation);
    this.changed([conversation]);
  }

  private typed(conversation: number): void {
    const now = Date.now();
    if (now - (this.typedAt.get(conversation) ?? 0) < TYPING_PAUSE_MS) return;
    this.typedAt.set(conversation, now);
    this.session.ask("typing", { conversation }).catch(() => undefined);
  }
}
