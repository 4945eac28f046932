/**
 * The whole interface between the engine (network, sync, store, outbox; in a worker) and the user interface.
 *
 * State flows one way: the engine publishes immutable snapshots as {@link Live} values, at most once per frame; the user
 * interface calls commands. A snapshot is never changed in place, and a part that did not change is the same object as
 * before, so `===` tells what to draw again and keyed lists stay cheap.
 *
 * Ids, positions and times are plain numbers (the server keeps them below 2^53). Times are the server's, in Unix
 * milliseconds. All text is to be shown as text, never as markup.
 *
 * Commands reject with {@link EngineError} only.
 */

// ------------------------------------------------------------------------------------------------ observable values

/** A value that changes. Satisfies Svelte's store contract: `subscribe` calls `run` at once, then on each change. */
export interface Live<T> {
  readonly value: T;
  subscribe(run: (value: T) => void): () => void;
}

// ------------------------------------------------------------------------------------------------ errors

/** Codes that the engine itself adds to those of the server (docs/protocol.md). */
export type LocalErrorCode =
  /** There is no connection; the command needs one. (Sending a message does not: it waits in the outbox.) */
  | "offline"
  /** 1,000 messages wait to be sent already. */
  | "outbox_full"
  /** Nobody is logged in. */
  | "logged_out"
  /** The browser refused to store; see {@link Missing}. */
  | "store_failed";

/** What a command rejects with. Decide by `code`; `message` is the server's English text, for logs. */
export class EngineError extends Error {
  constructor(
    /** Stable: a code of docs/protocol.md, or a {@link LocalErrorCode}. Treat an unknown one as `internal`. */
    readonly code: string,
    message: string,
    /** When trying again makes sense, if the server said so. */
    readonly retryAfterMs?: number,
    /** Finds the failure in the server's log. */
    readonly trace?: string,
  ) {
    super(message);
    this.name = "EngineError";
  }
}

// ------------------------------------------------------------------------------------------------ status

/** The truth about the connection, for the status line. */
export type Connection =
  /** Nobody is logged in, or the session is over: no connection is wanted. */
  | { state: "idle" }
  /** Dialling. `attempt` counts from 1 since the last time online. */
  | { state: "connecting"; attempt: number }
  /** Not connected; the next attempt is at `retryAt` (this device's clock). `network` false: the browser has none. */
  | { state: "offline"; retryAt: number; network: boolean }
  /** Connected, but what happened meanwhile is still being fetched. */
  | { state: "updating" }
  /** Connected and up to date. */
  | { state: "online" };

/** Why the session ended, if it did by itself. Terminal: only a log-in goes on. */
export type Ended =
  /** Close 4101: the account logged in in another browser. Show the "logged in elsewhere" dialog. */
  | "logged_in_elsewhere"
  /** Close 4102: the same session connected elsewhere (a copied profile). `Engine.reconnect()` takes it back. */
  | "replaced"
  /** Logged out from another device, or the password was reset. */
  | "logged_out"
  /** The session expired or is not valid. */
  | "expired"
  /** An operator disabled the account. */
  | "disabled"
  /** The server speaks another major version, or the bytes were not the protocol: reload the page. */
  | "incompatible";

/** What this browser withholds (mostly on plain HTTP to a LAN address); everything still works, with what is said here. */
export type Missing =
  /** No `SharedWorker`: tabs elect one that connects. */
  | "shared_worker"
  /** Neither shared workers nor locks: each tab connects by itself, and the newest one is connected. */
  | "tab_sharing"
  /** No IndexedDB (private mode): nothing is kept over a reload, the outbox neither. */
  | "storage"
  /** The disk is full: what comes from now on is in memory only, over a reload it is fetched again. */
  | "storage_full"
  /** No service worker: the page itself does not open offline. */
  | "offline_start"
  /** Not a secure context: no desktop notifications. */
  | "notifications";

