/** Long conversations: each message once, nothing jumps, and the list goes to its end by itself only when it should. */
import type { Page } from "playwright-core";
import { describe, expect, test } from "vitest";
import { Peer, register, until } from "../harness";
import { line, numbered, openChat, row, stage } from "./stage";

const it = stage();
const MESSAGES = 500;

const scroller = (page: Page) => page.locator("[role=log]");
const texts = (page: Page) => page.locator(".line .text").allTextContents();

/** Wheel steps to the top, collecting what was seen. */
async function climb(page: Page, seen: Map<number, string>): Promise<void> {
  await scroller(page).hover();
  await until(
    "the first message is in view",
    async () => {
      const lines = await page.locator(".line").evaluateAll((all) => {
        const text = (one: Element) => one.querySelector(".text")?.textContent ?? "";
        return all.map((one) => [Number((one as HTMLElement).dataset.seq), text(one)] as const);
      });
      for (const [seq, text] of lines) seen.set(seq, text);
      if (lines.some(([, text]) => text === "line 1")) return true;
      await page.mouse.wheel(0, -450);
      await page.evaluate(() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done))));
      return false;
    },
    60_000,
  );
}

describe("history", () => {
  test("three rooms of 500 messages, scrolled to the top: each exactly once and in order", async () => {
    const ann = await register(it.server, "Ann");
    const script = await Peer.connect(it.server, ann);
    const rooms: number[] = [];
    for (const name of ["North", "South", "West"]) {
      const room = await script.room(name);
      await script.sayAll(room, numbered(MESSAGES, "line"));
      rooms.push(room);
    }
    const page = await it.logIn(ann);
    for (const room of rooms) {
      await openChat(page, room);
      await line(page, `line ${MESSAGES}`).last().waitFor();
      const seen = new Map<number, string>();
      await climb(page, seen);
      const inOrder = [...seen].sort(([a], [b]) => a - b).map(([, text]) => text);
      expect(inOrder).toEqual(numbered(MESSAGES, "line"));
      const shown = await texts(page);
      expect(new Set(shown).size).toBe(shown.length);
    }
    script.close();
  });

  test("older pages come without the view moving by a pixel", async () => {
    const { ann, bob, chat } = await it.pair();
    const tall = (n: number) => `line ${n} ${"tall ".repeat((n * 37) % 90)}`.trim();
    await bob.sayAll(
      chat,
      Array.from({ length: 400 }, (_, i) => tall(i + 1)),
    );
    const page = await it.logIn(ann);
    await openChat(page, chat);
    // What each frame shows of a line that stays in view while pages arrive above it.
    await page.evaluate(() => {
      const view = document.querySelector("[role=log]") as HTMLElement;
      const drift = { worst: 0, pages: 0 };
      let height = view.scrollHeight;
      const where = () =>
        new Map(
          [...view.querySelectorAll(".bubble")].map((one) => [
            one.closest(".line")?.id,
            one.getBoundingClientRect().top,
          ]),
        );
      let before = where();
      const frame = () => {
        const now = where();
        const asked = (view as HTMLElement & { asked?: number }).asked ?? 0;
        (view as HTMLElement & { asked?: number }).asked = 0;
        if (view.scrollHeight > height + 200) drift.pages++;
        const box = view.getBoundingClientRect();
        for (const [id, top] of now) {
          const was = before.get(id);
          if (was === undefined || was < box.top || was > box.bottom - 40) continue;
          drift.worst = Math.max(drift.worst, Math.abs(top - was - asked));
        }
        before = now;
        height = view.scrollHeight;
        requestAnimationFrame(frame);
      };
      requestAnimationFrame(frame);
      Object.assign(window, { drift });
    });
    // Moves of the reader are known: 90 px at a time, set by script, so that what remains is drift.
    for (let step = 0; step < 400; step++) {
      const atTop = await page.evaluate(
        () =>
          new Promise<boolean>((done) =>
            requestAnimationFrame(() => {
              const view = document.querySelector("[role=log]") as HTMLElement & { asked?: number };
              const from = view.scrollTop;
              view.scrollTop = from - 90;
              view.asked = from - view.scrollTop;
              requestAnimationFrame(() => done(view.scrollTop === 0));
            }),
          ),
      );
      if (atTop && (await line(page, "line 1").count()) > 0) break;
    }
    const drift = await page.evaluate(() => (window as unknown as { drift: { worst: number; pages: number } }).drift);
    console.info(`view while paging: worst drift ${drift.worst.toFixed(2)} px over ${drift.pages} pages`);
    expect(drift.pages).toBeGreaterThanOrEqual(2);
    expect(drift.worst).toBeLessThanOrEqual(1);
    bob.close();
  });

  test("appends within 500 ms are one scroll, and none for a reader who is scrolled up", async () => {
    const { ann, bob, chat } = await it.pair();
    await bob.sayAll(chat, numbered(80, "line"));
    const page = await it.logIn(ann);
    await openChat(page, chat);
    await line(page, "line 80").last().waitFor();
    const scrolls = async () => Number(await scroller(page).getAttribute("data-scrolls"));
    const left = () => scroller(page).evaluate((view) => view.scrollHeight - view.clientHeight - view.scrollTop);
    const before = await scrolls();
    await bob.sayAll(chat, numbered(30, "burst"));
    await line(page, "burst 30").waitFor();
    expect(await scrolls()).toBe(before + 1);
    await until("the end is held", async () => (await left()) < 2);
    await until("the burst is over", async () => {
      await bob.say(chat, "one more");
      return (await scrolls()) === before + 2;
    });
    await scroller(page).hover();
    await page.mouse.wheel(0, -30);
    await until("the small move is made", async () => (await left()) >= 29);
    await bob.sayAll(chat, numbered(20, "below"));
    await row(page, chat).getByText("below 20").waitFor();
    await until("it is not taken back", async () => (await left()) > 200);
    await page.locator(".to-end").click();
    await line(page, "below 20").waitFor();
    await page.mouse.wheel(0, -900);
    await page.locator(".to-end").waitFor();
    const top = await scroller(page).evaluate((view) => view.scrollTop);
    const counted = await scrolls();
    await bob.sayAll(chat, numbered(10, "unseen"));
    await row(page, chat).getByText("unseen 10").waitFor();
    expect(await scroller(page).evaluate((view) => view.scrollTop)).toBe(top);
    expect(await scrolls()).toBe(counted);
    await page.locator(".to-end").click();
    await line(page, "unseen 10").waitFor();
    expect(await page.locator(".to-end").count()).toBe(0);
    bob.close();
  });

  test("what is unread has a line before it, the view begins there, and reading clears the badge", async () => {
    const { ann, bob, chat } = await it.pair();
    const script = await Peer.connect(it.server, ann);
    await bob.sayAll(chat, numbered(40, "old"));
    await script.request("markRead", { conversation: chat, seq: 40 });
    await bob.sayAll(chat, numbered(40, "fresh"));
    const page = await it.logIn(ann);
    await row(page, chat).locator(".badge", { hasText: "40" }).waitFor();
    await until("the tab counts", async () => (await page.title()) === "(40) Skein");
    await openChat(page, chat);
    await page.locator(".fresh").waitFor();
    await line(page, "fresh 1").first().waitFor();
    const box = await page.locator(".fresh").boundingBox();
    expect(box?.y ?? 0).toBeGreaterThan(0);
    await page.locator(".to-end").click();
    await line(page, "fresh 40").waitFor();
    await row(page, chat).locator(".badge").waitFor({ state: "detached" });
    await until("the tab is clean", async () => (await page.title()) === "Skein");
    script.close();
    bob.close();
  });
});
