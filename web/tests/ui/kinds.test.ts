import { describe, expect, test } from "vitest";
import type { ConversationKind } from "../../src/engine/api";
import { conversationOf } from "../../src/engine/hub/rows";
import { firstSight } from "../../src/engine/sync/row";
import type { ConversationKind as WireKind } from "../../src/engine/wire/generated";
import { hasMembers, isMyGroup, mayWrite } from "../../src/ui/logic/kinds";
import { conversation, ME, YOU } from "../make";

const kindOf = (kind: WireKind) => conversationOf(firstSight(conversation({ kind }), 0), undefined, ME).kind;

test("kinds of the wire have their own kind here; an unknown one reads as a group", () => {
  const wire: WireKind[] = ["DIRECT", "GROUP", "ROOM", "NOTICE", "CONVERSATION_KIND_UNSPECIFIED"];
  expect(wire.map(kindOf)).toEqual(["direct", "group", "room", "notice", "group"]);
});

test("notices are named by their title and know their app", () => {
  const row = firstSight(conversation({ kind: "NOTICE", title: "news", peer: YOU, members: 2 }), 0);
  expect(conversationOf(row, undefined, ME)).toMatchObject({ kind: "notice", title: "news", peer: YOU, left: false });
});

describe("what a kind allows", () => {
  const table: [ConversationKind, { members: boolean; group: boolean; write: boolean }][] = [
    ["direct", { members: false, group: false, write: true }],
    ["group", { members: true, group: true, write: true }],
    ["room", { members: true, group: false, write: true }],
    ["notice", { members: false, group: false, write: false }],
  ];

  test.each(table)("%s", (kind, expected) => {
    const of = { kind, left: false };
    expect({ members: hasMembers(of), group: isMyGroup(of), write: mayWrite(of) }).toEqual(expected);
  });

  test("who left neither writes nor has it among the groups", () => {
    const of = { kind: "group", left: true } as const;
    expect([mayWrite(of), isMyGroup(of)]).toEqual([false, false]);
  });
});
