/** Keys of the list: up and down go from message to message, others act on the one that has the focus, or turn pages. */
import type { ListView } from "./listview.svelte";
import type { ChatSession } from "./session.svelte";

/** A page up or down leaves something of the last one in view. */
const PAGE_SHARE = 0.9;

export class LineKeys {
  /** Key of the row that has the focus. */
  private focused = "";

  constructor(
    private readonly list: ListView,
    private readonly session: ChatSession,
  ) {}

  /** The focus left the list. */
  left(): void {
    this.focused = "";
  }

  pressed(event: KeyboardEvent & { currentTarget: HTMLElement }): void {
    if (event.target instanceof HTMLButtonElement || event.target instanceof HTMLInputElement) return;
    const act = this.move(event) ?? this.actOnFocused(event);
    if (!act) return;
    event.preventDefault();
    act();
  }

  private move(event: KeyboardEvent & { currentTarget: HTMLElement }): (() => void) | undefined {
    const scroller = event.currentTarget;
    switch (event.key) {
      case "ArrowUp":
        return () => this.moveFocus(-1);
      case "ArrowDown":
        return () => this.moveFocus(1);
      // At once: a glide of the browser's own would go on after the next key, against what that one does.
      case "Home":
        return () => scroller.scrollTo(0, 0);
      case "PageUp":
        return () => scroller.scrollBy(0, -scroller.clientHeight * PAGE_SHARE);
      case "PageDown":
        return () => scroller.scrollBy(0, scroller.clientHeight * PAGE_SHARE);
      case "End":
        return event.shiftKey ? undefined : () => void this.list.toEnd();
      case "Escape":
        if (!this.focused) return undefined;
        event.stopPropagation();
        return () => this.session.focusComposer();
      default:
        return undefined;
    }
  }

  private actOnFocused(event: KeyboardEvent): (() => void) | undefined {
    const row = this.list.rows[this.focusedIndex()];
    if (row?.kind !== "message" || row.item.recalled || event.ctrlKey || event.metaKey || event.altKey)
      return undefined;
    const { session } = this;
    const { item } = row;
    const acts: Record<string, () => void> = {
      Enter: () => this.openMenu(row.key),
      ContextMenu: () => this.openMenu(row.key),
      " ": () => (session.selecting ? session.choose(item) : this.openMenu(row.key)),
      r: () => item.seq > 0 && session.startReply(item),
      c: () => void session.copy([item]),
    };
    return acts[event.key];
  }

  private focusedIndex(): number {
    return this.focused ? this.list.rows.findIndex((row) => row.key === this.focused) : -1;
  }

  private openMenu(key: string): void {
    const row = this.list.rows[this.focusedIndex()];
    const bubble = document.getElementById(`line-${key}`)?.querySelector(".bubble");
    if (row?.kind === "message" && bubble)
      this.session.menu = { item: row.item, anchor: bubble.getBoundingClientRect() };
  }

  private moveFocus(step: number): void {
    const { rows } = this.list;
    const at = this.focusedIndex();
    const start = at >= 0 ? at : rows.length;
    for (let index = start + step; index >= 0 && index < rows.length; index += step) {
      const row = rows[index];
      if (row?.kind !== "message") continue;
      this.focused = row.key;
      this.list.show(index, "nearest");
      document.getElementById(`line-${row.key}`)?.focus({ preventScroll: true });
      return;
    }
  }
}
