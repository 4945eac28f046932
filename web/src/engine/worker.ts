/**
 * The thread of the engine: a shared worker for all tabs; or, where there is none, a dedicated worker per tab, of which the
 * one that holds a lock serves them all; or, without locks, each tab's own.
 */
import { Hub } from "./hub/hub";
import { type Buffered, lineOver, serveBroadcast } from "./hub/lines";
import type { FromHub, ToHub } from "./hub/messages";
import { Database, hasStorage } from "./store/database";
import { Memory } from "./store/memory";
import { Spill } from "./store/spill";

/** The first message to a dedicated worker. */
export type Mode = { mode: "elected" | "alone" };

async function startHub(): Promise<Hub> {
  const isStored = await hasStorage();
  const hub = new Hub(self.location.origin, isStored ? new Spill(new Database()) : new Memory());
  void hub.start();
  self.addEventListener("online", () => hub.session.nudge());
  return hub;
}

function serve(line: Buffered<ToHub, FromHub>, hub: Promise<Hub>): void {
  void hub.then((hub) => hub.attach(line));
}

if ("SharedWorkerGlobalScope" in self) {
  const hub = startHub();
  self.addEventListener("connect", (event) => {
    const [port] = (event as MessageEvent).ports;
    if (port) serve(lineOver(port), hub);
  });
} else {
  const own = self as unknown as MessagePort;
  own.onmessage = (event: MessageEvent<Mode>) => {
    if (event.data.mode === "alone") return serve(lineOver(own), startHub());
    own.onmessage = null;
    void navigator.locks.request("skein-engine", async () => {
      const hub = await startHub();
      serveBroadcast((line) => hub.attach(line));
      // Held for as long as this tab lives.
      await new Promise(() => undefined);
    });
  };
}
