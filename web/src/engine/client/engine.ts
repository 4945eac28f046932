/** The engine as a tab sees it: copies of the hub's state, and commands that go to it. */
import type {
  Accounts,
  Chats,
  Connection,
  Contacts,
  Conversation,
  Conversations,
  Engine,
  Limits,
  Missing,
  People,
  Person,
  ProfileChange,
  Room,
  Session,
  Signal,
  Timeline,
} from "../api";
import type { ConversationsPatch, Update } from "../hub/messages";
import { Cell } from "./cell";
import { Link, missingHere } from "./link";
import { PaneClient } from "./timeline";

const LIMITS: Limits = { textBytes: 16_384, groupMembers: 500, friends: 5_000, rooms: 200, recallWindowMs: 120_000 };

export class EngineClient implements Engine {
  readonly session = new Cell<Session>({ state: "starting" });
  readonly connection = new Cell<Connection>({ state: "idle" });
  readonly limits = new Cell<Limits>(LIMITS);
  readonly missing: Cell<readonly Missing[]>;
  readonly conversations = new Cell<Conversations>({ list: [], byId: new Map(), unread: 0, loaded: false });
  readonly contacts = new Cell<Contacts>({ friends: [], blocked: [], requests: [], pending: 0, loaded: false });
  readonly accounts: Accounts;
  readonly people: People;
  readonly chats: Chats;
  private readonly link: Link;
  private readonly roomChanges: Cell<readonly Room[]>;
  private readonly panes = new Map<number, PaneClient>();
  private readonly persons = new Map<number, Cell<Person>>();
  private personsWanted: number[] = [];
  private readonly listeners = new Set<(signal: Signal) => void>();
  private order: readonly number[] = [];
  private lastPane = 0;

  constructor() {
    const missing = missingHere();
    this.missing = new Cell<readonly Missing[]>(missing);
    this.link = new Link(missing, {
      update: (update) => this.update(update),
      found: () => this.found(),
    });
    this.roomChanges = new Cell<readonly Room[]>([], (on) => this.link.tell({ t: "watchRooms", on }));
    this.accounts = accounts(this.link);
    this.people = this.peopleCommands();
    this.chats = this.chatCommands();
  }

  private found(): void {
    for (const pane of this.panes.values()) pane.reopen();
    this.link.tell({ t: "people", uids: [...this.persons.keys()] });
    if (this.roomChanges.isWatched) this.link.tell({ t: "watchRooms", on: true });
  }

  // -------------------------------------------------------------------------------------------- state

  private update(update: Update): void {
    if (update.session) this.session.set(update.session);
    if (update.connection) this.connection.set(update.connection);
    if (update.limits) this.limits.set(update.limits);
    if (update.missing) this.missing.set(update.missing);
    if (update.contacts) this.contacts.set(update.contacts);
    if (update.people) for (const person of update.people) this.personCell(person.uid).set(person);
    if (update.rooms) this.roomChanges.set(update.rooms);
    if (update.conversations) this.patchConversations(update.conversations);
    for (const [id, patch] of update.panes ?? []) this.paneOf(id)?.apply(patch);
    for (const signal of update.signals ?? []) for (const run of this.listeners) run(signal);
  }

  private patchConversations({ reset, put, order, loaded }: ConversationsPatch): void {
    const byId = new Map<number, Conversation>(reset ? [] : this.conversations.value.byId);
    for (const conversation of put ?? []) byId.set(conversation.id, conversation);
    this.order = order ?? this.order;
    const list = this.order.map((id) => byId.get(id)).filter((conversation) => conversation !== undefined);
    const unread = list.reduce((sum, conversation) => sum + (conversation.muted ? 0 : conversation.unread), 0);
    this.conversations.set({ list, byId, unread, loaded });
  }

  private paneOf(id: number): PaneClient | undefined {
    for (const pane of this.panes.values()) if (pane.id === id) return pane;
    return undefined;
  }

  private personCell(uid: number): Cell<Person> {
    let cell = this.persons.get(uid);
    if (!cell) {
      cell = new Cell<Person>({
        uid,
        nickname: "",
        signature: "",
        remark: "",
        name: `#${uid}`,
        friend: false,
        blocked: false,
      });
      this.persons.set(uid, cell);
      if (this.personsWanted.push(uid) === 1) queueMicrotask(() => this.wantPersons());
    }
    return cell;
  }

