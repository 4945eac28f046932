/** Where the focus goes when a form is refused. */
import { tick } from "svelte";

export function toFirstWrong(form: HTMLFormElement): void {
  void tick().then(() => form.querySelector<HTMLElement>('[aria-invalid="true"]')?.focus());
}
