/** Names: initials and colour of avatars, and the alphabetical index with pinyin. Pure. */
import { graphemes } from "./text";

/** First characters of Han readings A–Z in pinyin order; I, U and V begin no syllable. */
// biome-ignore format: a table
const PINYIN: readonly (readonly [letter: string, first: string])[] = [
  ["A", "阿"], ["B", "八"], ["C", "嚓"], ["D", "哒"], ["E", "妸"], ["F", "发"], ["G", "旮"], ["H", "哈"],
  ["J", "讥"], ["K", "咔"], ["L", "垃"], ["M", "妈"], ["N", "拏"], ["O", "噢"], ["P", "妑"], ["Q", "七"],
  ["R", "呥"], ["S", "扨"], ["T", "它"], ["W", "穵"], ["X", "夕"], ["Y", "丫"], ["Z", "帀"],
];

/** Family names that are read otherwise than the same character mostly is. */
const FAMILY_NAMES: Readonly<Record<string, string>> = Object.fromEntries(
  Array.from("曾Z单S解X仇Q区O查Z翟Z覃Q缪M朴P乐Y盖G".matchAll(/(.)([A-Z])/gu), ([, name = "", letter = ""]) => [
    name,
    letter,
  ]),
);

const HAN = /^\p{Script=Han}/u;
const collator = new Intl.Collator("zh-Hans-u-co-pinyin", { numeric: true, sensitivity: "base" });

/** The letter a name stands under: A–Z, by pinyin for Han, and `#` for everything else. */
export function letterOf(name: string): string {
  const first = name.trim()[0];
  if (!first) return "#";
  if (HAN.test(first)) return FAMILY_NAMES[first] ?? pinyinLetter(first);
  const plain = first.normalize("NFKD")[0]?.toUpperCase() ?? "#";
  return /[A-Z]/.test(plain) ? plain : "#";
}

function pinyinLetter(han: string): string {
  let letter = "#";
  for (const [next, first] of PINYIN) {
    if (collator.compare(han, first) < 0) break;
    letter = next;
  }
  return letter;
}

/** Letters of the first sounds: 张三 → ZS, so that typing zs finds them. */
export function initialLetters(name: string): string {
  return Array.from(name, (char) => (HAN.test(char) ? pinyinLetter(char) : char.toUpperCase())).join("");
}

/** Whether typing `query` means this name: part of it, or the beginning of its pinyin initials. */
export function matches(name: string, query: string): boolean {
  const wanted = query.trim().toLocaleLowerCase();
  if (!wanted) return true;
  if (name.toLocaleLowerCase().includes(wanted)) return true;
  return /^[a-z]+$/.test(wanted) && HAN.test(name.trim()) && initialLetters(name).startsWith(wanted.toUpperCase());
}

export interface Bucket<T> {
  readonly letter: string;
  readonly entries: readonly T[];
}

/** The index: buckets A–Z, `#` last, names in order within. */
export function buckets<T extends { readonly name: string }>(people: readonly T[]): Bucket<T>[] {
  const byLetter = new Map<string, T[]>();
  for (const person of people) {
    const letter = letterOf(person.name);
    const bucket = byLetter.get(letter);
    if (bucket) bucket.push(person);
    else byLetter.set(letter, [person]);
  }
  const letters = [...byLetter.keys()].sort((a, b) => (a === "#" ? 1 : b === "#" ? -1 : a < b ? -1 : 1));
  return letters.map((letter) => ({ letter, entries: (byLetter.get(letter) ?? []).sort(byName) }));
}

export const byName = (a: { readonly name: string }, b: { readonly name: string }) => collator.compare(a.name, b.name);

/** What the avatar shows: the last two Han characters, or the initials of two words, or the first character. */
export function initials(name: string): string {
  const words = name.trim().split(/\s+/u).filter(Boolean);
  const first = words[0];
  if (!first) return "?";
  if (HAN.test(first))
    return graphemes(first)
      .filter((g) => HAN.test(g))
      .slice(-2)
      .join("");
  const letter = (word: string) => (graphemes(word.replace(/^[#@]+(?=.)/u, ""))[0] ?? "").toLocaleUpperCase();
  const second = words.length > 1 ? words.at(-1) : undefined;
  return letter(first) + (second && /^\p{L}/u.test(second) && /^\p{L}/u.test(first) ? letter(second) : "");
}

/** A hue that stays the same for the same id: 12 that are told apart. */
export function hueOf(id: number): number {
  const mixed = Math.imul(id ^ (id >>> 15), 0x2c1b3c6d) >>> 0;
  return (mixed % 12) * 30 + 12;
}

/** A name for the middle of a sentence: its direction stays its own. The characters are those of Unicode's isolates. */
export const isolate = (name: string): string => `\u2068${name}\u2069`;
