/** Lines between tabs and the hub, over whatever the browser has. */
import type { FromHub, Line, ToHub } from "./messages";

type HubLine = Line<ToHub, FromHub>;

/** A line that keeps what comes before somebody listens. */
export class Buffered<In, Out> implements Line<In, Out> {
  private readonly early: In[] = [];
  private listener: ((message: In) => void) | undefined;

  constructor(readonly send: (message: Out) => void) {}

  get onMessage(): ((message: In) => void) | undefined {
    return this.listener;
  }

  set onMessage(listener: ((message: In) => void) | undefined) {
    this.listener = listener;
    if (listener) for (const message of this.early.splice(0)) listener(message);
  }

  heard(message: In): void {
    if (this.listener) this.listener(message);
    else this.early.push(message);
  }
}

interface Channel {
  postMessage(message: unknown): void;
  onmessage: ((event: MessageEvent) => void) | null;
}

export function lineOver<In, Out>(channel: Channel): Buffered<In, Out> {
  const line = new Buffered<In, Out>((message) => channel.postMessage(message));
  channel.onmessage = (event) => line.heard(event.data as In);
  return line;
}

/** On one broadcast channel all tabs of a browser speak with the one hub among them. */
export const BROADCAST = "skein";

export type Broadcast = { to: "hub"; from: string; message: ToHub } | { to: string; message: FromHub };

/** The hub's side: a line for each tab that says something. */
export function serveBroadcast(attach: (line: HubLine) => void): void {
  const channel = new BroadcastChannel(BROADCAST);
  const lines = new Map<string, Buffered<ToHub, FromHub>>();
  channel.onmessage = (event: MessageEvent<Broadcast>) => {
    const { data } = event;
    if (data.to !== "hub" || !("from" in data)) return;
    let line = lines.get(data.from);
    if (!line) {
      line = new Buffered((message) => channel.postMessage({ to: data.from, message } satisfies Broadcast));
      lines.set(data.from, line);
      attach(line);
    }
    line.heard(data.message);
    if (data.message.t === "bye") lines.delete(data.from);
  };
  channel.postMessage({ to: "all", message: { t: "lost" } } satisfies Broadcast);
}

/** The tab's side. */
export function broadcastLine(id: string): Line<FromHub, ToHub> {
  const channel = new BroadcastChannel(BROADCAST);
  const line = new Buffered<FromHub, ToHub>((message) =>
    channel.postMessage({ to: "hub", from: id, message } satisfies Broadcast),
  );
  channel.onmessage = (event: MessageEvent<Broadcast>) => {
    const { data } = event;
    if ((data.to === id || data.to === "all") && !("from" in data)) line.heard(data.message);
  };
  return line;
}
