import "fake-indexeddb/auto";
import { beforeEach, describe, expect, test } from "vitest";
import { Database } from "../src/engine/store/database";
import { Memory } from "../src/engine/store/memory";
import { type Store, StoreTaken } from "../src/engine/store/rows";
import { type Advance, Model } from "../src/engine/sync/model";
import { owesRead, readOf, unreadOf } from "../src/engine/sync/row";
import { read } from "../src/engine/wire/codec";
import type { Conversation, Entry } from "../src/engine/wire/generated";
import { body, CHAT, conversation, entry, history, ME, message, messages, YOU } from "./make";

let names = 0;

async function opened(store: Store): Promise<Model> {
  const model = new Model(store);
  const { facts, rows, echoes } = await store.open();
  model.load(facts, rows, echoes);
  if (!model.account) {
    const me = { uid: ME, nickname: "Ann", signature: "", email: "", findableByEmail: false, session: "" };
    await model.setAccount({ me, live: true });
  }
  return model;
}

function advance(ready: readonly Entry[], change: Partial<Advance> = {}): Advance {
  return { conversation: CHAT, restart: false, from: 1, position: ready.at(-1)?.seq ?? 0, ready, ...change };
}

function info(change: Partial<Conversation> = {}, unread = 0, readTo = 0): Conversation {
  const me = read("Membership", { role: "MEMBER", visibleFrom: "1", read: String(readTo), unread: String(unread) });
  return conversation({ me, ...change });
}

