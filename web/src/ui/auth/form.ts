/** What the forms of accounts have in common: checks before asking the server, and where its errors belong. Pure. */
import type { Catalogue } from "../../i18n/index.svelte";

export type FieldName = "email" | "code" | "password" | "nickname" | "form";
export type Errors = Partial<Record<FieldName, string>>;

export interface Typed {
  readonly email?: string;
  readonly code?: string;
  readonly password?: string;
  readonly nickname?: string;
}

/** In bytes of UTF-8, as the server counts. */
const PASSWORD_MIN = 8;
const PASSWORD_MAX = 128;
/** After this long a code may be asked for again. */
export const RESEND_SECONDS = 60;

/** Errors that need no server. `chosen`: the password is a new one and has to be good. */
export function check(typed: Typed, chosen: boolean, t: Catalogue): Errors {
  const errors: Errors = {};
  for (const name of ["email", "code", "password", "nickname"] as const) {
    if (typed[name] !== undefined && !typed[name].trim()) errors[name] = t.auth.required;
  }
  if (!errors.email && typed.email !== undefined && !/^\S+@\S+$/.test(typed.email.trim()))
    errors.email = t.auth.emailWrong;
  if (!errors.code && typed.code !== undefined && !/^\d{6}$/.test(typed.code.trim())) errors.code = t.auth.codeFormat;
  if (!errors.password && chosen && !isGoodPassword(typed.password ?? "")) errors.password = t.auth.passwordWrong;
  return errors;
}

function isGoodPassword(password: string): boolean {
  const bytes = new TextEncoder().encode(password).length;
  return PASSWORD_MIN <= bytes && bytes <= PASSWORD_MAX;
}

const PLACES: Record<string, FieldName> = {
  bad_email: "email",
  user_exists: "email",
  code_wrong: "code",
  code_expired: "code",
  code_exhausted: "code",
  weak_password: "password",
  bad_nickname: "nickname",
};

/** The field that a code of the server is about. */
export const placeOf = (code: string): FieldName => PLACES[code] ?? "form";

export const isClean = (errors: Errors): boolean => Object.keys(errors).length === 0;
