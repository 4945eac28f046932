import { describe, expect, test } from "vitest";
import { EngineError } from "../src/engine/api";
import { offline, timedOut } from "../src/engine/errors";
import { Outbox, PAUSE_MAX_MS } from "../src/engine/sync/outbox";
import { body } from "./make";

const send = (key: string, conversation = 1) => ({ conversation, key, body: body(key), replyTo: 0 });
const refusal = (code: string, retryAfterMs?: number) => new EngineError(code, "", retryAfterMs);

function outbox(...keys: string[]): Outbox {
  const box = new Outbox();
  for (const key of keys) box.push(send(key));
  return box;
}

/** Key, `after` and attempt of what is due. */
function due(box: Outbox, now = 0): [string, string, number][] {
  return box.due(now).map(({ send, attempt }) => [send.key, send.after, attempt]);
}

describe("order", () => {
  test("each names the one before it", () => {
    const box = outbox("a", "b", "c");
    expect(due(box)).toEqual([
      ["a", "", 0],
      ["b", "a", 0],
      ["c", "b", 0],
    ]);
    expect(due(box)).toEqual([]);
    expect(box.acked(1, "a")).toBe(true);
    expect(box.acked(1, "a")).toBe(false);
    expect(box.size).toBe(2);
  });

  test("a curable failure sends again from there", () => {
    const box = outbox("a", "b", "c");
    due(box);
    expect(box.failed(1, "b", 0, refusal("out_of_order"), 0)).toBe("again");
    expect(box.failed(1, "c", 0, refusal("out_of_order"), 0)).toBe("stale");
    expect(due(box)).toEqual([]);
    expect(due(box, box.wakeAt)).toEqual([
      ["b", "a", 1],
      ["c", "b", 1],
    ]);
  });

  test("an ack of an earlier attempt counts", () => {
    const box = outbox("a", "b");
    due(box);
    box.failed(1, "a", 0, timedOut(), 0);
    expect(box.acked(1, "a")).toBe(true);
    expect(due(box, box.wakeAt)).toEqual([["b", "", 1]]);
  });

  test("a final failure leaves the queue and the next goes on", () => {
    const box = outbox("a", "b");
    due(box);
    expect(box.failed(1, "a", 0, refusal("too_large"), 0)).toBe("failed");
    expect(box.failed(1, "b", 0, refusal("out_of_order"), 0)).toBe("again");
    expect(due(box, box.wakeAt)).toEqual([["b", "", 1]]);
  });

  test("a lost link sends everything again, in order", () => {
    const box = outbox("a", "b", "c");
    due(box);
    box.acked(1, "a");
    expect(box.failed(1, "b", 0, offline(), 0)).toBe("again");
    box.linkLost();
    expect(due(box)).toEqual([
      ["b", "", 1],
      ["c", "b", 1],
    ]);
  });

  test("what is restored goes out anew, in the order of the store", () => {
    const box = outbox("b");
    due(box);
    box.restore([send("a"), send("b")]);
    expect(box.failed(1, "b", 0, refusal("too_large"), 0)).toBe("stale");
    expect(due(box)).toEqual([
      ["a", "", 0],
      ["b", "a", 1],
    ]);
  });
});

describe("bounds", () => {
  test.each(["unauthorized", "disabled"])("an ended session (%s) fails no message", (code) => {
    const box = outbox("a");
    due(box);
    expect(box.failed(1, "a", 0, refusal(code), 0)).toBe("again");
  });

  test("a code of the future is tried again", () => {
    const box = outbox("a");
    due(box);
    expect(box.failed(1, "a", 0, refusal("of_the_future"), 0)).toBe("again");
  });

  test("pauses grow, and the server may ask for longer", () => {
    const box = outbox("a");
    let last = 0;
    for (let attempt = 0; attempt < 12; attempt++) {
      const now = attempt * PAUSE_MAX_MS;
      expect(due(box, now)).toHaveLength(1);
      box.failed(1, "a", attempt, timedOut(), now);
      const pause = (box.wakeAt ?? 0) - now;
      expect(pause).toBeGreaterThanOrEqual(last);
      last = pause;
    }
    expect(last).toBe(PAUSE_MAX_MS);
    due(box, 1e9);
    box.failed(1, "a", 12, refusal("busy", 90_000), 1e9);
    expect(box.wakeAt).toBe(1e9 + 90_000);
  });

  test("what is in flight is bounded, per conversation and in all", () => {
    const box = new Outbox();
    for (let at = 0; at < 40; at++) box.push(send(`a${at}`));
    expect(box.due(0)).toHaveLength(16);
    for (let chat = 2; chat < 12; chat++) for (let at = 0; at < 20; at++) box.push(send(`${chat}-${at}`, chat));
    expect(box.due(0)).toHaveLength(16);
    expect(box.due(0)).toHaveLength(0);
  });
});
