/** The mark beside a message of mine: how far it has come. Pure. */
import type { MessageItem, TimelineView } from "../../engine/api";

export type Mark = "sending" | "failed" | "sent" | "delivered" | "read";

export function markOf(item: MessageItem, view: TimelineView, direct: boolean): Mark {
  if (item.state === "sending" || item.state === "failed") return item.state;
  if (item.seq === 0) return "sent";
  if (!direct) return readersOf(item, view) > 0 ? "read" : "sent";
  if (item.seq <= view.peerRead) return "read";
  return item.seq <= view.peerDelivered ? "delivered" : "sent";
}

/** Groups: how many others are known to have read it. */
export function readersOf(item: MessageItem, view: TimelineView): number {
  let readers = 0;
  for (const [uid, seq] of view.readers) if (uid !== item.author && seq >= item.seq) readers++;
  return readers;
}