describe.each([
  ["IndexedDB", () => new Database(`test-${names++}`)],
  ["memory", () => new Memory()],
])("in %s", (_, make) => {
  let store: Store;
  let model: Model;
  const row = () => {
    const known = model.rows.get(CHAT);
    if (!known) throw new Error("no row");
    return known;
  };
  const texts = async () =>
    (await store.linesBelow(CHAT, 1, 1e6, 1e6)).map(
      (line) => line.message?.body?.segments[0]?.text ?? (line.message ? "recalled" : "event"),
    );

  beforeEach(async () => {
    store = make();
    model = await opened(store);
  });

  test("entries, position and cursor are kept together, and come back", async () => {
    const place = { epoch: "5", cursor: "c1" };
    await model.apply({ place, advances: [advance(messages(1, 3), { info: info({ head: 3, count: 3 }, 3) })] });
    const again = await opened(store);
    expect(again.place).toEqual(place);
    expect(again.rows.get(CHAT)).toEqual(row());
    expect(row()).toMatchObject({ from: 1, position: 3 });
    expect(unreadOf(row())).toBe(3);
    expect(await texts()).toEqual(["m1", "m2", "m3"]);
  });

  test("edits, recalls and reactions change what is kept, also within one batch", async () => {
    await model.apply({ advances: [advance(messages(1, 2), { info: info() })] });
    const changes = [
      message(3),
      entry(4, { edited: { target: 1, body: body("edited") } }),
      entry(5, { recalled: { target: 3 } }),
      entry(6, { reacted: { target: 2, emoji: "👍", on: true }, author: ME }),
    ];
    await model.apply({ advances: [advance(changes)] });
    expect(await texts()).toEqual(["edited", "m2", "recalled"]);
    const [line] = await store.linesAt([{ conversation: CHAT, seq: 2 }]);
    expect(line?.message?.reactions).toEqual([{ emoji: "👍", uids: [ME] }]);
  });

  test("who joined before the server told of the conversation is counted once", async () => {
    await model.apply({ advances: [advance([], { info: info({ head: 1, members: 2 }) })] });
    const joined = (seq: number, uids: number[]) => entry(seq, { joined: { uids } });
    await model.apply({ advances: [advance([joined(1, [ME, YOU])])] });
    expect(row().info.members).toBe(2);
    await model.apply({ advances: [advance([joined(2, [9])])] });
    expect(row().info.members).toBe(3);
  });

  test("my entry settles its echo, wherever it comes from", async () => {
    await model.apply({ advances: [advance(messages(1, 1), { info: info() })] });
    await model.enqueue(
      ["a", "b"].map((key) => ({ conversation: CHAT, key, body: body(key), replyTo: 0 })),
      9,
    );
    expect(model.waiting().map(({ key }) => key)).toEqual(["a", "b"]);
    await model.acked("a", 2);
    expect(model.echoes.get("a")).toMatchObject({ state: "acked", seq: 2 });
    expect((await opened(store)).waiting().map(({ key }) => key)).toEqual(["b"]);
    model = await opened(store);
    const mine = ["a", "b"].map((key, at) => message(2 + at, key, { author: ME, key }));
    expect(await model.apply({ advances: [advance(mine)] })).toEqual(["a", "b"]);
    expect(model.echoes.size).toBe(0);
    expect(readOf(row())).toBe(3);
    expect(await texts()).toEqual(["m1", "a", "b"]);
  });

  test("a draft is told once: the same one again would take the place of another device's", async () => {
    await model.apply({ advances: [advance(messages(1, 1), { info: info() })] });
    expect(await model.draft(CHAT, "half a thought", false)).toBe(true);
    expect(row().draftTold).toBe(false);
    expect(await model.draft(CHAT, "half a thought", true)).toBe(true);
    expect(await model.draft(CHAT, "half a thought", false)).toBe(false);
    expect(row().draftTold).toBe(true);
    expect(await model.draft(CHAT, "another", false)).toBe(true);
    expect(row()).toMatchObject({ draftTold: false, info: { me: { draft: "another" } } });
  });

  test("an ack for what is here already leaves no echo", async () => {
    await model.apply({ advances: [advance(messages(1, 1), { info: info() })] });
    await model.enqueue([{ conversation: CHAT, key: "late", body: body("x"), replyTo: 0 }], 9);
    await model.apply({ advances: [advance(messages(2, 5))] });
    await model.acked("late", 4);
    expect(model.echoes.size).toBe(0);
  });

  test("a failed message waits anew behind the others, with its key", async () => {
    await model.enqueue(
      ["a", "b"].map((key) => ({ conversation: CHAT, key, body: body(key), replyTo: 0 })),
      9,
    );
    await model.failed("a", "not_accepted");
    expect(model.waiting().map(({ key }) => key)).toEqual(["b"]);
    expect(await model.retry("b", 10)).toBeUndefined();
    await model.retry("a", 10);
    expect((await opened(store)).waiting().map(({ key }) => key)).toEqual(["b", "a"]);
    await model.discard("a");
    expect((await opened(store)).waiting().map(({ key }) => key)).toEqual(["b"]);
  });

  test("a restart forgets the window, a reset all of them; the outbox stays", async () => {
    await model.apply({ advances: [advance(messages(1, 3), { info: info() })] });
    await model.enqueue([{ conversation: CHAT, key: "a", body: body("a"), replyTo: 0 }], 9);
    await model.apply({ advances: [advance(messages(50, 51), { restart: true, from: 50 })] });
    expect(await texts()).toEqual(["m50", "m51"]);
    expect(row()).toMatchObject({ from: 50, position: 51 });
    await model.apply({ reset: true, place: { epoch: "6", cursor: "" }, advances: [] });
    expect([model.rows.size, await texts(), model.waiting().length]).toEqual([0, [], 1]);
    expect((await opened(store)).rows.size).toBe(0);
  });

  test("reading lowers unread by what was counted, and never goes back", async () => {
    await model.apply({ advances: [advance(messages(1, 10), { info: info({ head: 10, count: 10 }, 10) })] });
    await model.read(CHAT, 4);
    expect([readOf(row()), unreadOf(row()), owesRead(row())]).toEqual([4, 6, true]);
    await model.read(CHAT, 2);
    expect(readOf(row())).toBe(4);
    await model.read(CHAT, 999);
    expect([readOf(row()), unreadOf(row())]).toEqual([10, 0]);
    const me = read("Membership", { role: "MEMBER", visibleFrom: "1", read: "10" });
    await model.membership({ conversation: CHAT, me });
    expect(owesRead(row())).toBe(false);
  });

  test("another device's reading counts here, from the line it read", async () => {
    await model.apply({ advances: [advance(messages(1, 10), { info: info({ head: 10, count: 10 }, 10) })] });
    const me = read("Membership", { role: "MEMBER", visibleFrom: "1", read: "7", unread: "999" });
    await model.membership({ conversation: CHAT, me });
    expect([readOf(row()), unreadOf(row())]).toEqual([7, 3]);
  });

  test("a draft that is not told outlives what the server says", async () => {
    await model.apply({ advances: [advance(messages(1, 1), { info: info() })] });
    await model.draft(CHAT, "half a sen", false);
    await model.membership({ conversation: CHAT, me: read("Membership", { draft: "old", visibleFrom: "1" }) });
    expect(row().info.me?.draft).toBe("half a sen");
    await model.draft(CHAT, "half a sen", true);
    await model.membership({ conversation: CHAT, me: read("Membership", { draft: "newer", visibleFrom: "1" }) });
    expect(row().info.me?.draft).toBe("newer");
  });

  test("history goes in front, with what was applied meanwhile, unless the window moved", async () => {
    await model.apply({
      advances: [advance(messages(50, 60), { info: info({ head: 60, count: 60 }), restart: true, from: 50 })],
    });
    const since = [entry(61, { edited: { target: 45, body: body("edited") } })];
    expect(await model.prepend(history(40, 49, true), 50, since)).toHaveLength(10);
    expect(row().from).toBe(40);
    expect((await texts()).slice(4, 7)).toEqual(["m44", "edited", "m46"]);
    expect(await model.prepend(history(30, 49, true), 50, [])).toBeUndefined();
    await model.prepend(history(1, 39, false), 40, []);
    expect([row().from, (await texts()).length]).toEqual([1, 60]);
  });

  test("lines are read in pages from both ends", async () => {
    await model.apply({ advances: [advance(messages(1, 30), { info: info() })] });
    const seqs = async (lines: Promise<{ seq: number }[]>) => (await lines).map(({ seq }) => seq);
    expect(await seqs(store.linesBelow(CHAT, 1, 20, 3))).toEqual([17, 18, 19]);
    expect(await seqs(store.linesBelow(CHAT, 18, 20, 9))).toEqual([18, 19]);
    await model.apply({ advances: [advance([entry(31, { recalled: { target: 1 } }), message(32)])] });
    expect(await seqs(store.linesBelow(CHAT, 1, 33, 2))).toEqual([30, 32]);
    expect(await seqs(store.linesAbove(CHAT, 20, 3))).toEqual([21, 22, 23]);
    expect(await seqs(store.linesAbove(CHAT + 1, 0, 3))).toEqual([]);
  });

  test("a wipe leaves nothing", async () => {
    await model.apply({ advances: [advance(messages(1, 3), { info: info() })] });
    await model.wipe();
    const { rows, facts } = await store.open();
    expect([rows.length, facts.account, await texts()]).toEqual([0, undefined, []]);
  });
});

test("somebody else's message changes nothing of mine", async () => {
  const model = await opened(new Memory());
  await model.enqueue([{ conversation: CHAT, key: "k1", body: body("mine"), replyTo: 0 }], 9);
  await model.apply({ advances: [advance([message(1, "theirs", { author: YOU, key: "k1" })], { info: info() })] });
  expect(model.echoes.size).toBe(1);
});

test("who lost the store writes nothing more", async () => {
  const name = `test-${names++}`;
  const older = await opened(new Database(name));
  const newer = await opened(new Database(name));
  await expect(older.apply({ advances: [advance(messages(1, 1), { info: info() })] })).rejects.toThrow(StoreTaken);
  expect(older.rows.size).toBe(0);
  await newer.apply({ advances: [advance(messages(1, 1), { info: info() })] });
  expect(newer.rows.size).toBe(1);
});
