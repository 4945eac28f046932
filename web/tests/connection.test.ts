import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { Connection } from "../src/engine/net/connection";

interface Sent {
  type: string;
  seq: number;
  payload: Record<string, unknown>;
}

/** The browser's WebSocket, its other end in the hands of the test. */
class Socket {
  static readonly OPEN = 1;
  static last: Socket;
  readyState = 0;
  readonly sent: Sent[] = [];
  closedWith: number | undefined;
  onopen: (() => void) | null = null;
  onmessage: ((event: { data: unknown }) => void) | null = null;
  onclose: ((event: { code: number }) => void) | null = null;

  constructor(
    readonly url: string,
    readonly protocol: string,
  ) {
    Socket.last = this;
  }

  send(text: string): void {
    this.sent.push(JSON.parse(text));
  }

  close(code = 1005): void {
    this.closedWith = code;
  }

  open(): void {
    this.readyState = 1;
    this.onopen?.();
  }

  says(type: string, seq: number, payload: unknown = {}): void {
    this.onmessage?.({ data: JSON.stringify({ type, seq, payload }) });
  }
}

const heard: unknown[] = [];
const events = {
  hello: () => heard.push("hello"),
  push: (push: { type: string }) => heard.push(push.type),
  silent: () => heard.push("silent"),
  closed: (reason: { name: string; advice: string }) => heard.push(`${reason.name}, ${reason.advice}`),
};

function dialed(): { connection: Connection; socket: Socket } {
  const connection = new Connection("ws://x/ws", events);
  return { connection, socket: Socket.last };
}

function online(): { connection: Connection; socket: Socket } {
  const line = dialed();
  line.socket.open();
  line.socket.says("hello", 0, { major: 1, epoch: "5" });
  return line;
}

beforeEach(() => {
  heard.length = 0;
  vi.useFakeTimers();
  vi.stubGlobal("WebSocket", Socket);
});
afterEach(() => {
  vi.useRealTimers();
  vi.unstubAllGlobals();
});

describe("requests", () => {
  test("overlapping ones that are answered in reverse order reach the right callers", async () => {
    const { connection, socket } = online();
    const first = connection.request("openDirect", { uid: 1 });
    const second = connection.request("openDirect", { uid: 2 });
    const [one, two] = socket.sent.map(({ seq }) => seq);
    expect(one).not.toBe(two);
    socket.says("conversation", two ?? 0, { conversation: { id: "22" } });
    socket.says("conversation", one ?? 0, { conversation: { id: "11" } });
    expect([(await first).conversation?.id, (await second).conversation?.id]).toEqual([11, 22]);
  });

  test("a refusal comes with the server's code", async () => {
    const { connection, socket } = online();
    const asked = connection.request("joinRoom", { conversation: 3, key: "k" });
    socket.says("error", socket.sent[0]?.seq ?? 0, { code: "busy", message: "later", retryAfterMs: "700", trace: "t" });
    await expect(asked).rejects.toMatchObject({ code: "busy", retryAfterMs: 700, trace: "t" });
  });

  test("without an answer it ends at its deadline, and a late answer is nobody's", async () => {
    const { connection, socket } = online();
    const asked = connection.request("typing", { conversation: 3 });
    const ended = expect(asked).rejects.toMatchObject({ code: "timeout" });
    socket.says("typing", 0, { conversation: "3", uid: "9" });
    await vi.advanceTimersByTimeAsync(10_000);
    await ended;
    socket.says("done", socket.sent[0]?.seq ?? 0);
    expect(heard).toEqual(["hello", "typing"]);
  });

  test("so many wait for answers at once, the others for room, in order", () => {
    const { connection, socket } = online();
    for (let at = 0; at < 100; at++) connection.request("typing", { conversation: at }).catch(() => undefined);
    expect(socket.sent).toHaveLength(56);
    expect(connection.room).toBe(0);
    socket.says("done", socket.sent[0]?.seq ?? 0);
    expect(socket.sent).toHaveLength(57);
    expect(socket.sent.map(({ payload }) => Number(payload.conversation ?? 0))).toEqual(
      Array.from({ length: 57 }, (_, at) => at),
    );
    connection.close();
  });

  test("what is larger than a frame is not sent", async () => {
    const { connection, socket } = online();
    const body = { kind: "text", segments: [{ text: "语".repeat(30_000) }] };
    await expect(connection.request("clientMessages", { conversation: 3, key: "k", body })).rejects.toMatchObject({
      code: "too_large",
    });
    expect(socket.sent).toEqual([]);
  });

  test("all end with the connection", async () => {
    const { connection, socket } = online();
    const asked = connection.request("typing", { conversation: 3 });
    socket.onclose?.({ code: 1006 });
    await expect(asked).rejects.toMatchObject({ code: "offline" });
    await expect(connection.request("typing", { conversation: 3 })).rejects.toMatchObject({ code: "offline" });
  });
});

describe("ends", () => {
  test.each([
    [1001, "going_away, reconnect"],
    [1006, "lost, reconnect"],
    [1000, "lost, reconnect"],
    [1008, "auth_failed, stop"],
    [4101, "logged_in_elsewhere, stop"],
    [4103, "slow, reconnect"],
    [4999, "lost, reconnect"],
  ])("%i is %s", (code, told) => {
    online().socket.onclose?.({ code });
    expect(heard.at(-1)).toBe(told);
  });

  test("what is not the protocol ends it once", () => {
    const { socket } = online();
    const listener = socket.onmessage;
    listener?.({ data: "{" });
    listener?.({ data: "{" });
    expect(heard).toEqual(["hello", "protocol_error, stop"]);
    expect(socket.closedWith).toBeDefined();
  });

  test("a server that opens and says nothing is told of, then given up", () => {
    const { socket } = dialed();
    socket.open();
    vi.advanceTimersByTime(2_000);
    expect(heard).toEqual(["silent"]);
    vi.advanceTimersByTime(8_000);
    expect(heard).toEqual(["silent", "lost, reconnect"]);
  });
});

describe("signs of life", () => {
  test("it beats when it has nothing to say, about every 30 s", () => {
    const { connection, socket } = online();
    for (let second = 0; second < 120; second++) {
      vi.advanceTimersByTime(1_000);
      for (const { type, seq } of socket.sent.splice(0)) {
        heard.push(type);
        socket.says("heartbeatReply", seq, { serverTimeMs: "1" });
      }
    }
    const beats = heard.filter((what) => what === "heartbeat").length;
    expect(beats).toBeGreaterThanOrEqual(4);
    expect(beats).toBeLessThanOrEqual(5);
    connection.close();
  });

  test("a server that says nothing any more is lost", () => {
    online();
    vi.advanceTimersByTime(120_000);
    expect(heard).toEqual(["hello", "heartbeat_timeout, reconnect"]);
  });

  test("a probe finds a dead line soon, and leaves a live one alone", () => {
    const dead = online();
    dead.connection.probe(4_000);
    vi.advanceTimersByTime(4_100);
    expect(heard.at(-1)).toBe("lost, reconnect");
    const live = online();
    live.connection.probe(4_000);
    vi.advanceTimersByTime(50);
    live.socket.says("heartbeatReply", live.socket.sent[0]?.seq ?? 0, { serverTimeMs: "1" });
    vi.advanceTimersByTime(4_100);
    expect(heard.at(-1)).toBe("hello");
    live.connection.close();
  });
});
