/** What happens seldom: full disks, other epochs, phones' back, two devices, letters that climb out of their line. */
import type { Page } from "playwright-core";
import { describe, expect, test } from "vitest";
import { Peer, register, until } from "../harness";
import { choose, composer, en, line, numbered, online, openChat, row, section, stage, write } from "./stage";

const it = stage();
/** Before the worker's own script: from a word on, its disk takes nothing more. */
const FULL_DISK = `
  new BroadcastChannel("disk").onmessage = () => {
    IDBObjectStore.prototype.put = () => { throw new DOMException("the disk is full", "QuotaExceededError"); };
  };
`;

describe("corners", () => {
  test("letters with marks piled on them stay out of the lines above and below", async () => {
    const { ann, bob, chat } = await it.pair();
    await bob.say(chat, "above");
    await bob.say(chat, `Z${"\u0300\u0301\u0302\u0303\u0316\u0317\u0318".repeat(12)}algo`);
    await bob.say(chat, "below");
    const page = await it.logIn(ann);
    await openChat(page, chat);
    await line(page, "below").waitFor();
    const piled = page.locator(".line").filter({ hasText: "algo" });
    const neighbours = async () => {
      const pictures: string[] = [];
      for (const text of ["above", "below"]) pictures.push((await line(page, text).screenshot()).toString("base64"));
      return pictures;
    };
    const clipped = await neighbours();
    await piled.locator(".bubble").evaluate((bubble) => bubble.style.setProperty("overflow", "visible"));
    expect(await neighbours()).not.toEqual(clipped);
    await piled.locator(".text").evaluate((text) => {
      text.textContent = "Zalgo";
    });
    expect(await neighbours()).toEqual(clipped);
    bob.close();
  });

  test("whoever was asked for friendship is shown as asked, also when found again", async () => {
    const ann = await register(it.server, "Ann");
    const bob = await register(it.server, "Bobby");
    const page = await it.logIn(ann);
    await section(page, en.nav.contacts);
    const search = async () => {
      await page.getByRole("button", { name: en.contacts.add }).first().click();
      await page.getByLabel(en.contacts.find).fill(bob.uid);
      await page.keyboard.press("Enter");
    };
    await search();
    const found = page.getByRole("dialog").getByRole("listitem");
    await found.getByRole("button", { name: en.contacts.add }).click();
    await page.getByRole("button", { name: en.contacts.apply }).click();
    const asked = found.getByRole("button", { name: en.contacts.requested });
    await asked.waitFor();
    await page.keyboard.press("Escape");
    await page.reload();
    await online(page);
    await search();
    await asked.waitFor();
    expect(await asked.isDisabled()).toBe(true);
  });

  test("a full disk is told; what comes and what is written goes on, in memory", async () => {
    const { ann, bob, chat } = await it.pair();
    await bob.sayAll(chat, numbered(120, "line"));
    it.front.serves = (path, body) => (path.startsWith("/assets/worker-") ? FULL_DISK + body.toString("utf8") : body);
    const page = await it.logIn(ann);
    await openChat(page, chat);
    await line(page, "line 120").last().waitFor();
    await composer(page).fill("half a thought");
    await page.evaluate(() => new BroadcastChannel("disk").postMessage("full"));
    await bob.say(chat, "the drop that spills it");
    await page.locator(".toasts").getByText(en.status.full).waitFor();
    await line(page, "the drop that spills it").waitFor();
    expect(await composer(page).inputValue()).toBe("half a thought");
    await write(page, "is anybody there?");
    await until("Bob has it once", () => times(bob, "is anybody there?") === 1);
    await bob.say(chat, "I am");
    await line(page, "I am").waitFor();
    await page.locator("[role=log]").focus();
    await until("older ones come from the server", async () => {
      await page.keyboard.press("Home");
      return (await page.locator(".line .text").first().textContent()) === "line 1";
    });
    await page.locator(".status .missing").click();
    await page.getByText(en.me.missingRoom).waitFor();
    bob.close();
  });

  test("after a reset of the log the window that was far from the end shows the end, and nothing twice", async () => {
    const { ann, bob, chat } = await it.pair();
    const first = await bob.say(chat, "the very first");
    await bob.sayAll(chat, numbered(200, "line"));
    await bob.say(chat, "a reply", { replyTo: first });
    const page = await it.logIn(ann);
    await openChat(page, chat);
    await page.locator(".quote").click();
    await line(page, "the very first").locator(".bubble").waitFor();
    await until("the window is detached", async () => (await line(page, "line 200").count()) === 0);
    it.front.rewrites = (text) =>
      text.includes('"hello"') ? text.replace(/"epoch":"?-?\d+"?/, '"epoch":"424242"') : text;
    it.front.cut();
    await line(page, "a reply").waitFor();
    await bob.say(chat, "after the reset");
    await line(page, "after the reset").waitFor();
    const shown = (await page.locator(".line .text").allTextContents()).map((text) => text.trim());
    expect(new Set(shown).size).toBe(shown.length);
    const at = shown.indexOf("a reply");
    expect(shown.slice(at - 2)).toEqual(["line 199", "line 200", "a reply", "after the reset"]);
    bob.close();
  });

  test("on a phone, back leads from message to list to where one was, not out of the page", async () => {
    const { ann, bob, chat } = await it.pair();
    await bob.say(chat, "hello");
    const phone = { viewport: { width: 360, height: 680 }, hasTouch: true, isMobile: true };
    const page = await it.logIn(ann, phone);
    await section(page, en.nav.contacts);
    await page.locator(`[data-uid="${bob.account.uid}"]`).tap();
    await page.getByRole("button", { name: en.contacts.message }).tap();
    await line(page, "hello").waitFor();
    expect(await row(page, chat).isVisible()).toBe(false);
    await page.goBack();
    await page.getByRole("button", { name: en.contacts.message }).waitFor();
    await page.goBack();
    await page.getByRole("heading", { name: en.contacts.title }).waitFor();
    await section(page, en.nav.chats);
    await row(page, chat).tap();
    await line(page, "hello").waitFor();
    await page.goBack();
    await until("the list is there", () => row(page, chat).isVisible());
    expect(await page.locator("[role=log]").count()).toBe(0);
    bob.close();
  });

  test("a draft goes to the other device and comes from it", async () => {
    const { ann, bob, chat } = await it.pair();
    const other = await Peer.connect(it.server, ann);
    const page = await it.logIn(ann);
    await openChat(page, chat);
    await composer(page).fill("half a thought");
    await section(page, en.nav.contacts);
    await until("the other device has it", () => draftOf(other, chat) === "half a thought");
    await other.request("changeSettings", { conversation: chat, draft: "a whole thought" });
    await page.goto("/#/chats");
    await row(page, chat).getByText("a whole thought").waitFor();
    await row(page, chat).click();
    await until("it is in the field", async () => (await composer(page).inputValue()) === "a whole thought");
    await page.keyboard.press("Enter");
    await until("it is sent", () => times(bob, "a whole thought") === 1);
    await until("and is no draft any more", () => draftOf(other, chat) === "");
    for (const peer of [bob, other]) peer.close();
  });

  test("a mark goes from sent to delivered to read as the other side takes and sees the message", async () => {
    const { ann, bob, chat } = await it.pair();
    bob.close();
    const page = await it.logIn(ann);
    await openChat(page, chat);
    await write(page, "are you there?");
    const mark = (page: Page, name: string) => line(page, "are you there?").locator(`[data-mark="${name}"]`).waitFor();
    await mark(page, "sent");
    const bobs = await it.logIn(bob.account);
    await row(bobs, chat).getByText("are you there?").waitFor();
    await mark(page, "delivered");
    await openChat(bobs, chat);
    await mark(page, "read");
    await page.reload();
    await mark(page, "read");
  });

  test("on a slow line there is something to see before the script is there, and it goes when the page is drawn", async () => {
    const page = await it.open({ serviceWorkers: "block" });
    let release = () => {};
    const held = new Promise<void>((resolve) => {
      release = resolve;
    });
    await page.route("**/assets/index-*.js", async (route) => {
      await held;
      await route.continue();
    });
    await page.reload({ waitUntil: "commit" });
    const splash = page.locator("#splash");
    await until("it is drawn", () => splash.evaluate((one) => (one as HTMLImageElement).naturalWidth > 0));
    expect(await splash.isVisible()).toBe(true);
    release();
    await page.getByRole("heading", { name: en.auth.login }).waitFor();
    expect(await splash.isVisible()).toBe(false);
  });

  test("more emoji than the first few are a step away, and Escape closes one thing at a time", async () => {
    const { ann, bob, chat } = await it.pair();
    await bob.say(chat, "react to me");
    const page = await it.logIn(ann);
    await openChat(page, chat);
    await line(page, "react to me").locator(".bubble").click({ button: "right" });
    await page.locator(".quick").getByRole("button", { name: en.common.more }).click();
    await page.locator(".picker").getByRole("button", { name: "😎" }).click();
    await page.locator(".reactions").getByText("😎").waitFor();
    await choose(page, "react to me", en.chat.select);
    await page.getByRole("toolbar").getByRole("button", { name: en.chat.forward }).click();
    await page.getByRole("dialog").waitFor();
    await page.keyboard.press("Escape");
    await page.getByRole("dialog").waitFor({ state: "detached" });
    await page.getByRole("toolbar", { name: en.chat.select }).waitFor();
    await page.keyboard.press("Escape");
    await page.getByRole("toolbar", { name: en.chat.select }).waitFor({ state: "detached" });
    expect(await page.locator("[role=log]").count()).toBe(1);
    bob.close();
  });
});

const times = (peer: Peer, text: string) =>
  peer.pushes.filter(({ body }) => JSON.stringify(body).includes(text)).length;

/** The draft of a conversation as a device was told last. */
function draftOf(device: Peer, conversation: number): string | undefined {
  const drafts = device.pushes.flatMap(({ body }) =>
    ((body.events ?? []) as { membership?: { conversation: string; me: { draft?: string } } }[]).flatMap(
      ({ membership }) => (Number(membership?.conversation) === conversation ? (membership?.me.draft ?? "") : []),
    ),
  );
  return drafts.at(-1);
}
