/** The tab's line to the hub: how it is reached here, commands matched to their answers, and a hub that is lost and found. */
import type { Missing } from "../api";
import { type ErrorData, fromData, offline } from "../errors";
import { broadcastLine, lineOver } from "../hub/lines";
import type { Calls, FromHub, Line, Tell, ToHub, Update } from "../hub/messages";
import { uuidV7 } from "../random";
import type { Mode } from "../worker";

const PING_MS = 30_000;
/** A hidden page draws no frames; it takes updates no faster than this. */
const HIDDEN_MS = 250;

export interface Events {
  update(update: Update): void;
  /** The hub begins anew with this tab. */
  found(): void;
}

interface Pending {
  resolve(value: never): void;
  reject(error: Error): void;
}

export class Link {
  private readonly line: Line<FromHub, ToHub>;
  private readonly pending = new Map<number, Pending>();
  private lastId = 0;

  constructor(
    private readonly missing: readonly Missing[],
    private readonly events: Events,
  ) {
    this.line = reach(missing);
    this.line.onMessage = (message) => this.heard(message);
    this.hello();
    setInterval(() => this.line.send({ t: "ping" }), PING_MS);
    addEventListener("pagehide", () => this.line.send({ t: "bye" }));
    window.addEventListener("pageshow", (event) => event.persisted && this.again());
    addEventListener("online", () => this.tell({ t: "nudge" }));
    addEventListener("focus", () => this.tell({ t: "focus" }));
    document.addEventListener(
      "visibilitychange",
      () => document.visibilityState === "visible" && this.tell({ t: "focus" }),
    );
    if (document.hasFocus()) this.tell({ t: "focus" });
  }

  private hello(): void {
    this.line.send({ t: "hello", missing: this.missing });
  }

  private again(): void {
    for (const { reject } of this.pending.values()) reject(offline());
    this.pending.clear();
    this.hello();
    this.events.found();
  }

  tell(tell: Tell): void {
    this.line.send(tell);
  }

  call<C extends keyof Calls>(name: C, ...args: Parameters<Calls[C]>): Promise<ReturnType<Calls[C]>> {
    this.lastId += 1;
    const id = this.lastId;
    return new Promise((resolve, reject) => {
      this.pending.set(id, { resolve: resolve as Pending["resolve"], reject });
      this.line.send({ t: "call", id, name, args });
    });
  }

  private heard(message: FromHub): void {
    switch (message.t) {
      case "update":
        this.events.update(message.update);
        return afterDrawing(() => this.line.send({ t: "drawn" }));
      case "reply":
        return this.reply(message.id, message.value, message.error);
      case "lost":
        return this.again();
    }
  }

  private reply(id: number, value: unknown, error: ErrorData | undefined): void {
    const pending = this.pending.get(id);
    this.pending.delete(id);
    if (error) pending?.reject(fromData(error));
    else pending?.resolve(value as never);
  }
}

function afterDrawing(run: () => void): void {
  let isDone = false;
  const once = () => {
    if (!isDone) run();
    isDone = true;
  };
  if (document.visibilityState === "visible") requestAnimationFrame(once);
  // Also for a page that is hidden meanwhile.
  setTimeout(once, HIDDEN_MS);
}

/** What this browser withholds from the page. */
export function missingHere(): Missing[] {
  const missing: Missing[] = [];
  const hasShared = typeof SharedWorker !== "undefined";
  if (!hasShared) missing.push("shared_worker");
  if (!hasShared && !canElect()) missing.push("tab_sharing");
  if (!("serviceWorker" in navigator)) missing.push("offline_start");
  if (!isSecureContext || typeof Notification === "undefined") missing.push("notifications");
  return missing;
}

function canElect(): boolean {
  return typeof navigator.locks !== "undefined" && typeof BroadcastChannel !== "undefined";
}

function reach(missing: readonly Missing[]): Line<FromHub, ToHub> {
  if (!missing.includes("shared_worker")) {
    const worker = new SharedWorker(new URL("../worker.ts", import.meta.url), { type: "module", name: "skein" });
    return lineOver(worker.port);
  }
  const worker = new Worker(new URL("../worker.ts", import.meta.url), { type: "module" });
  const isElected = !missing.includes("tab_sharing");
  worker.postMessage({ mode: isElected ? "elected" : "alone" } satisfies Mode);
  return isElected ? broadcastLine(uuidV7()) : lineOver(worker);
}
