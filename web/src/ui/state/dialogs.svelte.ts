/** Which of the dialogs that can be opened from several places is open. */
export type DialogName = "friend" | "group" | "room" | "find" | "keys";

let current = $state<DialogName>();

export const openDialog = (): DialogName | undefined => current;

export function open(name: DialogName): void {
  current = name;
}

export function close(): void {
  current = undefined;
}
