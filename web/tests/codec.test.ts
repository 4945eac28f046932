import { readFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import { fresh } from "../scripts/wire.mjs";
import { decodeEnvelope, encodeRequest, read, readPush, readReply, WireError } from "../src/engine/wire/codec";
import { type Messages, PUSHES, REQUESTS, type Requests } from "../src/engine/wire/generated";

const path = (name: string) => new URL(`../../crates/protocol/vectors/${name}`, import.meta.url);

interface Vector {
  kind: "request" | "reply" | "push";
  request?: number;
  op: number;
  type: string;
  seq: number;
  payload: Record<string, unknown>;
  text: string;
}

const VECTORS: Vector[] = JSON.parse(readFileSync(path("ops.json"), "utf8"));
const requestTypes = new Map(VECTORS.filter(({ kind }) => kind === "request").map(({ op, type }) => [op, type]));

/** As the server writes it: numbers as text, nothing at its default. */
function canonical(value: unknown): unknown {
  if (typeof value === "number" || typeof value === "bigint") return String(value);
  if (Array.isArray(value)) return value.map(canonical);
  if (typeof value !== "object" || value === null) return value;
  const fields = Object.entries(value).map(([name, field]) => [name, canonical(field)] as const);
  return Object.fromEntries(fields.filter(([, field]) => !isDefault(field)));
}

function isDefault(value: unknown): boolean {
  return (
    value === "" ||
    value === "0" ||
    value === false ||
    (Array.isArray(value) && value.length === 0) ||
    String(value).endsWith("_UNSPECIFIED")
  );
}

describe("golden vectors", () => {
  test.each(VECTORS.filter(({ kind }) => kind === "request"))(
    "request $type reads and writes to the byte",
    ({ type, seq, text }) => {
      const request = type as keyof Requests;
      const envelope = decodeEnvelope(text);
      expect(envelope).toMatchObject({ type, seq });
      const message = read(REQUESTS[request][0], envelope.payload);
      expect(encodeRequest(request, seq, message as never)).toBe(text);
    },
  );

  test.each(VECTORS.filter(({ kind }) => kind === "reply"))(
    "reply $type reads whole",
    ({ request, type, payload, text }) => {
      const envelope = decodeEnvelope(text);
      const asked = requestTypes.get(request ?? 0) as keyof Requests | undefined;
      const message = type === "error" || !asked ? read("Error", envelope.payload) : readReply(asked, envelope);
      expect(canonical(message)).toEqual(canonical(payload));
    },
  );

  test.each(VECTORS.filter(({ kind }) => kind === "push"))("push $type reads whole", ({ type, payload, text }) => {
    const push = readPush(decodeEnvelope(text));
    expect(push?.type).toBe(type);
    expect(canonical(push?.payload)).toEqual(canonical(payload));
  });

  test("there is one of each kind of message the client knows", () => {
    const types = new Set(VECTORS.map(({ type }) => type));
    for (const type of [...Object.keys(REQUESTS), ...Object.keys(PUSHES)]) expect(types, type).toContain(type);
  });
});

describe("what is not golden", () => {
  test("64-bit numbers stay exact, and epochs stay text", () => {
    const ack = read("Ack", { conversation: "9007199254740991", seq: 7, epoch: "18446744073709551615" });
    expect(ack).toEqual({ conversation: 9007199254740991, key: "", seq: 7, atMs: 0, epoch: "18446744073709551615" });
  });

  test("what a newer server says is left out, or reads as the first", () => {
    expect(read("RoleChanged", { uid: "1", role: "EMPEROR", since: "now" })).toEqual({
      uid: 1,
      role: "ROLE_UNSPECIFIED",
    });
    expect(readPush(decodeEnvelope('{"type":"weather","seq":0,"payload":{}}'))).toBeUndefined();
  });

  test("an optional field is told from its default", () => {
    expect(read("InfoChanged", { title: "" })).toEqual({ title: "" });
    expect(encodeRequest("changeInfo", 1, { conversation: 3, key: "k", title: "", mutedAll: false })).toBe(
      '{"type":"changeInfo","seq":1,"payload":{"conversation":"3","key":"k","title":"","mutedAll":false}}',
    );
  });

  test.each([
    ["no JSON", "{"],
    ["an array", "[]"],
    ["no type", '{"seq":1}'],
    ["a seq that is none", '{"type":"hello","seq":"x"}'],
  ])("%s is refused", (_, text) => {
    expect(() => decodeEnvelope(text)).toThrow(WireError);
  });

  test.each<[keyof Messages, unknown]>([
    ["Ack", []],
    ["Ack", { seq: "1.5" }],
    ["Ack", { key: 5 }],
    ["SyncPage", { conversations: {} }],
    ["Profile", { findableByEmail: "yes" }],
  ])("%s of a wrong shape is refused", (message, json) => {
    expect(() => read(message, json)).toThrow(WireError);
  });
});

test("the wire types are fresh: `npm run wire`", () => {
  const file = new URL("../src/engine/wire/generated.ts", import.meta.url);
  expect(readFileSync(file, "utf8")).toBe(fresh());
});
