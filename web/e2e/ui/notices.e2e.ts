/** What tells a person who is not looking, and what the operator or an app tells. */
import type { Page } from "playwright-core";
import { describe, expect, test } from "vitest";
import { register, until } from "../harness";
import { en, line, openChat, row, section, stage } from "./stage";
import { tellAsApp } from "./world";

const it = stage();

async function openNotifications(page: Page): Promise<void> {
  await section(page, en.nav.me);
  await page.locator(".entry").filter({ hasText: en.me.notify }).click();
}

/** Somebody who looks elsewhere: notifications and tones are counted instead of shown and played. */
async function looksAway(page: Page): Promise<void> {
  await page.evaluate(() => {
    const shown: { title: string; body: string; click: () => void }[] = [];
    class Recorded {
      static permission = "granted";
      onclick: (() => void) | undefined;
      constructor(title: string, options: { body: string }) {
        shown.push({ title, body: options.body, click: () => this.onclick?.() });
      }
      close() {}
    }
    const heard = { tones: 0 };
    const start = OscillatorNode.prototype.start;
    OscillatorNode.prototype.start = function (...when: Parameters<typeof start>) {
      heard.tones++;
      start.apply(this, when);
    };
    Object.assign(window, { shown, heard, Notification: Recorded });
    document.hasFocus = () => false;
  });
}

async function wantsNotifications(page: Page): Promise<void> {
  await looksAway(page);
  await openNotifications(page);
  await page.getByRole("switch", { name: en.me.desktop }).click();
}

const shown = (page: Page) =>
  page.evaluate(() =>
    (window as unknown as { shown: { title: string; body: string }[] }).shown.map(
      ({ title, body }) => `${title}: ${body}`,
    ),
  );
const tones = (page: Page) => page.evaluate(() => (window as unknown as { heard: { tones: number } }).heard.tones);

describe("notices", () => {
  test("notifications tell who and what, or only that there is something, and lead to the conversation", async () => {
    const { ann, bob, chat } = await it.pair();
    const page = await it.logIn(ann, { permissions: ["notifications"] });
    await looksAway(page);
    await bob.say(chat, "before it was wanted");
    await row(page, chat).getByText("before it was wanted").waitFor();
    expect(await shown(page)).toEqual([]);
    await openNotifications(page);
    await page.getByRole("switch", { name: en.me.desktop }).click();
    const mention = [{ mention: { uid: Number(ann.uid) } }, { text: " a secret plan" }];
    await bob.sendBody(chat, { kind: "text", segments: mention });
    await until("it is shown, with names", async () => (await shown(page)).join() === "Bob: @Ann a secret plan");
    await page.getByRole("switch", { name: en.me.preview }).click();
    await bob.say(chat, "another secret");
    const blank = `${en.notify.title}: ${en.notify.fresh(1)}`;
    await until("it is shown without words", async () => (await shown(page)).at(-1) === blank);
    await page.evaluate(() => (window as unknown as { shown: { click(): void }[] }).shown[0]?.click());
    await line(page, "another secret").waitFor();
    bob.close();
  });

  test("a sound comes with what is new, not for each of many, and not when it is off", async () => {
    const { ann, bob, chat } = await it.pair();
    const page = await it.logIn(ann);
    await openNotifications(page);
    await looksAway(page);
    await bob.sayAll(chat, ["one", "two", "three"]);
    await until("two tones, once", async () => (await tones(page)) === 2);
    await page.getByRole("switch", { name: en.me.sound }).click();
    const before = await tones(page);
    await page.evaluate(() => {
      const now = performance.now.bind(performance);
      performance.now = () => now() + 2_000; // the pause between two sounds is over
    });
    await bob.say(chat, "quietly");
    await page.locator(".rail .badge", { hasText: "4" }).waitFor();
    expect(await tones(page)).toBe(before);
    bob.close();
  });

  test("what the operator tells everybody is text in front of everything, and a notification for who looks away", async () => {
    const ann = await register(it.server, "Ann");
    const page = await it.logIn(ann, { permissions: ["notifications"] });
    await wantsNotifications(page);
    await page.keyboard.press("Control+/");
    await page.getByRole("dialog").waitFor();
    await it.server.admin("notice", "we restart at <b>noon</b>", "--title", "Maintenance");
    const told = page.locator(".toasts").getByText("Maintenance we restart at <b>noon</b>");
    await told.waitFor();
    const clip = (await told.boundingBox()) ?? { x: 0, y: 0, width: 1, height: 1 };
    const picture = async () => (await page.screenshot({ clip })).toString("base64");
    const withIt = await picture();
    await told.evaluate((one) => one.style.setProperty("visibility", "hidden"));
    expect(await picture()).not.toBe(withIt);
    await until("it is notified", async () => (await shown(page)).join() === "Maintenance: we restart at <b>noon</b>");
  });

  test("what an app tells is a conversation of its own kind: nobody writes there, and it is no group", async () => {
    const ann = await register(it.server, "Ann");
    const page = await it.logIn(ann, { permissions: ["notifications"] });
    await wantsNotifications(page);
    const notices = await tellAsApp(it.server, ann, "your parcel has come");
    await until(
      "it is notified under the app's name",
      async () => (await shown(page)).at(-1) === "Skein: your parcel has come",
    );
    await section(page, en.nav.chats);
    await row(page, notices).locator(".badge", { hasText: "1" }).waitFor();
    await openChat(page, notices);
    await line(page, "your parcel has come").waitFor();
    await page.locator("header").getByText(en.list.kinds.notice).waitFor();
    await page.getByText(/^Only .*Skein.* writes here\.$/).waitFor();
    expect(await page.locator("textarea").count()).toBe(0);
    await line(page, "your parcel").locator(".bubble").click({ button: "right" });
    const entries = await page.getByRole("menuitem").allTextContents();
    expect(entries.map((entry) => entry.trim())).toEqual([en.chat.copyText, en.chat.forward, en.chat.select]);
    await page.keyboard.press("Escape");
    await section(page, en.nav.contacts);
    await page.getByRole("button", { name: en.contacts.groups }).click();
    await page.getByText(en.contacts.noGroups).waitFor();
  });
});
