/** What the person is doing in one open conversation: replying, editing, choosing messages, looking at a menu. */
import { getContext, setContext } from "svelte";
import { SvelteMap } from "svelte/reactivity";
import type { Engine, MessageItem, Timeline } from "../../engine/api";
import { t } from "../../i18n/index.svelte";
import type { Anchor } from "../kit/place";
import { asText } from "../logic/text";
import { attempt, tell } from "../state/ask.svelte";
import { nameOf } from "../state/live";

export interface Placed {
  readonly item: MessageItem;
  readonly anchor: Anchor;
}

const HIGHLIGHT_MS = 1600;

export class ChatSession {
  replying = $state.raw<MessageItem>();
  editing = $state.raw<MessageItem>();
  selecting = $state(false);
  /** Chosen messages by seq. */
  readonly chosen = new SvelteMap<number, MessageItem>();
  /** What was recalled here, by seq: it can be written anew while the conversation is open. */
  private readonly recalled = new SvelteMap<number, string>();
  forwarding = $state.raw<readonly MessageItem[]>();
  menu = $state.raw<Placed>();
  reacting = $state.raw<Placed>();
  /** Seq of the message that is pointed out for a moment. */
  highlighted = $state(0);
  /** Set by the list and the composer, which know how. */
  scrollTo: (seq: number) => void = () => {};
  focusComposer: (text?: string) => void = () => {};
  private highlightTimer: ReturnType<typeof setTimeout> | undefined;

  constructor(
    readonly engine: Engine,
    readonly timeline: Timeline,
  ) {}

  startReply(item: MessageItem): void {
    this.editing = undefined;
    this.replying = item;
    this.focusComposer();
  }

  startEdit(item: MessageItem): void {
    this.replying = undefined;
    this.editing = item;
    this.focusComposer(this.textOf(item));
  }

  cancel(): void {
    this.replying = undefined;
    this.editing = undefined;
  }

  startSelecting(item: MessageItem): void {
    this.selecting = true;
    this.choose(item);
  }

  choose(item: MessageItem): void {
    if (item.seq === 0 || item.recalled) return;
    if (!this.chosen.delete(item.seq)) this.chosen.set(item.seq, item);
  }

  stopSelecting(): void {
    this.selecting = false;
    this.chosen.clear();
  }

  textOf(item: MessageItem): string {
    return asText(item.segments, (uid) => nameOf(this.engine, uid));
  }

  async recall(item: MessageItem): Promise<void> {
    const text = this.textOf(item);
    if (await attempt(this.timeline.recall(item.seq))) this.recalled.set(item.seq, text);
  }

  canWriteAnew(item: MessageItem): boolean {
    return this.recalled.has(item.seq);
  }

  writeAnew(item: MessageItem): void {
    this.editing = undefined;
    this.focusComposer(this.recalled.get(item.seq));
    this.recalled.delete(item.seq);
  }

  async copy(items: readonly MessageItem[]): Promise<void> {
    const text = items.map((item) => this.textOf(item)).join("\n");
    try {
      await navigator.clipboard.writeText(text);
      tell(t().common.copied);
    } catch {
      tell(t().me.missingClipboard, true);
    }
  }

  toggleReaction(item: MessageItem, emoji: string, me: number): void {
    const on = !item.reactions.find((r) => r.emoji === emoji)?.uids.includes(me);
    void attempt(this.timeline.react(item.seq, emoji, on));
  }

  /** Shows the message with this seq, fetching it when it is not here. */
  async jump(seq: number): Promise<void> {
    if (!this.timeline.view.value.items.some((item) => item.seq === seq)) {
      if (!(await attempt(this.timeline.around(seq)))) return;
    }
    this.scrollTo(seq);
    this.point(seq);
  }

  private point(seq: number): void {
    clearTimeout(this.highlightTimer);
    this.highlighted = seq;
    this.highlightTimer = setTimeout(() => {
      this.highlighted = 0;
    }, HIGHLIGHT_MS);
  }
}

const SESSION = Symbol("chat session");

export const provideSession = (session: ChatSession): ChatSession => setContext(SESSION, session);
export const useSession = (): ChatSession => getContext<ChatSession>(SESSION);
