/** Wire messages for tests: whole, with what a test cares about. */
import { read } from "../src/engine/wire/codec";
import type { Conversation, Entry, HistoryPage, Messages } from "../src/engine/wire/generated";

export const ME = 7;
export const YOU = 8;
export const CHAT = 3;

type Partially<M extends keyof Messages> = Partial<Messages[M]>;

export function entry(seq: number, change: Partially<"Entry"> = {}): Entry {
  return {
    ...read("Entry", {}),
    conversation: CHAT,
    seq,
    atMs: 1_000 + seq,
    author: YOU,
    count: seq,
    key: `k${seq}`,
    ...change,
  };
}

export function message(seq: number, text = `m${seq}`, change: Partially<"Entry"> = {}): Entry {
  return entry(seq, { message: { body: body(text), replyTo: 0 }, ...change });
}

export function body(text: string) {
  return { kind: "text", segments: [{ text }], fallback: "", payload: "" };
}

export function messages(from: number, to: number): Entry[] {
  return Array.from({ length: Math.max(0, to - from + 1) }, (_, at) => message(from + at));
}

export function conversation(change: Partially<"Conversation"> = {}): Conversation {
  const me = read("Membership", { role: "MEMBER", visibleFrom: "1" });
  return { ...read("Conversation", {}), id: CHAT, kind: "GROUP", me, ...change };
}

/** What history answers for messages `from` to `to`. */
export function history(from: number, to: number, hasMore: boolean): HistoryPage {
  const states = messages(from, to).map(({ message, ...rest }) =>
    read("MessageState", { ...rest, body: message?.body }),
  );
  return { conversation: CHAT, messages: states, events: [], hasMoreMessages: hasMore, floor: 0 };
}
