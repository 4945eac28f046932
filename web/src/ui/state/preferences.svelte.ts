/** What this browser remembers of a person's taste: look and notifications. Kept in local storage where there is one. */

export type Theme = "system" | "light" | "dark";
export type Accent = "green" | "blue" | "violet" | "rose" | "amber";

export interface Preferences {
  theme: Theme;
  accent: Accent;
  /** Desktop notifications: wanted, and whether they show who and what. */
  notify: boolean;
  preview: boolean;
  sound: boolean;
  /** Emoji used lately, newest first. */
  recentEmoji: readonly string[];
}

const STORED_AS = "skein.preferences";
const RECENT_EMOJI_MAX = 16;
const DEFAULTS: Preferences = {
  theme: "system",
  accent: "green",
  notify: false,
  preview: true,
  sound: true,
  recentEmoji: [],
};

export const preferences: Preferences = $state({ ...DEFAULTS, ...kept() });

function kept(): Partial<Preferences> {
  try {
    return JSON.parse(localStorage.getItem(STORED_AS) ?? "{}") as Partial<Preferences>;
  } catch {
    return {};
  }
}

export function prefer(change: Partial<Preferences>): void {
  Object.assign(preferences, change);
  applyLook();
  try {
    localStorage.setItem(STORED_AS, JSON.stringify(preferences));
  } catch {
    // remembered for this visit only
  }
}

export function usedEmoji(emoji: string): void {
  const others = preferences.recentEmoji.filter((other) => other !== emoji);
  prefer({ recentEmoji: [emoji, ...others].slice(0, RECENT_EMOJI_MAX) });
}

const systemDark = typeof matchMedia === "function" ? matchMedia("(prefers-color-scheme: dark)") : undefined;

/** Puts theme and accent on the root element, where theme.css reads them. */
export function applyLook(): void {
  const { theme, accent } = preferences;
  const root = document.documentElement;
  root.dataset.theme = theme === "system" ? (systemDark?.matches ? "dark" : "light") : theme;
  root.dataset.accent = accent;
}

export function followSystemLook(): () => void {
  systemDark?.addEventListener("change", applyLook);
  return () => systemDark?.removeEventListener("change", applyLook);
}
