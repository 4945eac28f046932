/** Keys that work everywhere in the messenger. */
import type { Conversation } from "../../engine/api";
import { open, openDialog } from "../state/dialogs.svelte";
import { go, goBack, openConversation, route, type Section } from "../state/route.svelte";

const SECTIONS: Record<string, Section> = { "1": "chats", "2": "contacts", "3": "rooms", "4": "me" };

/** What Escape closes before it leads back, the newest first. */
const closers: (() => boolean)[] = [];

/** `close` says whether there was something to close; until the returned function is called. */
export function onEscape(close: () => boolean): () => void {
  closers.push(close);
  return () => closers.splice(closers.indexOf(close), 1);
}

export function globalKeys(event: KeyboardEvent, list: readonly Conversation[]): void {
  if (event.defaultPrevented || event.isComposing || openDialog() || document.querySelector("dialog[open]")) return;
  const run = commandOf(event, list);
  if (!run) return;
  event.preventDefault();
  run();
}

function commandOf(event: KeyboardEvent, list: readonly Conversation[]): (() => void) | undefined {
  const command = event.ctrlKey || event.metaKey;
  if (command && event.key.toLowerCase() === "k") return () => open("find");
  if (command && event.key === "/") return () => open("keys");
  if (event.key === "?" && !isTyping(event.target)) return () => open("keys");
  const section = event.altKey ? SECTIONS[event.key] : undefined;
  if (section) return () => go(section);
  const step = event.altKey ? { ArrowDown: 1, ArrowUp: -1 }[event.key] : undefined;
  if (step) return () => neighbour(list, step);
  if (event.key === "Escape") return () => closeOrBack(event.target);
  return undefined;
}

function closeOrBack(target: EventTarget | null): void {
  const isClosed = closers.findLast((close) => close()) !== undefined;
  if (!isClosed && route().open && !isTyping(target)) goBack();
}

const isTyping = (target: EventTarget | null) =>
  target instanceof HTMLInputElement || target instanceof HTMLTextAreaElement;

function neighbour(list: readonly Conversation[], step: number): void {
  const at = list.findIndex((conversation) => conversation.id === openConversation());
  const next = list[at < 0 ? 0 : at + step];
  if (next) go("chats", next.id);
}
