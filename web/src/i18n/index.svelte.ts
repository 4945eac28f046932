/**
 * Owns the language. `t()` is the catalogue in the language chosen; read inside a component it follows a change.
 * The choice is kept in local storage; without one the browser's languages decide.
 */
import { type Catalogue, en } from "./en";
import { zh } from "./zh";

export type Language = "zh" | "en";
export type { Catalogue };

const catalogues: Record<Language, Catalogue> = { en, zh };
const STORED_AS = "skein.language";

function preferred(): Language {
  const kept = read(STORED_AS);
  if (kept === "zh" || kept === "en") return kept;
  const languages = typeof navigator === "undefined" ? [] : navigator.languages;
  return languages.some((tag) => tag.toLowerCase().startsWith("zh")) ? "zh" : "en";
}

function read(key: string): string | null {
  try {
    return localStorage.getItem(key);
  } catch {
    return null; // storage may be forbidden
  }
}

let current = $state<Language>(preferred());

export const t = (): Catalogue => catalogues[current];
export const language = (): Language => current;
/** The tag for `Intl` and the `lang` attribute. */
export const locale = (): string => (current === "zh" ? "zh-CN" : "en-GB");

export function setLanguage(next: Language): void {
  current = next;
  document.documentElement.lang = locale();
  try {
    localStorage.setItem(STORED_AS, next);
  } catch {
    // remembered for this visit only
  }
}

/** What a person reads for a stable error code. */
export function errorText(code: string): string {
  const texts = t().errors;
  return texts[code] ?? texts.unknown ?? code;
}
