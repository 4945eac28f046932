import { expect, test } from "vitest";
import type { MessageItem } from "../src/engine/api";
import { Hub } from "../src/engine/hub/hub";
import { lineItem } from "../src/engine/hub/items";
import type { FromHub, Line, ToHub } from "../src/engine/hub/messages";
import { Memory } from "../src/engine/store/memory";
import type { Line as KeptLine } from "../src/engine/store/rows";
import { lineOf } from "../src/engine/sync/model";
import { read } from "../src/engine/wire/codec";
import { ME, message, YOU } from "./make";

async function loggedIn(): Promise<Hub> {
  const hub = new Hub("http://localhost", new Memory());
  const me = { uid: ME, nickname: "Ann", signature: "", email: "ann@example.org", findableByEmail: true, session: "s" };
  await hub.model.setAccount({ me, live: true });
  return hub;
}

const profile = (change: object) => read("UserEvent", { profile: change });

test("what another device changed of my profile is known here, all of it", async () => {
  const hub = await loggedIn();
  hub.userEvents([
    profile({ uid: String(YOU), nickname: "Bob" }),
    profile({ uid: String(ME), nickname: "Ann", signature: "first", email: "ann@example.org", findableByEmail: true }),
    profile({ uid: String(ME), nickname: "Anne", signature: "here", email: "ann@example.org" }),
  ]);
  await expect
    .poll(() => hub.model.account?.me)
    .toEqual({
      uid: ME,
      nickname: "Anne",
      signature: "here",
      email: "ann@example.org",
      findableByEmail: false,
      session: "s",
    });
  await expect.poll(() => hub.directory.person(ME).name).toBe("Anne");
});

const arrived = (conversation: number, seq: number) => {
  const item = lineItem(lineOf(message(seq)) as KeptLine, ME, undefined) as MessageItem;
  return { kind: "message" as const, conversation, item, mentionsMe: false };
};

test("a tab is told of what happens once a frame at most: of messages of a conversation the newest, of notices each", async () => {
  const hub = await loggedIn();
  const heard: FromHub[] = [];
  const line: Line<ToHub, FromHub> = { send: (message) => heard.push(message), onMessage: undefined };
  hub.attach(line);
  const say = (message: ToHub) => line.onMessage?.(message);
  const updates = () => heard.flatMap((message) => (message.t === "update" ? [message.update] : []));
  say({ t: "hello", missing: [] });
  await expect.poll(() => updates().some(({ session }) => session)).toBe(true);
  const before = heard.length;
  for (let seq = 1; seq <= 500; seq++) hub.tabs.signal(arrived(1 + (seq % 2), seq));
  for (let n = 0; n < 3; n++) hub.notice(`notice ${n}`, "", n);
  await new Promise((resolve) => setTimeout(resolve, 0));
  expect(heard.length).toBe(before);
  say({ t: "drawn" });
  await expect.poll(() => heard.length).toBe(before + 1);
  const told = updates()
    .at(-1)
    ?.signals?.map((signal) => {
      if (signal.kind === "message") return `${signal.conversation}: ${signal.item.seq}`;
      return signal.kind === "notice" ? signal.title : signal.kind;
    });
  expect(told).toEqual(["2: 499", "1: 500", "notice 0", "notice 1", "notice 2"]);
});
