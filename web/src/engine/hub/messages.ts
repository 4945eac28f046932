/** What a tab and the hub say to each other: plain data that a structured clone carries. */

import type * as api from "../api";
import type {
  Connection,
  Contacts,
  Conversation,
  Item,
  Limits,
  Missing,
  PeopleQuery,
  Person,
  ProfileChange,
  Room,
  Segment,
  Session,
  Signal,
  TimelineView,
} from "../api";
import type { ErrorData } from "../errors";

/** Commands that are answered. Panes are named by number, chosen by the tab. */
export interface Calls {
  requestCode(email: string, purpose: "register" | "reset"): { mailbox?: string };
  register(email: string, code: string, password: string, nickname: string): void;
  logIn(email: string, password: string, client: string): void;
  resetPassword(email: string, code: string, password: string): void;
  logOut(): void;
  logOutEverywhere(): void;
  devices(): readonly api.Device[];
  endDevice(session: string): void;
  leaveSession(): void;
  setProfile(change: ProfileChange): void;

  search(query: PeopleQuery, cursor: string): api.Page<api.Profile>;
  apply(uid: number, greeting: string): api.FriendRequest;
  answer(request: number, accept: boolean): api.FriendRequest;
  setRemark(uid: number, remark: string): void;
  deleteFriend(uid: number): void;
  block(uid: number, on: boolean): void;

  openDirect(uid: number): number;
  createGroup(title: string, uids: readonly number[]): number;
  createRoom(title: string): number;
  joinRoom(conversation: number): number;
  rooms(cursor: string): api.Page<Room>;
  members(conversation: number, cursor: string): api.Page<api.Member>;
  setInfo(conversation: number, change: { title?: string; announcement?: string; mutedAll?: boolean }): void;
  invite(conversation: number, uids: readonly number[]): void;
  remove(conversation: number, uid: number): void;
  leaveConversation(conversation: number): void;
  transfer(conversation: number, uid: number): void;
  setRole(conversation: number, uid: number, role: "member" | "admin"): void;
  silence(conversation: number, uid: number, untilMs: number): void;
  setPinned(conversation: number, pinned: boolean): void;
  setMuted(conversation: number, muted: boolean): void;
  forward(conversation: number, seqs: readonly number[], targets: readonly number[]): void;

  older(pane: number): void;
  newer(pane: number): void;
  around(pane: number, seq: number): void;
  latest(pane: number): void;
  send(pane: number, segments: readonly Segment[], replyTo: number): void;
  retry(key: string): void;
  discard(key: string): void;
  edit(conversation: number, seq: number, segments: readonly Segment[]): void;
  recall(conversation: number, seq: number): void;
  react(conversation: number, seq: number, emoji: string, on: boolean): void;
}

/** What a tab tells; nothing comes back but the state that changes. */
export type Tell =
  | { t: "open"; pane: number; conversation: number }
  | { t: "close"; pane: number }
  | { t: "follow"; pane: number; atEnd: boolean }
  | { t: "read"; conversation: number; seq: number; pane: number }
  | { t: "typing"; conversation: number }
  | { t: "draft"; conversation: number; draft: string }
  | { t: "people"; uids: readonly number[] }
  | { t: "watchRooms"; on: boolean }
  | { t: "reconnect" }
  /** The network may be back. */
  | { t: "nudge" }
  | { t: "focus" };

export type ToHub =
  /** The first message of a tab, and after each {@link FromHub} `lost`. */
  | { t: "hello"; missing: readonly Missing[] }
  | { t: "call"; id: number; name: keyof Calls; args: readonly unknown[] }
  /** The last update is on screen: the next may come. */
  | { t: "drawn" }
  | { t: "ping" }
  | { t: "bye" }
  | Tell;

/** Only what changed. */
export interface Update {
  session?: Session;
  connection?: Connection;
  limits?: Limits;
  missing?: readonly Missing[];
  contacts?: Contacts;
  rooms?: readonly Room[];
  people?: readonly Person[];
  conversations?: ConversationsPatch;
  panes?: readonly [pane: number, patch: PanePatch][];
  /** What happened since the last update. */
  signals?: readonly Signal[];
}

export interface ConversationsPatch {
  /** Forget all first. */
  reset?: true;
  put?: readonly Conversation[];
  order?: readonly number[];
  loaded: boolean;
}

/** `items` of the next view: first the beginning changes, then one stretch. */
export interface PanePatch {
  /** Everything but the items. */
  view: Omit<TimelineView, "items">;
  /** Items taken from the beginning, then put there. */
  drop: number;
  head: readonly Item[];
  /** After that: `remove` items at `at` give way to `insert`. */
  at: number;
  remove: number;
  insert: readonly Item[];
}

export type FromHub =
  | { t: "update"; update: Update }
  | { t: "reply"; id: number; value?: unknown; error?: ErrorData }
  /** The hub does not know this tab (any more): say hello, and open again what is open. */
  | { t: "lost" };

/** One end of a line between a tab and the hub. */
export interface Line<In, Out> {
  send(message: Out): void;
  onMessage: ((message: In) => void) | undefined;
}
