/** Differences between two views of a window, small where little changed. Pure. */
import type { Item, TimelineView } from "../api";
import type { PanePatch } from "./messages";

export function diff(before: TimelineView | undefined, after: TimelineView): PanePatch {
  const { items, ...view } = after;
  const isNew = before === undefined || before.generation !== after.generation;
  const old = isNew ? [] : before.items;
  const moved = isNew ? 0 : after.shifted - before.shifted;
  const head = moved > 0 ? items.slice(0, moved) : [];
  const drop = isNew ? (before?.items.length ?? 0) : Math.min(old.length, Math.max(0, -moved));
  const kept = drop > 0 ? old.slice(drop) : old;
  const next = head.length > 0 ? items.slice(head.length) : items;
  return { view, drop, head, ...stretch(kept, next) };
}

function stretch(old: readonly Item[], next: readonly Item[]): { at: number; remove: number; insert: readonly Item[] } {
  const shorter = Math.min(old.length, next.length);
  let at = 0;
  while (at < shorter && old[at] === next[at]) at += 1;
  let end = 0;
  while (end < shorter - at && old[old.length - 1 - end] === next[next.length - 1 - end]) end += 1;
  return { at, remove: old.length - at - end, insert: next.slice(at, next.length - end) };
}

export function patched(items: readonly Item[], { drop, head, at, remove, insert }: PanePatch): readonly Item[] {
  if (drop === 0 && head.length === 0 && remove === 0 && insert.length === 0) return items;
  const next = [...head, ...items.slice(drop)];
  next.splice(head.length + at, remove, ...insert);
  return next;
}
