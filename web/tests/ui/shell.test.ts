import { existsSync, readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { describe, expect, test } from "vitest";
import type { EventItem, MessageItem, TimelineView } from "../../src/engine/api";
import { type Catalogue, en } from "../../src/i18n/en";
import { zh } from "../../src/i18n/zh";
import { check, isClean, placeOf } from "../../src/ui/auth/form";
import { eventText } from "../../src/ui/chat/events";
import { markOf, readersOf } from "../../src/ui/chat/marks";
import { iconFor, titleFor } from "../../src/ui/shell/tab";
import { asHash, parseRoute } from "../../src/ui/state/route.svelte";

const file = (name: string) => fileURLToPath(new URL(`../../${name}`, import.meta.url));

describe("language", () => {
  const shape = (value: unknown): unknown =>
    value && typeof value === "object"
      ? Object.fromEntries(Object.entries(value).map(([k, v]) => [k, shape(v)]))
      : typeof value;

  test("both catalogues say the same things, and nothing is empty", () => {
    expect(shape(zh)).toEqual(shape(en));
    expect(JSON.stringify([zh, en])).not.toContain('""');
  });

  test("Chinese has Chinese punctuation", () => {
    const flat = (value: unknown): string[] =>
      typeof value === "function"
        ? flat(value("名字", "名字"))
        : value && typeof value === "object"
          ? Object.values(value).flatMap(flat)
          : [String(value)];
    const { names, ...common } = zh.common;
    const sentences = [...flat({ ...zh, common }), names(["张三", "李四"])];
    expect(sentences.length).toBeGreaterThan(300);
    expect(sentences.filter((text) => /\p{Script=Han} ?[,:;!?]|[,:;!?] ?\p{Script=Han}/u.test(text))).toEqual([]);
  });

  test("every error the server names has a sentence", () => {
    const table = readFileSync(file("../docs/http-api.md"), "utf8").split("generated errors: begin")[1] ?? "";
    const codes = [...table.matchAll(/^\| `(\w+)` \| \d/gm)].map((match) => match[1] as string);
    expect(codes.length).toBeGreaterThan(30);
    const never = [
      "bad_json",
      "unsupported",
      "unsupported_version",
      "bad_cursor",
      "idempotency_conflict",
      "out_of_order",
      "retry_same_key",
      "draining",
    ];
    expect(codes.filter((code) => !(code in en.errors) && !never.includes(code))).toEqual([]);
  });
});

describe("addresses", () => {
  test.each(["#/chats", "#/chats/12", "#/contacts/requests", "#/me/profile", "#/rooms"])("%s", (hash) =>
    expect(asHash(parseRoute(hash))).toBe(hash),
  );
  test.each(["", "#", "#/nowhere/7", "#/chats/<script>", `#/chats/${"9".repeat(80)}`])(
    "%s leads to the chats",
    (hash) => expect(asHash(parseRoute(hash))).toBe("#/chats"),
  );
});

describe("forms", () => {
  test("what needs no server is said before it is asked", () => {
    expect(check({ email: "", password: "" }, false, en)).toEqual({
      email: en.auth.required,
      password: en.auth.required,
    });
    expect(check({ email: "ann", code: "12", nickname: "A", password: "short" }, true, en)).toEqual({
      email: en.auth.emailWrong,
      code: en.auth.codeFormat,
      password: en.auth.passwordWrong,
    });
    expect(isClean(check({ email: "张@例子.中国", password: "x" }, false, en))).toBe(true);
  });

  test.each([
    ["1234567", false],
    ["12345678", true],
    ["密码", false],
    ["密码a1", true],
    ["x".repeat(128), true],
    [`${"x".repeat(126)}密`, false],
  ])("a new password is measured as the server does: %s", (password, isGood) =>
    expect(isClean(check({ password }, true, en))).toBe(isGood),
  );

  test("the server's errors stand at their fields", () => {
    expect(["user_exists", "code_expired", "weak_password", "bad_nickname", "busy"].map(placeOf)).toEqual([
      "email",
      "code",
      "password",
      "nickname",
      "form",
    ]);
  });
});

test("the tab's icons are all there", () => {
  for (let unread = 0; unread < 15; unread++) expect(existsSync(file(`public${iconFor(unread)}`))).toBe(true);
  expect([titleFor(0), titleFor(7), titleFor(120)]).toEqual(["Skein", "(7) Skein", "(99+) Skein"]);
});

describe("marks", () => {
  const item = (seq: number, state: MessageItem["state"] = "received") => ({ seq, state, author: 1 }) as MessageItem;
  const view = { peerDelivered: 5, peerRead: 3, readers: new Map([[1, 9], [2, 4], [3, 2]]) } as unknown as TimelineView; // biome-ignore format: a fixture

  test.each([
    [item(0, "sending"), "sending"],
    [item(0, "failed"), "failed"],
    [item(0, "sent"), "sent"],
    [item(6), "sent"],
    [item(5), "delivered"],
    [item(3), "read"],
  ])("direct", (message, mark) => expect(markOf(message, view, true)).toBe(mark));

  test("in groups readers are counted, without the author", () => {
    expect([2, 3, 5].map((seq) => readersOf(item(seq), view))).toEqual([2, 1, 0]);
    expect(markOf(item(3), view, false)).toBe("read");
    expect(markOf(item(5), view, false)).toBe("sent");
  });
});

test("events are sentences", () => {
  const me = 4;
  const says = (event: EventItem["event"], author = 1, t: Catalogue = en) => {
    const names = (uid: number, isObject: boolean) =>
      uid === me ? (isObject ? t.event.youAsObject : t.event.you) : (["?", "Ann", "Bob", "Cy"][uid] ?? "?");
    return eventText({ event, author } as EventItem, names, t);
  };
  expect([
    says({ kind: "joined", uids: [1] }),
    says({ kind: "joined", uids: [2, 3] }),
    says({ kind: "left", uid: 1 }),
    says({ kind: "left", uid: 2 }),
    says({ kind: "role", uid: 2, role: "owner" }),
    says({ kind: "silenced", uid: 2, untilMs: 0 }),
    says({ kind: "muted_all", on: true }),
    says({ kind: "muted_all", on: false }, me),
    says({ kind: "role", uid: me, role: "admin" }),
    says({ kind: "role", uid: me, role: "admin" }, 1, zh),
    says({ kind: "announcement", announcement: "8:00" }, me, zh),
    says({ kind: "joined", uids: [2, 3] }, me, zh),
  ]).toEqual([
    "Ann joined",
    "Ann invited Bob, Cy",
    "Ann left",
    "Ann removed Bob",
    "Ann made Bob the owner",
    "Ann let Bob write again",
    "Ann muted everybody",
    "You let everybody write again",
    "Ann made you an admin",
    "Ann 将你设为管理员",
    "你更新了公告",
    "你邀请 Bob、Cy 加入",
  ]);
});
