/** The browser tab: how much is unread, in its title and on its icon. */
const BADGES_MAX = 9;

export const titleFor = (unread: number): string => (unread > 0 ? `(${unread > 99 ? "99+" : unread}) Skein` : "Skein");

/** The icons are files, one for each number up to nine and one for more: the policy allows no other images. */
export function iconFor(unread: number): string {
  if (unread <= 0) return "/favicon.svg";
  return `/icons/unread-${unread > BADGES_MAX ? "more" : unread}.svg`;
}

/** A message that is read as it comes leaves the tab alone: browsers take long over a new title and icon. */
const SETTLE_MS = 250;
let timer: ReturnType<typeof setTimeout> | undefined;

export function showUnread(unread: number): void {
  clearTimeout(timer);
  timer = setTimeout(() => draw(unread), SETTLE_MS);
}

function draw(unread: number): void {
  if (document.title !== titleFor(unread)) document.title = titleFor(unread);
  const link = document.querySelector<HTMLLinkElement>('link[rel="icon"]');
  const icon = iconFor(unread);
  if (link && link.getAttribute("href") !== icon) link.href = icon;
}