  private wantPersons(): void {
    this.link.tell({ t: "people", uids: this.personsWanted });
    this.personsWanted = [];
  }

  // -------------------------------------------------------------------------------------------- commands

  onSignal(run: (signal: Signal) => void): () => void {
    this.listeners.add(run);
    return () => this.listeners.delete(run);
  }

  setProfile(change: ProfileChange): Promise<void> {
    return this.link.call("setProfile", change);
  }

  open(conversation: number): Timeline {
    let pane = this.panes.get(conversation);
    if (!pane) {
      this.lastPane += 1;
      pane = new PaneClient(this.lastPane, conversation, this.link, () => this.panes.delete(conversation));
      this.panes.set(conversation, pane);
    }
    return pane.open();
  }

  reconnect(): void {
    this.link.tell({ t: "reconnect" });
  }

  leave(): Promise<void> {
    return this.link.call("leaveSession");
  }

  private peopleCommands(): People {
    const { link } = this;
    return {
      get: (uid) => this.personCell(uid),
      search: (query, cursor = "") => link.call("search", query, cursor),
      apply: (uid, greeting) => link.call("apply", uid, greeting),
      answer: (request, accept) => link.call("answer", request, accept),
      setRemark: (uid, remark) => link.call("setRemark", uid, remark),
      deleteFriend: (uid) => link.call("deleteFriend", uid),
      block: (uid, on) => link.call("block", uid, on),
    };
  }

  private chatCommands(): Chats {
    const { link } = this;
    return {
      openDirect: (uid) => link.call("openDirect", uid),
      createGroup: (title, uids) => link.call("createGroup", title, uids),
      createRoom: (title) => link.call("createRoom", title),
      joinRoom: (conversation) => link.call("joinRoom", conversation),
      rooms: (cursor = "") => link.call("rooms", cursor),
      roomChanges: this.roomChanges,
      members: (conversation, cursor = "") => link.call("members", conversation, cursor),
      setInfo: (conversation, change) => link.call("setInfo", conversation, change),
      invite: (conversation, uids) => link.call("invite", conversation, uids),
      remove: (conversation, uid) => link.call("remove", conversation, uid),
      leave: (conversation) => link.call("leaveConversation", conversation),
      transfer: (conversation, uid) => link.call("transfer", conversation, uid),
      setRole: (conversation, uid, role) => link.call("setRole", conversation, uid, role),
      silence: (conversation, uid, untilMs) => link.call("silence", conversation, uid, untilMs),
      setPinned: (conversation, pinned) => link.call("setPinned", conversation, pinned),
      setMuted: (conversation, muted) => link.call("setMuted", conversation, muted),
      setDraft: (conversation, draft) => link.tell({ t: "draft", conversation, draft }),
      markRead: (conversation) => {
        const { head = 0 } = this.conversations.value.byId.get(conversation) ?? {};
        link.tell({ t: "read", conversation, seq: head, pane: 0 });
      },
      forward: (conversation, seqs, targets) => link.call("forward", conversation, seqs, targets),
    };
  }
}

function accounts(link: Link): Accounts {
  return {
    requestCode: (email, purpose) => link.call("requestCode", email, purpose),
    register: (email, code, password, nickname) => link.call("register", email, code, password, nickname),
    logIn: (email, password) => link.call("logIn", email, password, clientName()),
    resetPassword: (email, code, password) => link.call("resetPassword", email, code, password),
    logOut: () => link.call("logOut"),
    logOutEverywhere: () => link.call("logOutEverywhere"),
    devices: () => link.call("devices"),
    endDevice: (session) => link.call("endDevice", session),
  };
}

/** Name of browser and system, for the list of devices. */
function clientName(): string {
  const agent = navigator.userAgent;
  const browsers = [/Edg\/(\d+)/, /Firefox\/(\d+)/, /Chrome\/(\d+)/, /Version\/(\d+).*Safari/];
  const names = ["Edge", "Firefox", "Chrome", "Safari"];
  const at = browsers.findIndex((browser) => browser.test(agent));
  const version = browsers[at]?.exec(agent)?.[1] ?? "";
  const system = ["Android", "iPhone", "iPad", "Windows", "Mac OS", "Linux"].find((name) => agent.includes(name)) ?? "";
  return ["Skein Web", `${names[at] ?? ""} ${version}`.trim(), system].filter((part) => part !== "").join(" · ");
}
