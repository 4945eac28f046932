/** Reads the engine's values inside components: what reads one is drawn again when it changes. */
import { getContext, setContext } from "svelte";
import { fromStore } from "svelte/store";
import type { Conversation, Engine, Live, Person } from "../../engine/api";
import { t } from "../../i18n/index.svelte";

const readers = new WeakMap<object, { readonly current: unknown }>();

export function read<T>(live: Live<T>): T {
  let reader = readers.get(live);
  if (!reader) {
    reader = fromStore(live);
    readers.set(live, reader);
  }
  return reader.current as T;
}

const ENGINE = Symbol("engine");

export const provideEngine = (engine: Engine): Engine => setContext(ENGINE, engine);
export const useEngine = (): Engine => getContext<Engine>(ENGINE);

export const personOf = (engine: Engine, uid: number): Person => read(engine.people.get(uid));

/** What to call somebody: "You" for oneself is the caller's business. */
export const nameOf = (engine: Engine, uid: number): string =>
  uid === 0 ? t().chat.mentionAll : personOf(engine, uid).name;

export const titleOf = (engine: Engine, conversation: Conversation): string =>
  conversation.kind === "direct" ? nameOf(engine, conversation.peer) : conversation.title;
