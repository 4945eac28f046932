/** The engine in a real browser against the real server: what must hold whatever the screens look like. */
import type { Browser, Page } from "playwright-core";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { type Account, befriend, Front, launch, PASSWORD, Peer, person, register, Server, until } from "./harness";
import { ENGINE } from "./harness/build";

let server: Server;
let browser: Browser;
let front: Front;

beforeAll(async () => {
  server = await Server.start();
  browser = await launch();
});
afterAll(async () => {
  await browser?.close();
  await server?.stop();
});
beforeEach(async () => {
  front = await Front.start(ENGINE, server.address.public ?? "");
});
afterEach(async () => {
  for (const context of browser.contexts()) await context.close();
  await front.stop();
});

async function tab(context: Awaited<ReturnType<typeof person>>): Promise<Page> {
  const page = await context.newPage();
  await page.goto("/");
  await page.waitForFunction(() => window.engine?.session.value.state !== "starting");
  return page;
}

async function logIn(page: Page, { email }: Account): Promise<void> {
  await page.evaluate(([email, password]) => window.engine.accounts.logIn(email, password), [email, PASSWORD] as const);
  await synced(page);
}

async function synced(page: Page): Promise<void> {
  await page.evaluate(() =>
    window.when(window.engine.connection, ({ state }) => state === "online").then(() => undefined),
  );
}

/** Opens a conversation and keeps its timeline as `window.t`. */
async function open(page: Page, conversation: number): Promise<void> {
  await page.evaluate(async (conversation) => {
    await window.when(window.engine.conversations, ({ byId }) => byId.has(conversation));
    Object.assign(window, { t: window.engine.open(conversation) });
  }, conversation);
}

type WithTimeline = Window & { t: ReturnType<Window["engine"]["open"]> };

/** Texts of the messages on screen, oldest first. */
function texts(page: Page): Promise<string[]> {
  return page.evaluate(() => {
    const { items } = (window as unknown as WithTimeline).t.view.value;
    return items.flatMap((item) => (item.type === "message" ? [item.text] : []));
  });
}

function say(page: Page, text: string): Promise<void> {
  return page.evaluate((text) => (window as unknown as WithTimeline).t.send([{ kind: "text", text }]), text);
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

describe("chat", () => {
  test("messages go both ways, and the list follows", async () => {
    const { ann, bob, chat } = await pair();
    const context = await person(browser, front.origin);
    const page = await tab(context);
    expect(await page.evaluate(() => window.engine.session.value.state)).toBe("logged_out");
    await logIn(page, ann);
    await open(page, chat);
    await say(page, "hello Bob");
    await bob.say(chat, "hello Ann");
    await until("both are here", async () => (await texts(page)).join("|") === "hello Bob|hello Ann");
    const row = await until("the row follows", () =>
      page.evaluate((id) => {
        const row = window.engine.conversations.value.byId.get(id);
        return row?.last?.text === "hello Ann" && row.unread === 1 ? row : undefined;
      }, chat),
    );
    expect(row.last?.state).toBe("received");
    await page.evaluate(() => {
      const { t } = window as unknown as WithTimeline;
      t.read(t.view.value.items.at(-1)?.seq ?? 0);
    });
    await until("it is read", () =>
      page.evaluate((id) => window.engine.conversations.value.byId.get(id)?.unread === 0, chat),
    );
    expect(context.complaints).toEqual([]);
    bob.close();
  });
});