/** Who is logged in. */
export type Session =
  /** The store is being read. Show nothing (a splash), it takes milliseconds. */
  | { state: "starting" }
  /** Show the log-in page; with `ended`, say why. */
  | { state: "logged_out"; ended?: Ended }
  /** Show the messenger, also while offline; with `ended`, above it the dialog that says so. */
  | { state: "logged_in"; me: Me; ended?: Ended };

export interface Me {
  readonly uid: number;
  readonly nickname: string;
  readonly signature: string;
  readonly email: string;
  readonly findableByEmail: boolean;
  /** Id of this browser's session in {@link Device}. */
  readonly session: string;
}

/** Limits the server told in `hello`; before the first one, its defaults. */
export interface Limits {
  readonly textBytes: number;
  readonly groupMembers: number;
  readonly friends: number;
  readonly rooms: number;
  readonly recallWindowMs: number;
}

// ------------------------------------------------------------------------------------------------ messages

export type Segment =
  | { readonly kind: "text"; readonly text: string }
  /** `uid` 0 mentions everybody. Show the name by {@link Engine.people}. */
  | { readonly kind: "mention"; readonly uid: number }
  /** `url` has a safe scheme (http, https, mailto); others come as text. */
  | { readonly kind: "link"; readonly url: string };

export interface Reaction {
  readonly emoji: string;
  readonly uids: readonly number[];
}

/** One line of a timeline. `id` is stable for the life of a line: from the local echo on, through ack and reload. */
export type Item = MessageItem | EventItem;

export interface MessageItem {
  readonly type: "message";
  readonly id: string;
  /** Position in the conversation; 0 while it has none. */
  readonly seq: number;
  /** While it has no server time: when it was written, by this device's clock. */
  readonly atMs: number;
  readonly author: number;
  /** By me, on whatever device. */
  readonly mine: boolean;
  /** `received` for all that came from the server, also my own. */
  readonly state: "sending" | "sent" | "failed" | "received";
  /** Why, while `failed`. */
  readonly error?: string;
  /** The idempotency key: names the line in {@link Timeline.retry} and {@link Timeline.discard}. */
  readonly key: string;
  /** Empty when recalled. Of an unknown kind: its fallback text. */
  readonly segments: readonly Segment[];
  /** Plain text of the segments, with names left out of mentions (`@uid`). For copying use names by {@link Engine.people}. */
  readonly text: string;
  readonly recalled: boolean;
  readonly editedAtMs: number;
  /** It mentions me or everybody. */
  readonly mentionsMe: boolean;
  readonly reactions: readonly Reaction[];
  /** The quoted message. `quote` fills in when it is known here; `missing` when it is gone. */
  readonly replyTo?: { readonly seq: number; readonly quote?: Quote; readonly missing?: boolean };
}

export interface Quote {
  readonly author: number;
  /** As {@link MessageItem.text}; with `segments` mentions can be shown by name. */
  readonly text: string;
  readonly segments: readonly Segment[];
  readonly recalled: boolean;
}

/** What happened in the conversation besides messages. */
export interface EventItem {
  readonly type: "event";
  readonly id: string;
  readonly seq: number;
  readonly atMs: number;
  readonly author: number;
  readonly event:
    | { readonly kind: "joined"; readonly uids: readonly number[] }
    /** `uid` is the author: left by themself; else removed. */
    | { readonly kind: "left"; readonly uid: number }
    | { readonly kind: "role"; readonly uid: number; readonly role: Role }
    | { readonly kind: "title"; readonly title: string }
    | { readonly kind: "announcement"; readonly announcement: string }
    | { readonly kind: "muted_all"; readonly on: boolean }
    /** `untilMs` 0 lifts it. */
    | { readonly kind: "silenced"; readonly uid: number; readonly untilMs: number };
}

/**
 * A window of one conversation, oldest first. It grows by {@link Timeline.older} and {@link Timeline.newer} and holds at
 * most 1,000 lines: beyond that, lines leave at the far end and `hasNewer` or `hasOlder` is true again.
 */
