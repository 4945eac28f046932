/** Browsers that withhold something, and starts without a network. */
import type { Browser, BrowserContextOptions, Page } from "playwright-core";
import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import { type Account, befriend, Front, launch, PASSWORD, Peer, person, register, Server, until } from "./harness";
import { CLIENT, ENGINE } from "./harness/build";

/** A name that is no loopback: pages from there are no secure context, as on a LAN address. */
const LAN = "skein.lan";

let server: Server;
let browser: Browser;
let front: Front | undefined;

beforeAll(async () => {
  server = await Server.start();
  browser = await launch([`--host-resolver-rules=MAP ${LAN} 127.0.0.1`]);
});
afterAll(async () => {
  await browser?.close();
  await server?.stop();
});
afterEach(async () => {
  for (const context of browser.contexts()) await context.close();
  await front?.stop();
  front = undefined;
});

async function lookAt(pages: string, withheld: readonly string[] = [], options: BrowserContextOptions = {}) {
  front = await Front.start(pages, server.address.public ?? "");
  const context = await person(browser, front.origin, options);
  await context.addInitScript((names) => {
    for (const name of names) Reflect.deleteProperty(name in window ? window : Navigator.prototype, name);
  }, withheld);
  return { context, front };
}

async function tab(context: Awaited<ReturnType<typeof person>>, url = "/"): Promise<Page> {
  const page = await context.newPage();
  await page.goto(url);
  await page.waitForFunction(() => window.engine?.session.value.state !== "starting");
  return page;
}

async function logIn(page: Page, { email }: Account): Promise<void> {
  await page.evaluate(([email, password]) => window.engine.accounts.logIn(email, password), [email, PASSWORD] as const);
  await page.waitForFunction(() => window.engine.connection.value.state === "online");
}

const missing = (page: Page) => page.evaluate(() => window.engine.missing.value);

/** Sends a line, and waits until it is back from the server. */
async function say(page: Page, chat: number, text: string): Promise<void> {
  await page.evaluate(
    async ([chat, text]) => {
      await window.when(window.engine.conversations, ({ byId }) => byId.has(chat));
      const timeline = window.engine.open(chat);
      await timeline.send([{ kind: "text", text }]);
      const isBack = (item: { type: string; text?: string; state?: string }) =>
        item.text === text && item.state === "received";
      await window.when(timeline.view, ({ items }) => items.some(isBack));
      timeline.close();
    },
    [chat, text] as const,
  );
}

function lastLine(page: Page, chat: number): Promise<string | undefined> {
  return page.evaluate((chat) => window.engine.conversations.value.byId.get(chat)?.last?.text, chat);
}

async function pair(): Promise<{ ann: Account; bob: Peer; chat: number }> {
  const ann = await register(server, "Ann");
  const bob = await Peer.register(server, "Bob");
  const script = await Peer.connect(server, ann);
  await befriend(script, bob);
  const chat = await bob.direct(ann.uid);
  script.close();
  return { ann, bob, chat };
}

describe("withheld", () => {
  test("no shared workers: tabs elect one that connects, and another takes over", async () => {
    const { ann, bob, chat } = await pair();
    const { context, front } = await lookAt(ENGINE, ["SharedWorker"]);
    const first = await tab(context);
    expect(await missing(first)).toEqual(["shared_worker"]);
    await logIn(first, ann);
    const second = await tab(context);
    await second.waitForFunction(() => window.engine.connection.value.state === "online");
    expect(front.made).toBe(1);
    await say(second, chat, "through the first");
    await until("the first sees it", async () => (await lastLine(first, chat)) === "through the first");
    await first.close();
    await second.waitForFunction(() => window.engine.connection.value.state === "online");
    await until("the second connects itself", () => front.made === 2 && front.live.size === 1);
    await say(second, chat, "by myself");
    await bob.say(chat, "heard");
    await until("it hears", async () => (await lastLine(second, chat)) === "heard");
    bob.close();
  });

  test("neither shared workers nor locks: each tab connects by itself, and the newest one stays", async () => {
    const { ann, bob, chat } = await pair();
    const { context } = await lookAt(ENGINE, ["SharedWorker", "locks"]);
    const first = await tab(context);
    expect(await missing(first)).toEqual(["shared_worker", "tab_sharing"]);
    await logIn(first, ann);
    await say(first, chat, "one");
    const second = await tab(context);
    await second.waitForFunction(() => window.engine.connection.value.state === "online");
    await first.waitForFunction(() => {
      const { value } = window.engine.session;
      return value.state === "logged_in" && value.ended === "replaced";
    });
    await say(second, chat, "two");
    await first.evaluate(() => window.engine.reconnect());
    await first.waitForFunction(() => window.engine.connection.value.state === "online");
    await until("the first caught up", async () => (await lastLine(first, chat)) === "two");
    await say(first, chat, "three");
    bob.close();
  });

  test("plain HTTP to a LAN address: all works, and what is missing is said", async () => {
    const { ann, bob, chat } = await pair();
    const { context, front } = await lookAt(ENGINE);
    const page = await tab(context, front.origin.replace("localhost", LAN));
    expect(
      await page.evaluate(() => [isSecureContext, typeof crypto.randomUUID, "serviceWorker" in navigator]),
    ).toEqual([false, "undefined", false]);
    expect(await missing(page)).toEqual(["offline_start", "notifications"]);
    await logIn(page, ann);
    await say(page, chat, "over the LAN");
    await bob.say(chat, "heard");
    await until("it hears", async () => (await lastLine(page, chat)) === "heard");
    await page.reload();
    await page.waitForFunction(() => window.engine?.connection.value.state === "online");
    expect(await lastLine(page, chat)).toBe("heard");
    bob.close();
  });
});

describe("without a network", () => {
  test("the page opens from what is kept and shows the conversations", async () => {
    const { ann, bob, chat } = await pair();
    await bob.say(chat, "read me offline");
    const { context, front } = await lookAt(CLIENT, [], { locale: "en-GB" });
    const page = await context.newPage();
    await page.goto("/");
    await page.evaluate(() => navigator.serviceWorker.ready.then(() => undefined));
    await page.locator("input[type=email]").fill(ann.email);
    await page.locator("input[type=password]").fill(PASSWORD);
    await page.locator("input[type=password]").press("Enter");
    await page.getByText("read me offline").first().waitFor();
    await until("all files are kept", () => page.evaluate(() => caches.match("/").then((kept) => kept !== undefined)));
    await page.close();
    front.down();
    const again = await context.newPage();
    await again.goto("/");
    await again.getByText("read me offline").first().waitFor();
    expect(front.live.size).toBe(0);
    bob.close();
  });
});
