import type { Segment, Timeline, TimelineView } from "../api";
import type { PanePatch } from "../hub/messages";
import { patched } from "../hub/patch";
import { Cell } from "./cell";
import type { Link } from "./link";

const READ_PAUSE_MS = 100;

const EMPTY: TimelineView = {
  items: [],
  shifted: 0,
  generation: 0,
  anchor: "end",
  hasOlder: false,
  hasNewer: false,
  loading: "none",
  stuck: false,
  unreadAfter: 0,
  peerDelivered: 0,
  peerRead: 0,
  readers: new Map(),
  typing: [],
};

/** The tab's copy of one pane, shared by all who opened the same conversation. */
export class PaneClient {
  readonly view = new Cell<TimelineView>(EMPTY);
  private users = 0;
  private readTo = 0;
  private toldReadTo = 0;
  private readTimer: ReturnType<typeof setTimeout> | undefined;
  private isFollowing = true;
  /** The next patch begins anew, after a hub was lost; generations go on counting. */
  private isFresh = false;
  private generations = 0;

  constructor(
    readonly id: number,
    readonly conversation: number,
    private readonly link: Link,
    private readonly onClosed: () => void,
  ) {
    this.tellOpen();
  }

  private tellOpen(): void {
    this.link.tell({ t: "open", pane: this.id, conversation: this.conversation });
  }

  reopen(): void {
    this.isFresh = true;
    this.generations = this.view.value.generation;
    this.tellOpen();
  }

  apply(patch: PanePatch): void {
    const before = this.isFresh ? [] : this.view.value.items;
    this.isFresh = false;
    this.view.set({
      ...patch.view,
      generation: this.generations + patch.view.generation,
      items: patched(before, patch),
    });
  }

  /** One user's handle. */
  open(): Timeline {
    this.users += 1;
    const { link, id, conversation } = this;
    let isOpen = true;
    return {
      conversation,
      view: this.view,
      older: () => link.call("older", id),
      newer: () => link.call("newer", id),
      around: (seq) => link.call("around", id, seq),
      latest: () => link.call("latest", id),
      send: (segments: readonly Segment[], replyTo = 0) => link.call("send", id, segments, replyTo),
      retry: (key) => link.call("retry", key),
      discard: (key) => link.call("discard", key),
      edit: (seq, segments) => link.call("edit", conversation, seq, segments),
      recall: (seq) => link.call("recall", conversation, seq),
      react: (seq, emoji, on) => link.call("react", conversation, seq, emoji, on),
      read: (seq) => this.read(seq),
      follow: (atEnd) => this.follow(atEnd),
      typing: () => link.tell({ t: "typing", conversation }),
      close: () => {
        if (isOpen) this.leave();
        isOpen = false;
      },
    };
  }

  /** Told at once, then no sooner than {@link READ_PAUSE_MS} again: what comes in while one looks is read in each frame. */
  private read(seq: number): void {
    if (seq <= this.readTo) return;
    this.readTo = seq;
    if (this.readTimer === undefined) this.tellRead();
  }

  private tellRead(): void {
    clearTimeout(this.readTimer);
    this.readTimer = undefined;
    if (this.readTo <= this.toldReadTo) return;
    this.toldReadTo = this.readTo;
    this.link.tell({ t: "read", conversation: this.conversation, seq: this.readTo, pane: this.id });
    this.readTimer = setTimeout(() => this.tellRead(), READ_PAUSE_MS);
  }

  private follow(atEnd: boolean): void {
    if (atEnd === this.isFollowing) return;
    this.isFollowing = atEnd;
    this.link.tell({ t: "follow", pane: this.id, atEnd });
  }

  private leave(): void {
    this.users -= 1;
    if (this.users > 0) return;
    this.tellRead();
    clearTimeout(this.readTimer);
    this.link.tell({ t: "close", pane: this.id });
    this.onClosed();
  }
}
