/** What happened in a conversation, as a sentence. Pure. */
import type { EventItem } from "../../engine/api";
import type { Catalogue } from "../../i18n/index.svelte";

/** What to call somebody who did something, or (`isObject`) to whom it was done. */
export type Called = (uid: number, isObject: boolean) => string;

export function eventText(item: EventItem, called: Called, t: Catalogue): string {
  const { event } = item;
  const by = called(item.author, false);
  const whom = (uid: number) => called(uid, true);
  switch (event.kind) {
    case "joined": {
      const others = event.uids.filter((uid) => uid !== item.author);
      if (others.length) return t.event.invited(by, t.common.names(others.map(whom)));
      return t.event.joined(by);
    }
    case "left":
      return event.uid === item.author ? t.event.left(by) : t.event.removed(by, whom(event.uid));
    case "role":
      if (event.role === "owner") return t.event.roleOwner(by, whom(event.uid));
      return event.role === "admin" ? t.event.roleAdmin(by, whom(event.uid)) : t.event.roleMember(by, whom(event.uid));
    case "title":
      return t.event.title(by, event.title);
    case "announcement":
      return event.announcement ? t.event.announcement(by) : t.event.announcementGone(by);
    case "muted_all":
      return event.on ? t.event.mutedAll(by) : t.event.unmutedAll(by);
    case "silenced":
      return event.untilMs ? t.event.silenced(by, whom(event.uid)) : t.event.unsilenced(by, whom(event.uid));
  }
}