export interface TimelineView {
  readonly items: readonly Item[];
  /**
   * Lines that were ever put before (+) or taken from (−) the beginning of this window. When it changes from one view to
   * the next, the beginning moved: keep the scroll position from the end (`shift` of virtua).
   */
  readonly shifted: number;
  /** Changes when the window was replaced (jump, reset): place the view anew, at `anchor`. */
  readonly generation: number;
  /** Where to place the view of this generation: the end, or the line with this seq. */
  readonly anchor: "end" | number;
  readonly hasOlder: boolean;
  /** The window does not reach the newest line: appends do not show until {@link Timeline.latest}. */
  readonly hasNewer: boolean;
  readonly loading: "none" | "older" | "newer" | "around";
  /** `hasOlder` cannot be answered now: offline and not kept here. {@link Timeline.older} tries again. */
  readonly stuck: boolean;
  /** My read position when the timeline was opened: "new messages" begin after it. 0: no such line. */
  readonly unreadAfter: number;
  /** Direct conversations: how far the other side has received and read. Mine up to there are delivered or read. */
  readonly peerDelivered: number;
  readonly peerRead: number;
  /** Groups: read positions of other members, as far as told since the timeline was opened. */
  readonly readers: ReadonlyMap<number, number>;
  /** Who is typing now (uids, without me). Empties by itself after 5 s. */
  readonly typing: readonly number[];
}

/** One open conversation. Cheap to hold; close it when its pane goes. Two of the same conversation share one window. */
export interface Timeline {
  readonly conversation: number;
  readonly view: Live<TimelineView>;
  /** Loads a page before the oldest line. Calls while one runs are the same call. */
  older(): Promise<void>;
  /** Loads a page after the newest line of the window. */
  newer(): Promise<void>;
  /** Replaces the window by one around `seq` (a quoted message, "first unread"). */
  around(seq: number): Promise<void>;
  /** Back to the end. */
  latest(): Promise<void>;
  /**
   * Queues a message; the line is in `view` when this resolves, and survives reload and loss of network.
   * Rejects with `too_large`, `bad_body` (nothing but spaces), `outbox_full`.
   */
  send(segments: readonly Segment[], replyTo?: number): Promise<void>;
  /** Sends a `failed` line again, with the same key. */
  retry(key: string): Promise<void>;
  /** Removes a `failed` line. */
  discard(key: string): Promise<void>;
  edit(seq: number, segments: readonly Segment[]): Promise<void>;
  recall(seq: number): Promise<void>;
  react(seq: number, emoji: string, on: boolean): Promise<void>;
  /** The reader has seen everything up to `seq`. Grows only; call as often as you like, it is batched. */
  read(seq: number): void;
  /**
   * Whether the reader is at the end (assumed until said otherwise). While so, appends push lines out at the beginning beyond
   * 300; while not, a full window takes no more of them (`hasNewer`), so that what is being read stays.
   */
  follow(atEnd: boolean): void;
  /** The reader is typing. Call on every input; told at most every 3 s. */
  typing(): void;
  close(): void;
}

// ------------------------------------------------------------------------------------------------ conversations

/** `notice`: what one app tells me; only the app writes there. */
export type ConversationKind = "direct" | "group" | "room" | "notice";
export type Role = "member" | "admin" | "owner";

/** A row of the conversation list, and all the chat pane's head needs. */
export interface Conversation {
  readonly id: number;
  readonly kind: ConversationKind;
  /** Groups and rooms, and the app of notices. Direct ones are named by their peer: {@link Engine.people}. */
  readonly title: string;
  /** The other side of a direct conversation, the app of notices, else 0. */
  readonly peer: number;
  readonly announcement: string;
  readonly owner: number;
  readonly members: number;
  readonly mutedAll: boolean;
  /** Of mine. */
  readonly role: Role;
  /** I am not a member any more: reading only. */
  readonly left: boolean;
  /** I may not write until then; 0: I may. */
  readonly silencedUntilMs: number;
  readonly pinned: boolean;
  readonly muted: boolean;
  readonly draft: string;
  readonly unread: number;
  /** Position up to which I have read, and the newest there is. */
  readonly read: number;
  readonly head: number;
  /** An unread message mentions me. */
  readonly mentioned: boolean;
  /** What the row shows; absent: nothing was written yet. */
  readonly last?: LastLine;
  /** Orders the list: newest first, after pinned ones. */
  readonly activeAtMs: number;
}

