/** Where lists were scrolled to when they went, so that whoever comes back to one finds it as it was. */
import { tick } from "svelte";

const offsets = new Map<string, number>();

/** For `{@attach}` on what scrolls. */
export const keepScroll = (list: string) => (scroller: HTMLElement) => {
  const at = offsets.get(list) ?? 0;
  if (at > 0) void tick().then(() => scroller.scrollTo({ top: at, behavior: "instant" }));
  const keep = () => offsets.set(list, scroller.scrollTop);
  scroller.addEventListener("scroll", keep, { passive: true });
  return () => scroller.removeEventListener("scroll", keep);
};

/** For the next account. */
export const forgetScroll = (): void => offsets.clear();
