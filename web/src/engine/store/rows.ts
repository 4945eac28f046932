/** What this browser keeps of an account, row by row, and what one atomic write may change. */
import type { Ended, Friend, FriendRequest, Me } from "../api";
import type { Body, Conversation, Entry, MessageState } from "../wire/generated";

/** A conversation and the window of it that is kept: every line there is from `from` to `position`. */
export interface Row {
  readonly id: number;
  readonly info: Conversation;
  readonly from: number;
  readonly position: number;
  /** `count` at my read cursor: what is above is unread. */
  readonly readCount: number;
  /** Read cursor as the server knows it; below my own, it has to be told. */
  readonly toldRead: number;
  /** The newest message of others that mentions me. */
  readonly mention: number;
  /** The draft is newer than the server's. */
  readonly draftTold: boolean;
}

/** A line of a timeline: a message as it is now, or what else happened. */
export interface Line {
  readonly conversation: number;
  readonly seq: number;
  readonly count: number;
  readonly message?: MessageState;
  readonly event?: Entry;
}

/** A message of mine that is not in the log yet. */
export interface Echo {
  readonly key: string;
  /** Order in which they were written. */
  readonly order: number;
  readonly conversation: number;
  readonly body: Body;
  readonly replyTo: number;
  readonly atMs: number;
  readonly state: "waiting" | "acked" | "failed";
  /** Once acked. */
  readonly seq: number;
  /** Once failed. */
  readonly code: string;
}

export interface PersonRow {
  readonly uid: number;
  readonly nickname: string;
  readonly signature: string;
  /** When the server was asked last. */
  readonly askedAtMs: number;
}

/** A friend, or somebody blocked. */
export interface Contact extends Friend {
  readonly friend: boolean;
}

/** Who is logged in, or was last. */
export interface Account {
  readonly me: Me;
  /** The session is good as far as this browser knows. */
  readonly live: boolean;
  readonly ended?: Ended;
}

/** Where the last sync ended. */
export interface Place {
  readonly epoch: string;
  readonly cursor: string;
}

export interface Facts {
  account: Account | undefined;
  place: Place | undefined;
  /** A log-out that the server has not heard. */
  logOutOwed: boolean | undefined;
  /** Friends and requests were fetched whole once; events keep them up to date. */
  contactsKnown: boolean | undefined;
}

export interface Loaded {
  readonly facts: Partial<Facts>;
  readonly rows: readonly Row[];
  readonly echoes: readonly Echo[];
  readonly people: readonly PersonRow[];
  readonly contacts: readonly Contact[];
  readonly requests: readonly FriendRequest[];
}

/** Everything in it happens, or nothing. In this order: forgetting, then putting. */
export interface Write {
  /** Everything of the account goes. */
  wipe?: boolean;
  /** All conversations and lines go; the outbox stays. */
  forgetLog?: boolean;
  /** Lines of these conversations go. */
  forgetWindows?: readonly number[];
  rows?: readonly Row[];
  lines?: readonly Line[];
  echoes?: readonly Echo[];
  echoesGone?: readonly string[];
  people?: readonly PersonRow[];
  /** All contacts go. */
  forgetContacts?: boolean;
  contacts?: readonly Contact[];
  contactsGone?: readonly number[];
  requests?: readonly FriendRequest[];
  facts?: Partial<Facts>;
}

/** The port behind which the browser's database is. One engine writes at a time; calls are made one after the other. */
export interface Store {
  /** Claims the store: whoever had it can write no more. */
  open(): Promise<Loaded>;
  write(write: Write): Promise<void>;
  /** Up to `count` lines with `from <= seq < below`, the newest of them, ascending. */
  linesBelow(conversation: number, from: number, below: number, count: number): Promise<Line[]>;
  /** Up to `count` lines with `seq > above`, the oldest of them, ascending. */
  linesAbove(conversation: number, above: number, count: number): Promise<Line[]>;
  /** Those that are kept. */
  linesAt(places: readonly { conversation: number; seq: number }[]): Promise<Line[]>;
}

/** Another engine claimed the store: this one is over. */
export class StoreTaken extends Error {}