export interface LastLine {
  readonly author: number;
  /** As {@link MessageItem.text}; with `segments` mentions can be shown by name. */
  readonly text: string;
  readonly segments: readonly Segment[];
  readonly recalled: boolean;
  readonly atMs: number;
  readonly state: MessageItem["state"];
}

export interface Conversations {
  /** In the order of the list: pinned first, then by `activeAtMs`. */
  readonly list: readonly Conversation[];
  readonly byId: ReadonlyMap<number, Conversation>;
  /** Sum of `unread` of those not muted: for the tab title. */
  readonly unread: number;
  /** The list is known from the store or the server; before that, show a placeholder, not "no chats". */
  readonly loaded: boolean;
}

export interface Member {
  readonly uid: number;
  readonly nickname: string;
  readonly role: Role;
  readonly read: number;
  readonly delivered: number;
  readonly silencedUntilMs: number;
}

export interface Room {
  readonly conversation: number;
  readonly title: string;
  readonly owner: number;
  readonly members: number;
  readonly createdAtMs: number;
  /** I am in. */
  readonly joined: boolean;
}

// ------------------------------------------------------------------------------------------------ people

/** Whatever is known of a user. Everything but `uid` may be empty until it is fetched. */
export interface Person {
  readonly uid: number;
  readonly nickname: string;
  readonly signature: string;
  /** My name for a friend. */
  readonly remark: string;
  /** What to call them: remark, else nickname, else `#uid`. */
  readonly name: string;
  readonly friend: boolean;
  readonly blocked: boolean;
}

export interface Friend {
  readonly uid: number;
  readonly nickname: string;
  readonly remark: string;
  readonly name: string;
  readonly blocked: boolean;
  readonly sinceMs: number;
}

export interface FriendRequest {
  readonly id: number;
  readonly from: number;
  readonly to: number;
  /** Nickname of the other side. */
  readonly nickname: string;
  readonly greeting: string;
  readonly state: "pending" | "accepted" | "declined";
  readonly incoming: boolean;
  readonly atMs: number;
}

export interface Contacts {
  readonly friends: readonly Friend[];
  readonly blocked: readonly Friend[];
  /** Newest first. */
  readonly requests: readonly FriendRequest[];
  /** Incoming and pending: the badge. */
  readonly pending: number;
  readonly loaded: boolean;
}

export interface Profile {
  readonly uid: number;
  readonly nickname: string;
  readonly signature: string;
}

export type PeopleQuery = { uid: number } | { email: string } | { nickname: string };

export interface Device {
  readonly session: string;
  readonly deviceClass: "desktop" | "web" | "mobile" | "cli";
  readonly client: string;
  readonly createdAtMs: number;
  readonly seenAtMs: number;
  readonly current: boolean;
}

/** Something a person may want to be told of: for desktop notifications, sounds and toasts. */
export type Signal =
  /**
   * A new message of somebody else arrived live (not by catching up), and the conversation is not muted (or mentions me). Of
   * several that came within one frame the newest.
   */
  | {
      readonly kind: "message";
      readonly conversation: number;
      readonly item: MessageItem;
      readonly mentionsMe: boolean;
    }
  | { readonly kind: "friend_request"; readonly request: FriendRequest }
  | { readonly kind: "friend_accepted"; readonly uid: number }
  /** From whoever operates the server. */
  | { readonly kind: "notice"; readonly title: string; readonly text: string; readonly atMs: number }
  /** A queued message failed for good. */
  | { readonly kind: "send_failed"; readonly conversation: number; readonly key: string; readonly code: string };

export interface Page<T> {
  readonly items: readonly T[];
  /** Asks for the next page; empty: there is none. */
  readonly cursor: string;
}

// ------------------------------------------------------------------------------------------------ the engine

