/** Installing as an app, where the browser offers it. */
interface InstallPrompt extends Event {
  prompt(): Promise<unknown>;
}

let offered = $state.raw<InstallPrompt>();

export const installable = (): boolean => offered !== undefined;

export async function install(): Promise<void> {
  const prompt = offered;
  offered = undefined;
  await prompt?.prompt();
}

export function awaitInstallOffer(): () => void {
  const take = (event: Event) => {
    event.preventDefault();
    offered = event as InstallPrompt;
  };
  addEventListener("beforeinstallprompt", take);
  return () => removeEventListener("beforeinstallprompt", take);
}
