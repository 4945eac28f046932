/** Questions and short notices that any part of the client puts to the person; the shell draws them. */
import { EngineError } from "../../engine/api";
import { errorText } from "../../i18n/index.svelte";

export interface Question {
  readonly title: string;
  readonly text?: string;
  readonly confirm: string;
  readonly danger?: boolean;
}

interface Open extends Question {
  readonly answer: (yes: boolean) => void;
}

let question = $state.raw<Open>();

export const openQuestion = (): Open | undefined => question;

/** Resolves to whether the person agreed. A question that is open already is answered with no. */
export function ask(asked: Question): Promise<boolean> {
  question?.answer(false);
  return new Promise((resolve) => {
    question = {
      ...asked,
      answer: (yes) => {
        question = undefined;
        resolve(yes);
      },
    };
  });
}

export interface Toast {
  readonly id: number;
  readonly text: string;
  readonly bad: boolean;
}

const TOAST_MS = 4000;
const TOASTS_MAX = 3;
let toasts = $state.raw<readonly Toast[]>([]);
let nextToast = 1;

export const openToasts = (): readonly Toast[] => toasts;

/** Says something for four seconds; at most three at once, the oldest goes first. */
export function tell(text: string, bad = false): void {
  const toast: Toast = { id: nextToast++, text, bad };
  toasts = [...toasts, toast].slice(-TOASTS_MAX);
  setTimeout(() => {
    toasts = toasts.filter((other) => other !== toast);
  }, TOAST_MS);
}

export const codeOf = (error: unknown): string => (error instanceof EngineError ? error.code : "unknown");

/** Runs a command and says so when it fails. Resolves to whether it was done. */
export async function attempt(command: Promise<unknown>): Promise<boolean> {
  try {
    await command;
    return true;
  } catch (error) {
    const code = codeOf(error);
    if (code === "unknown") console.error(error);
    tell(errorText(code), true);
    return false;
  }
}
