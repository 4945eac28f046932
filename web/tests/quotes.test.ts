import { expect, test, vi } from "vitest";
import { type QuoteSource, Quotes } from "../src/engine/hub/quotes";
import type { Line } from "../src/engine/store/rows";
import type { MessageState } from "../src/engine/wire/generated";
import { CHAT, YOU } from "./make";

const message = (seq: number): MessageState => ({ conversation: CHAT, seq, author: YOU }) as unknown as MessageState;

/** A device and a server, of which it can be said what they have. */
class Source implements QuoteSource {
  isOnline = false;
  here: number[] = [];
  answers = true;
  readonly asked: (readonly number[])[] = [];
  readonly fetched: number[] = [];
  readonly changed = vi.fn();

  async kept(seqs: readonly number[]): Promise<readonly Line[]> {
    this.asked.push(seqs);
    const found = seqs.filter((seq) => this.here.includes(seq));
    return found.map((seq) => ({ conversation: CHAT, seq, count: seq, message: message(seq) }));
  }

  async fetch(seq: number): Promise<MessageState | undefined> {
    this.fetched.push(seq);
    if (!this.answers) throw new Error("unavailable");
    return message(seq);
  }
}

test("off line each new quote is looked for here, and what is not kept waits for the connection", async () => {
  const source = new Source();
  source.here = [6];
  const quotes = new Quotes(source);
  expect(quotes.of(5)).toBeUndefined();
  await vi.waitFor(() => expect(source.changed).toHaveBeenCalledTimes(2));
  quotes.of(5);
  quotes.of(6);
  await vi.waitFor(() => expect(quotes.of(6)).toMatchObject({ author: YOU }));
  expect([source.asked, source.fetched]).toEqual([[[5], [6]], []]);

  source.isOnline = true;
  quotes.online();
  await vi.waitFor(() => expect(quotes.of(5)).toMatchObject({ author: YOU }));
  expect(source.fetched).toEqual([5]);
});

test("one that the server did not tell keeps no other from being looked for, and comes with the next connection", async () => {
  const source = new Source();
  Object.assign(source, { isOnline: true, answers: false });
  const quotes = new Quotes(source);
  quotes.of(5);
  quotes.of(6);
  await vi.waitFor(() => expect(source.fetched).toEqual([5, 6]));
  source.answers = true;
  quotes.of(7);
  await vi.waitFor(() => expect(quotes.of(7)).toMatchObject({ author: YOU }));
  expect([quotes.of(5), source.asked]).toEqual([undefined, [[5, 6], [7]]]);

  quotes.online();
  await vi.waitFor(() => expect([quotes.of(5), quotes.of(6)]).not.toContain(undefined));
  expect(source.fetched).toEqual([5, 6, 7, 5, 6]);
});
