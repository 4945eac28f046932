/**
 * Where the person is: a section, and within it perhaps something opened. It lives in the address after `#`, so that the
 * browser's (and the phone's) back goes from a conversation to the list, and a reload stays where one was.
 */

export type Section = "chats" | "contacts" | "rooms" | "me";
export type AuthPage = "login" | "register" | "reset";

export interface Route {
  readonly section: Section;
  /** What is open: a conversation or user id, or the name of a page. Empty: the list alone. */
  readonly open: string;
}

const SECTIONS: readonly Section[] = ["chats", "contacts", "rooms", "me"];
const PAGE = /^[a-z0-9-]{0,24}$/;

export function parseRoute(hash: string): Route {
  const [section, open = ""] = hash.replace(/^#\/?/, "").split("/");
  const known = SECTIONS.find((name) => name === section);
  return { section: known ?? "chats", open: known && PAGE.test(open) ? open : "" };
}

export const asHash = (route: Route): string => `#/${route.section}${route.open ? `/${route.open}` : ""}`;

const here = () => parseRoute(typeof location === "undefined" ? "" : location.hash);

let current = $state.raw<Route>(here());

export const route = (): Route => current;
/** The conversation that is open, or 0. */
export const openConversation = (): number => (current.section === "chats" ? Number(current.open) || 0 : 0);

/** Goes somewhere. From one open thing to another the history keeps one entry, so that back leads to the list. */
export function go(section: Section, open: string | number = ""): void {
  const next: Route = { section, open: String(open) };
  if (next.section === current.section && next.open === current.open) return;
  const replaces = current.open !== "" && next.open !== "" && next.section === current.section;
  const state = { within: replaces ? isWithin() : next.open !== "" };
  if (replaces) history.replaceState(state, "", asHash(next));
  else history.pushState(state, "", asHash(next));
  current = next;
}

/** Whether the entry before this one is the list that this was opened from. */
const isWithin = () => (history.state as { within?: boolean } | null)?.within === true;

/** From what is open to its list: by the history when that leads there. */
export function goBack(): void {
  if (current.open === "") return;
  if (isWithin()) {
    history.back();
    return;
  }
  current = { section: current.section, open: "" };
  history.replaceState({}, "", asHash(current));
}

export function followHistory(): () => void {
  const follow = () => {
    current = here();
  };
  addEventListener("popstate", follow);
  return () => removeEventListener("popstate", follow);
}
