/** Who is told what happened. Nothing in it throws, and what it is told of is in the store before. */
import type { Ended, Connection as Status } from "../api";
import type { Cursors, Hello, RoomInfo, UserEvent } from "../wire/generated";
import type { Applied } from "./timeline";

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
  /** Up to date for the first time on this connection. */
  synced(): void;
  userEvents(events: readonly UserEvent[]): void;
  cursors(cursors: Cursors): void;
  typing(conversation: number, uid: number): void;
  rooms(rooms: readonly RoomInfo[]): void;
  notice(title: string, text: string, atMs: number): void;
  sendFailed(conversation: number, key: string, code: string): void;
}

/** What incoming and outgoing work needs of the session around it. */
export interface Host {
  /** Does what is due now, and looks when the next is. */
  wake(): void;
  /** Runs `work` in its turn. A failure takes the link down, and all begins anew from the store. */
  settle(work: () => Promise<void> | void): void;
  readonly isSynced: boolean;
}
