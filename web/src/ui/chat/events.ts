/** What happened in a conversation, as a sentence. Pure. */
import type { EventItem } from "../../engine/api";
import type { Catalogue } from "../../i18n/index.svelte";

export function eventText(item: EventItem, nameOf: (uid: number) => string, t: Catalogue): string {
  const { event } = item;
  const by = nameOf(item.author);
  switch (event.kind) {
    case "joined": {
      const others = event.uids.filter((uid) => uid !== item.author);
      const who = t.common.names(event.uids.map(nameOf));
      return others.length ? t.event.invited(by, t.common.names(others.map(nameOf))) : t.event.joined(who || by);
    }
    case "left":
      return event.uid === item.author ? t.event.left(by) : t.event.removed(by, nameOf(event.uid));
    case "role": {
      const who = nameOf(event.uid);
      if (event.role === "owner") return t.event.roleOwner(by, who);
      return event.role === "admin" ? t.event.roleAdmin(by, who) : t.event.roleMember(by, who);
    }
    case "title":
      return t.event.title(by, event.title);
    case "announcement":
      return event.announcement ? t.event.announcement(by) : t.event.announcementGone(by);
    case "muted_all":
      return event.on ? t.event.mutedAll(by) : t.event.unmutedAll(by);
    case "silenced":
      return event.untilMs ? t.event.silenced(by, nameOf(event.uid)) : t.event.unsilenced(by, nameOf(event.uid));
  }
}
