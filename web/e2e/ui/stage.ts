/** What tests of the screens share: a server, a browser, and people who use the client with mouse and keyboard. */
import type { Browser, BrowserContextOptions, Locator, Page } from "playwright-core";
import { afterAll, afterEach, beforeAll, beforeEach, expect } from "vitest";
import { en } from "../../src/i18n/en";
import { type Account, befriend, Front, launch, PASSWORD, Peer, person, register, Server } from "../harness";
import { CLIENT } from "../harness/build";

export { en };

export class Stage {
  server!: Server;
  browser!: Browser;
  front!: Front;
  private readonly complaints: string[][] = [];

  /** Somebody opens the client in a browser of their own. Everything the page complains about fails the test. */
  async open(options: BrowserContextOptions & { awaits?: boolean } = {}): Promise<Page> {
    const defaults = { locale: "en-GB", viewport: { width: 1200, height: 760 }, reducedMotion: "reduce" } as const;
    const context = await person(this.browser, this.front.origin, { ...defaults, ...options });
    this.complaints.push(context.complaints);
    const page = await context.newPage();
    await page.goto("/");
    return page;
  }

  async logIn(account: Account, options: BrowserContextOptions = {}): Promise<Page> {
    const page = await this.open(options);
    await fillLogIn(page, account.email, PASSWORD);
    await page.locator(".shell").waitFor();
    await online(page);
    return page;
  }

  /** Two friends: one at a browser (not logged in yet), one scripted. */
  async pair(names: [string, string] = ["Ann", "Bob"]): Promise<{ ann: Account; bob: Peer; chat: number }> {
    const ann = await register(this.server, names[0]);
    const bob = await Peer.register(this.server, names[1]);
    const script = await Peer.connect(this.server, ann);
    await befriend(script, bob);
    const chat = await bob.direct(ann.uid);
    script.close();
    return { ann, bob, chat };
  }

  quiet(): void {
    expect(this.complaints.flat()).toEqual([]);
  }

  forget(): void {
    this.complaints.length = 0;
  }
}

/** A stage for the tests of one file: a server and a browser for all of them, a network for each. */
export function stage(open: () => Promise<Browser> = launch): Stage {
  const it = new Stage();
  beforeAll(async () => {
    it.server = await Server.start();
    it.browser = await open();
  });
  afterAll(async () => {
    await it.browser?.close();
    await it.server?.stop();
  });
  beforeEach(async () => {
    it.front = await Front.start(CLIENT, it.server.address.public ?? "");
  });
  afterEach(async ({ task }) => {
    for (const context of it.browser.contexts()) await context.close();
    await it.front.stop();
    if (task.result?.state !== "fail") it.quiet();
    it.forget();
  });
  return it;
}

export async function fillLogIn(page: Page, email: string, password: string): Promise<void> {
  await page.getByLabel(en.auth.email, { exact: true }).fill(email);
  await page.getByLabel(en.auth.password, { exact: true }).fill(password);
  await page.getByRole("button", { name: en.auth.login, exact: true }).click();
}

export const online = (page: Page) =>
  page.locator('.status[data-connection="online"]').first().waitFor({ state: "attached" });

export const row = (page: Page, conversation: number): Locator => page.locator(`[data-conversation="${conversation}"]`);

export async function openChat(page: Page, conversation: number): Promise<void> {
  await row(page, conversation).click();
  await page.locator("[role=log]").waitFor();
}

export const composer = (page: Page): Locator => page.locator("textarea");

export async function write(page: Page, text: string): Promise<void> {
  await composer(page).fill(text);
  await composer(page).press("Enter");
}

/** A message by its text. */
export const line = (page: Page, text: string): Locator => page.locator(".line").filter({ hasText: text });

/** Opens the menu of a message and chooses from it. */
export async function choose(page: Page, text: string, entry: string): Promise<void> {
  await line(page, text)
    .locator(".bubble")
    .click({ button: "right", position: { x: 8, y: 8 } });
  await page.getByRole("menuitem", { name: entry, exact: true }).click();
}

export const section = (page: Page, name: string): Promise<void> =>
  page.locator(`.rail button[title="${name}"]`).click();

export const numbered = (count: number, word: string): string[] =>
  Array.from({ length: count }, (_, i) => `${word} ${i + 1}`);
