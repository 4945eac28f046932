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

/** Mine that did not come back from the server yet. */
function unsent(page: Page): Promise<number> {
  return page.evaluate(() => {
    const { items } = (window as unknown as WithTimeline).t.view.value;
    return items.filter((item) => item.type === "message" && item.state !== "received").length;
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
    await until("it is sent", async () => (await texts(page)).length === 1 && (await unsent(page)) === 0);
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

describe("a bad network", () => {
  test("200 messages each way while the connection is cut again and again: each once, in order", async () => {
    const { ann, bob, chat } = await pair();
    const context = await person(browser, front.origin);
    const page = await tab(context);
    await logIn(page, ann);
    await open(page, chat);
    const cutting = setInterval(() => front.cut(), 400);
    const mine = Array.from({ length: 100 }, (_, at) => `mine ${at}`);
    const theirs = Array.from({ length: 100 }, (_, at) => `theirs ${at}`);
    const script = (async () => {
      for (const text of theirs) {
        await bob.say(chat, text);
        await new Promise((resolve) => setTimeout(resolve, 20));
      }
    })();
    for (const text of mine) await say(page, text);
    await script;
    clearInterval(cutting);
    const seen = await until(
      "all 200 are here",
      async () => {
        const seen = await page.evaluate(() => {
          const { items } = (window as unknown as WithTimeline).t.view.value;
          return items.flatMap((item) => (item.type === "message" ? [[item.text, item.state, item.seq] as const] : []));
        });
        return seen.length >= 200 && seen.every(([, state]) => state === "received") && seen;
      },
      60_000,
    );
    expect(front.made).toBeGreaterThan(3);
    const of = (start: string) => seen.map(([text]) => text).filter((text) => text.startsWith(start));
    expect(of("mine")).toEqual(mine);
    expect(of("theirs")).toEqual(theirs);
    const seqs = seen.map(([, , seq]) => seq);
    expect(seqs).toEqual([...seqs].sort((a, b) => a - b));
    bob.close();
  });

  test("pushes that get lost on a connection that lives are pulled: each once, in order", async () => {
    const { ann, bob, chat } = await pair();
    const page = await tab(await person(browser, front.origin));
    await logIn(page, ann);
    await open(page, chat);
    let pushes = 0;
    front.loses = (text) => {
      if (!text.startsWith('{"type":"serverMessages"')) return false;
      pushes += 1;
      return pushes % 2 === 1;
    };
    // One push may carry several messages, so how many it takes depends on how fast all is.
    const all: string[] = [];
    while (pushes < 10 && all.length < 500) {
      all.push(`m${all.length}`);
      await bob.say(chat, all[all.length - 1] ?? "");
    }
    expect(pushes).toBeGreaterThanOrEqual(10);
    front.loses = undefined;
    // The last one may be lost, too: the next push shows the gap.
    await bob.say(chat, "last");
    await until("the gaps are closed", async () => (await texts(page)).length > all.length);
    expect(await texts(page)).toEqual([...all, "last"]);
    expect(front.made).toBe(1);
    bob.close();
  });

  test("what is written offline survives a reload and is sent once", async () => {
    const { ann, bob, chat } = await pair();
    const context = await person(browser, front.origin);
    const page = await tab(context);
    await logIn(page, ann);
    await open(page, chat);
    await bob.say(chat, "before");
    await until("it came", async () => (await texts(page)).length === 1);
    front.down();
    await page.waitForFunction(() => window.engine.connection.value.state === "offline");
    await say(page, "one");
    await say(page, "two");
    expect(await texts(page)).toEqual(["before", "one", "two"]);
    front.up();
    // The page itself comes back at once, its connections only later.
    front.refusesUpgrades = true;
    await page.reload();
    await page.waitForFunction(() => window.engine?.session.value.state === "logged_in");
    await open(page, chat);
    await until("all is shown without a connection", async () => (await texts(page)).join() === "before,one,two");
    front.refusesUpgrades = false;
    await page.evaluate(() => window.engine.reconnect());
    await until("both are acked and back", () =>
      page.evaluate(() => {
        const { items } = (window as unknown as WithTimeline).t.view.value;
        return items.length === 3 && items.every((item) => item.type === "message" && item.state === "received");
      }),
    );
    const { messages } = (await bob.request("requestHistory", { conversation: chat })) as { messages: unknown[] };
    expect(messages).toHaveLength(3);
    bob.close();
  });

  test("a server that was killed is found again, with all that was acked", async () => {
    const { ann, bob, chat } = await pair();
    bob.close();
    const page = await tab(await person(browser, front.origin));
    await logIn(page, ann);
    await open(page, chat);
    for (let at = 0; at < 20; at++) await say(page, `m${at}`);
    await server.kill();
    await page.waitForFunction(() => window.engine.connection.value.state === "offline");
    await say(page, "written while it was gone");
    await server.restart();
    await page.evaluate(() => window.engine.reconnect());
    await until("all came back", () =>
      page.evaluate(() => {
        const { items } = (window as unknown as WithTimeline).t.view.value;
        return items.length === 21 && items.every((item) => item.type === "message" && item.state === "received");
      }),
    );
    expect(await texts(page)).toEqual([
      ...Array.from({ length: 20 }, (_, at) => `m${at}`),
      "written while it was gone",
    ]);
  });
});

describe("sessions", () => {
  test("two tabs share one connection and one store", async () => {
    const { ann, bob, chat } = await pair();
    const context = await person(browser, front.origin);
    const first = await tab(context);
    await logIn(first, ann);
    const second = await tab(context);
    await synced(second);
    expect([front.live.size, front.made]).toEqual([1, 1]);
    await open(first, chat);
    await open(second, chat);
    await say(first, "from the first");
    await say(second, "from the second");
    await until("both are sent", async () => (await texts(first)).length === 2 && (await unsent(first)) === 0);
    await bob.say(chat, "hello both");
    for (const page of [first, second]) {
      await until("all three", async () => (await texts(page)).length === 3);
      expect((await texts(page)).at(-1)).toBe("hello both");
    }
    expect(await texts(first)).toEqual(await texts(second));
    await first.close();
    await bob.say(chat, "one tab left");
    await until("the other goes on", async () => (await texts(second)).at(-1) === "one tab left");
    expect(front.made).toBe(1);
    bob.close();
  });

  test("a log-in elsewhere ends this session for good", async () => {
    const { ann, bob, chat } = await pair();
    const here = await tab(await person(browser, front.origin));
    await logIn(here, ann);
    await open(here, chat);
    await bob.say(chat, "kept");
    await until("it came", async () => (await texts(here)).length === 1);
    const there = await tab(await person(browser, front.origin));
    await logIn(there, ann);
    await here.waitForFunction(() => {
      const { value } = window.engine.session;
      return value.state === "logged_in" && value.ended === "logged_in_elsewhere";
    });
    const made = front.made;
    await new Promise((resolve) => setTimeout(resolve, 1_500));
    expect(front.made).toBe(made);
    expect(await here.evaluate(() => window.engine.connection.value.state)).toBe("idle");
    await here.evaluate(() => window.engine.leave());
    await here.waitForFunction(() => window.engine.session.value.state === "logged_out");
    await logIn(here, ann);
    await open(here, chat);
    await until("what was kept is back", async () => (await texts(here)).join() === "kept");
    bob.close();
  });

  test("a remote log-out and an own one, both leave nothing behind", async () => {
    const { ann, bob, chat } = await pair();
    const page = await tab(await person(browser, front.origin));
    await logIn(page, ann);
    await open(page, chat);
    await bob.say(chat, "secret");
    await until("it came", async () => (await texts(page)).length === 1);
    const devices = await page.evaluate(() => window.engine.accounts.devices());
    expect(devices.filter(({ current }) => current).map(({ deviceClass }) => deviceClass)).toEqual(["web"]);
    await page.evaluate(() => window.engine.accounts.logOut());
    await page.waitForFunction(() => window.engine.session.value.state === "logged_out");
    expect(await page.evaluate(() => window.engine.conversations.value.list.length)).toBe(0);
    await page.reload();
    await page.waitForFunction(() => window.engine?.session.value.state === "logged_out");
    const kept = await page.evaluate(async () => {
      const db = await new Promise<IDBDatabase>((resolve) => {
        const open = indexedDB.open("skein");
        open.onsuccess = () => resolve(open.result);
      });
      const count = (name: string) =>
        new Promise<number>((resolve) => {
          const asked = db.transaction(name).objectStore(name).count();
          asked.onsuccess = () => resolve(asked.result);
        });
      return Promise.all(["rows", "lines", "echoes", "people", "contacts", "requests"].map(count));
    });
    expect(kept).toEqual([0, 0, 0, 0, 0, 0]);
    bob.close();
  });

  test("a session whose cookie is gone is over, and says so", async () => {
    const { ann, bob } = await pair();
    bob.close();
    const context = await person(browser, front.origin);
    const page = await tab(context);
    await logIn(page, ann);
    await context.clearCookies();
    await page.reload();
    await page.waitForFunction(() => {
      const value = window.engine?.session.value;
      return value?.state === "logged_in" && value.ended === "expired";
    });
    await page.evaluate(() => window.engine.leave());
    await logIn(page, ann);
  });

  test("wrong passwords, unknown codes and used addresses have their codes", async () => {
    const ann = await register(server, "Ann");
    const page = await tab(await person(browser, front.origin));
    const codes = await page.evaluate(
      async ([email, password]) => {
        const { accounts } = window.engine;
        const code = (outcome: Promise<unknown>) => outcome.then(() => "ok").catch((error) => error.code);
        const sent = await accounts.requestCode("new@example.org", "register");
        return [
          sent.mailbox,
          await code(accounts.logIn(email, "wrong wrong wrong")),
          await code(accounts.register("new@example.org", "000000", password, "New")),
          await code(accounts.requestCode("no address", "register")),
          await code(window.engine.chats.openDirect(1)),
        ];
      },
      [ann.email, PASSWORD] as const,
    );
    expect(codes).toEqual(["/dev/mailbox", "bad_credentials", "code_wrong", "bad_email", "logged_out"]);
  });
});

describe("history", () => {
  test("3 rooms of 500 messages, scrolled to the top: each message once, in order", async () => {
    const ann = await register(server, "Ann");
    const bob = await Peer.register(server, "Bob");
    const script = await Peer.connect(server, ann);
    const rooms: number[] = [];
    for (const name of ["red", "green", "blue"]) {
      const room = await bob.room(`${name} ${Date.now()}`);
      await script.join(room);
      await bob.sayAll(
        room,
        Array.from({ length: 500 }, (_, at) => `${name} ${at}`),
      );
      rooms.push(room);
    }
    script.close();
    const page = await tab(await person(browser, front.origin));
    await logIn(page, ann);
    for (const [at, room] of rooms.entries()) {
      await open(page, room);
      await page.waitForFunction(() => (window as unknown as WithTimeline).t.view.value.items.length > 0);
      const pages = await page.evaluate(async () => {
        const { t } = window as unknown as WithTimeline;
        let pages = 0;
        while (t.view.value.hasOlder) {
          await t.older();
          pages += 1;
        }
        return pages;
      });
      expect(pages).toBeGreaterThan(5);
      const name = ["red", "green", "blue"][at];
      expect(await texts(page)).toEqual(Array.from({ length: 500 }, (_, at) => `${name} ${at}`));
      await page.evaluate(() => (window as unknown as WithTimeline).t.close());
    }
    bob.close();
  });

  test("a jump to a far message and back down to the end leaves out nothing", async () => {
    const ann = await register(server, "Ann");
    const bob = await Peer.register(server, "Bob");
    const script = await Peer.connect(server, ann);
    const room = await bob.room(`far ${Date.now()}`);
    await script.join(room);
    await bob.sayAll(
      room,
      Array.from({ length: 400 }, (_, at) => `m${at}`),
    );
    script.close();
    const page = await tab(await person(browser, front.origin));
    await logIn(page, ann);
    await open(page, room);
    const all = await page.evaluate(async () => {
      const { t } = window as unknown as WithTimeline;
      await window.when(t.view, ({ items }) => items.length > 0);
      await t.around(100);
      const anchor = t.view.value.anchor;
      const first = t.view.value.items[0]?.seq ?? 0;
      while (t.view.value.hasNewer) await t.newer();
      return {
        anchor,
        first,
        texts: t.view.value.items.flatMap((item) => (item.type === "message" ? [item.text] : [])),
      };
    });
    expect(all.anchor).toBe(100);
    expect(all.first).toBeGreaterThan(60);
    const start = Number(all.texts[0]?.slice(1));
    expect(all.texts).toEqual(Array.from({ length: 400 - start }, (_, at) => `m${start + at}`));
    await bob.say(room, "the newest");
    await until("appends go on", async () => (await texts(page)).at(-1) === "the newest");
    bob.close();
  });
});
