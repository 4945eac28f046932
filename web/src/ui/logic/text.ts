/** Text of messages: what in it is a link, and what the writer's line becomes on the wire. Pure. */
import type { Segment } from "../../engine/api";

export type Part =
  | { readonly kind: "text"; readonly text: string }
  | { readonly kind: "link"; readonly text: string; readonly href: string };

const LINK = /\b(?:https?:\/\/|www\.|mailto:)[^\s<>"'`，。！？；：、（）【】《》“”‘’]+/giu;
const TRAILING = ".,;:!?)]}*_~'\"";
const SAFE_SCHEMES = new Set(["http:", "https:", "mailto:"]);

/** The address when it is one that may be followed: http, https or mailto, else nothing. */
export function safeHref(address: string): string | undefined {
  const full = /^www\./i.test(address) ? `https://${address}` : address;
  try {
    const url = new URL(full);
    if (!SAFE_SCHEMES.has(url.protocol)) return undefined;
    return url.href;
  } catch {
    return undefined;
  }
}

/** Cuts text into plain parts and links. Joined again, the texts of the parts are the text. */
export function linkify(text: string): Part[] {
  const parts: Part[] = [];
  let from = 0;
  for (const match of text.matchAll(LINK)) {
    const found = withoutTail(match[0]);
    const href = safeHref(found);
    if (!href) continue;
    if (match.index > from) parts.push({ kind: "text", text: text.slice(from, match.index) });
    parts.push({ kind: "link", text: found, href });
    from = match.index + found.length;
  }
  if (from < text.length) parts.push({ kind: "text", text: text.slice(from) });
  return parts;
}

/** Punctuation after an address belongs to the sentence, but a closing bracket belongs to an opening one within. */
function withoutTail(address: string): string {
  const opened = count(address, "(");
  let closed = count(address, ")");
  let end = address.length;
  for (; end > 0; end--) {
    const last = address.charAt(end - 1);
    if (!TRAILING.includes(last) || (last === ")" && opened >= closed)) break;
    if (last === ")") closed--;
  }
  return address.slice(0, end);
}

const count = (text: string, char: string) => text.split(char).length - 1;

/** What a message shows: parts of its text, and whom it mentions. */
export type Shown = Part | { readonly kind: "mention"; readonly uid: number };

export const shownParts = (segments: readonly Segment[]): Shown[] => segments.flatMap(partsOf);

function partsOf(segment: Segment): Shown[] {
  if (segment.kind === "text") return linkify(segment.text);
  if (segment.kind === "mention") return [segment];
  const href = safeHref(segment.url);
  return [href ? { kind: "link", text: segment.url, href } : { kind: "text", text: segment.url }];
}

/** Somebody the writer picked; the text has them as `@name`. */
export interface Picked {
  readonly uid: number;
  readonly name: string;
}

/** What the writer's text becomes: mentions of those picked, links, and text between. Spaces around it go. */
export function compose(text: string, picked: readonly Picked[]): Segment[] {
  const segments: Segment[] = [];
  for (const piece of splitMentions(text.trim(), picked)) {
    if (typeof piece === "string") segments.push(...linkify(piece).map(asSegment));
    else segments.push({ kind: "mention", uid: piece.uid });
  }
  return segments;
}

const asSegment = (part: Part): Segment =>
  part.kind === "link" && /^(https?|mailto):/i.test(part.text)
    ? { kind: "link", url: part.text }
    : { kind: "text", text: part.text };

function splitMentions(text: string, picked: readonly Picked[]): (string | Picked)[] {
  const byLength = picked.filter((p) => p.name).sort((a, b) => b.name.length - a.name.length);
  const pieces: (string | Picked)[] = [];
  let plain = "";
  let at = 0;
  while (at < text.length) {
    const hit = text[at] === "@" ? byLength.find((p) => text.startsWith(p.name, at + 1)) : undefined;
    if (!hit) {
      plain += text[at++];
      continue;
    }
    if (plain) pieces.push(plain);
    plain = "";
    pieces.push(hit);
    at += 1 + hit.name.length;
  }
  if (plain) pieces.push(plain);
  return pieces;
}

/** The other way: text to edit or copy, and whom it mentions. */
export function asText(segments: readonly Segment[], nameOf: (uid: number) => string): string {
  return segments.map((s) => (s.kind === "text" ? s.text : s.kind === "link" ? s.url : `@${nameOf(s.uid)}`)).join("");
}

const encoder = new TextEncoder();

/** Bytes of the text as the server counts them against its limit. */
export const byteLength = (text: string): number => encoder.encode(text).length;

const segmenter =
  typeof Intl !== "undefined" && "Segmenter" in Intl
    ? new Intl.Segmenter(undefined, { granularity: "grapheme" })
    : undefined;

/** What a person counts as characters. */
export function graphemes(text: string): string[] {
  return segmenter ? Array.from(segmenter.segment(text), (s) => s.segment) : Array.from(text);
}

const EMOJI = /^(?:\p{Extended_Pictographic}|\p{Emoji_Component}|\u200d|\ufe0f)+$/u;
const DIGITS = /^[\d#*]+$/;

/** One to three emoji and nothing else are drawn large. */
export function isBigEmoji(text: string): boolean {
  const trimmed = text.replace(/\s+/gu, "");
  if (!trimmed || trimmed.length > 48 || DIGITS.test(trimmed) || !EMOJI.test(trimmed)) return false;
  return graphemes(trimmed).length <= 3;
}

/** The `@…` that the caret stands in, for the mention picker. */
export function mentionQuery(
  text: string,
  caret: number,
): { readonly from: number; readonly query: string } | undefined {
  const before = text.slice(0, caret);
  const from = before.lastIndexOf("@");
  if (from < 0) return undefined;
  const query = before.slice(from + 1);
  if (/[\s@]/u.test(query) || query.length > 20) return undefined;
  const previous = before[from - 1];
  if (previous && /[\w.]/u.test(previous)) return undefined; // an e-mail address
  return { from, query };
}