/** Accounts, by HTTP. No command but these works while logged out. */
export interface Accounts {
  /**
   * Asks for an e-mail code. Resolves alike for known and unknown addresses. Offer to ask again after 60 s (rejects with
   * `rate_limited` before). `mailbox` is the address of the development mailbox, when the server shows codes there.
   */
  requestCode(email: string, purpose: "register" | "reset"): Promise<{ readonly mailbox?: string }>;
  register(email: string, code: string, password: string, nickname: string): Promise<void>;
  /** Resolves when `Engine.session` is logged in. Another account than last time: what was kept here is removed first. */
  logIn(email: string, password: string): Promise<void>;
  /** Sets a new password with an e-mail code; ends all sessions. */
  resetPassword(email: string, code: string, password: string): Promise<void>;
  /** Ends the session and removes everything kept in this browser. Works offline, too: then the server hears it later. */
  logOut(): Promise<void>;
  logOutEverywhere(): Promise<void>;
  devices(): Promise<readonly Device[]>;
  /** Remote log-out. */
  endDevice(session: string): Promise<void>;
}

export interface People {
  /** A person, fetched in the background when unknown. The same object for the same uid. */
  get(uid: number): Live<Person>;
  search(query: PeopleQuery, cursor?: string): Promise<Page<Profile>>;
  apply(uid: number, greeting: string): Promise<FriendRequest>;
  answer(request: number, accept: boolean): Promise<FriendRequest>;
  setRemark(uid: number, remark: string): Promise<void>;
  deleteFriend(uid: number): Promise<void>;
  block(uid: number, on: boolean): Promise<void>;
}

export interface ProfileChange {
  readonly nickname?: string;
  readonly signature?: string;
  readonly findableByEmail?: boolean;
}

/** Groups and rooms. Those that return a number return the conversation's id, and the conversation is in the list then. */
export interface Chats {
  openDirect(uid: number): Promise<number>;
  createGroup(title: string, uids: readonly number[]): Promise<number>;
  createRoom(title: string): Promise<number>;
  joinRoom(conversation: number): Promise<number>;
  rooms(cursor?: string): Promise<Page<Room>>;
  /** New and changed rooms while somebody subscribes. */
  readonly roomChanges: Live<readonly Room[]>;
  members(conversation: number, cursor?: string): Promise<Page<Member>>;
  setInfo(conversation: number, change: { title?: string; announcement?: string; mutedAll?: boolean }): Promise<void>;
  invite(conversation: number, uids: readonly number[]): Promise<void>;
  remove(conversation: number, uid: number): Promise<void>;
  leave(conversation: number): Promise<void>;
  transfer(conversation: number, uid: number): Promise<void>;
  setRole(conversation: number, uid: number, role: "member" | "admin"): Promise<void>;
  /** `untilMs` 0 lifts it. */
  silence(conversation: number, uid: number, untilMs: number): Promise<void>;
  setPinned(conversation: number, pinned: boolean): Promise<void>;
  setMuted(conversation: number, muted: boolean): Promise<void>;
  /** Kept here at once and told the server when typing pauses; works offline. */
  setDraft(conversation: number, draft: string): void;
  /** Everything read. */
  markRead(conversation: number): void;
  /** Sends copies of messages, in order, to each target. */
  forward(conversation: number, seqs: readonly number[], targets: readonly number[]): Promise<void>;
}

export interface Engine {
  readonly session: Live<Session>;
  readonly connection: Live<Connection>;
  readonly limits: Live<Limits>;
  readonly missing: Live<readonly Missing[]>;
  readonly conversations: Live<Conversations>;
  readonly contacts: Live<Contacts>;
  readonly accounts: Accounts;
  readonly people: People;
  readonly chats: Chats;
  /** Called for each signal, in one tab only (the one last focused). */
  onSignal(run: (signal: Signal) => void): () => void;
  setProfile(change: ProfileChange): Promise<void>;
  /** Opens a window at the newest line, from the store at once. */
  open(conversation: number): Timeline;
  /** Dials now: "try again", and after `replaced`. */
  reconnect(): void;
  /** After {@link Session} `ended`: back to the log-in page, with what was kept removed unless the same account returns. */
  leave(): Promise<void>;
}
