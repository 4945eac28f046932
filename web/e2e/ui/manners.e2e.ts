/** Manners: where the focus is, what is said before it hurts, and what is given back when something is refused. */
import type { Locator, Page } from "playwright-core";
import { describe, expect, test } from "vitest";
import { Peer, register, until } from "../harness";
import { choose, composer, en, line, numbered, openChat, row, section, stage, write } from "./stage";

const it = stage();
const LIMIT_BYTES = 16_384;

const hasFocus = (page: Page, what: string, selector: string) =>
  until(`the focus is on ${what}`, () => page.evaluate((of) => document.activeElement?.matches(of) ?? false, selector));

/** A finger goes down on it, trembles, opens its menu, and goes up. */
async function hold(page: Page, on: Locator): Promise<void> {
  const { x, y } = (await on.boundingBox()) ?? { x: 0, y: 0 };
  const session = await page.context().newCDPSession(page);
  const touch = (type: "touchStart" | "touchMove" | "touchEnd", points: { x: number; y: number }[]) =>
    session.send("Input.dispatchTouchEvent", { type, touchPoints: points });
  await touch("touchStart", [{ x: x + 30, y: y + 15 }]);
  await touch("touchMove", [{ x: x + 33, y: y + 15 }]);
  await page.getByRole("menu").waitFor();
  await touch("touchEnd", []);
}

describe("focus", () => {
  test("begins where one types, goes to what is wrong, and stays within a page that changes", async () => {
    const page = await it.open();
    await hasFocus(page, "the address", "input[type=email]");
    await page.keyboard.type("somebody");
    await page.keyboard.press("Tab");
    await page.keyboard.type("12345678");
    await page.keyboard.press("Enter");
    await page.getByText(en.auth.emailWrong).waitFor();
    await hasFocus(page, "the wrong address", "input[type=email][aria-invalid=true]");
    await page.getByRole("button", { name: en.auth.register }).click();
    await hasFocus(page, "the code, as the address is there", "[autocomplete=one-time-code]");
  });

  test("comes back from a dialog, from the details, and from a line that was edited", async () => {
    const { ann, bob } = await it.pair();
    const script = await Peer.connect(it.server, ann);
    const group = await script.group("Choir", [bob.account.uid]);
    const page = await it.logIn(ann);
    await openChat(page, group);
    await hasFocus(page, "the composer", "textarea");
    await page.keyboard.press("Control+k");
    await page.getByRole("combobox").waitFor();
    await page.keyboard.press("Escape");
    await hasFocus(page, "the composer again", "textarea");
    await page.getByRole("button", { name: en.chat.info, exact: true }).click();
    await page.getByRole("button", { name: `${en.group.edit}: ${en.group.title}` }).click();
    await page.keyboard.type("Chamber choir");
    await page.keyboard.press("Enter");
    await hasFocus(page, "the pencil", `[aria-label="${en.group.edit}: ${en.group.title}"]`);
    await page.keyboard.press("Escape");
    await hasFocus(page, "what opened the details", `[aria-label="${en.chat.info}"]`);
    expect(await page.getByRole("complementary").count()).toBe(0);
    for (const peer of [script, bob]) peer.close();
  });

  test("search opens what it found first", async () => {
    const { ann, bob, chat } = await it.pair();
    const page = await it.logIn(ann);
    await row(page, chat).waitFor();
    await page.getByLabel(en.list.filter).fill("bo");
    await page.keyboard.press("Enter");
    await page.getByRole("heading", { name: "Bob" }).waitFor();
    bob.close();
  });
});

describe("lists", () => {
  test("are where one left them: after another section, and on a phone after a conversation", async () => {
    const { ann, bob } = await it.pair();
    for (const title of numbered(10, "Group")) await bob.group(title, [ann.uid]);
    const offset = (page: Page) => page.locator(".column .scroller").evaluate((list) => list.scrollTop);
    const toEnd = async (page: Page) => {
      await until("the list is there", async () => (await page.locator("[data-conversation]").count()) > 5);
      await page.locator(".column .scroller").evaluate((list) => list.scrollTo(0, 1e6));
      return until("it is scrolled", async () => (await offset(page)) > 200 && offset(page));
    };
    const wide = await it.logIn(ann, { viewport: { width: 1200, height: 420 } });
    const end = await toEnd(wide);
    await section(wide, en.nav.contacts);
    await wide.getByRole("heading", { name: en.contacts.title }).waitFor();
    await section(wide, en.nav.chats);
    await until("it is there again", async () => (await offset(wide)) === end);
    const phone = await it.logIn(ann, {
      viewport: { width: 360, height: 420 },
      hasTouch: true,
      isMobile: true,
    });
    const phoneEnd = await toEnd(phone);
    await phone.locator("[data-conversation]").last().tap();
    await phone.locator("[role=log]").waitFor();
    await phone.goBack();
    await until("it is there again", async () => (await offset(phone)) === phoneEnd);
    bob.close();
  });
});

describe("nothing written is lost", () => {
  test("what is too long is said before it is sent, and goes once it is shorter", async () => {
    const { ann, bob, chat } = await it.pair();
    const page = await it.logIn(ann);
    await openChat(page, chat);
    const long = "字".repeat(LIMIT_BYTES / 3 + 1);
    await composer(page).fill(long);
    await page.getByText(en.chat.tooLong(long.length * 3, LIMIT_BYTES)).waitFor();
    await composer(page).press("Enter");
    expect(await composer(page).inputValue()).toBe(long);
    await composer(page).press("Backspace");
    await composer(page).press("Enter");
    await until("the longest allowed line arrives", () =>
      bob.pushes.some(({ body }) => JSON.stringify(body).includes(long.slice(1))),
    );
    expect(await composer(page).inputValue()).toBe("");
    bob.close();
  });

  test("an edit that is refused comes back, beside a draft that stays", async () => {
    const { ann, bob, chat } = await it.pair();
    const page = await it.logIn(ann);
    await openChat(page, chat);
    await write(page, "a first thought");
    await line(page, "a first thought").locator('[data-mark="sent"], [data-mark="delivered"]').waitFor();
    await composer(page).fill("half a draft");
    await choose(page, "a first thought", en.chat.edit);
    it.front.down();
    await page.locator('[data-connection="offline"]').waitFor();
    await write(page, "a second thought");
    await page.getByText(en.errors.offline as string).waitFor();
    expect(await composer(page).inputValue()).toBe("a second thought");
    await page.getByText(en.chat.editing).waitFor();
    await composer(page).press("Escape");
    expect(await composer(page).inputValue()).toBe("half a draft");
    it.front.up();
    bob.close();
  });

  test("what was recalled can be written anew, after what stands in the field", async () => {
    const { ann, bob, chat } = await it.pair();
    const page = await it.logIn(ann);
    await openChat(page, chat);
    await write(page, "with a typo");
    await line(page, "with a typo").locator('[data-mark="sent"], [data-mark="delivered"]').waitFor();
    await composer(page).fill("and");
    await choose(page, "with a typo", en.chat.recall);
    await page.getByRole("button", { name: en.chat.reEdit }).click();
    await until("it is in the field", async () => (await composer(page).inputValue()) === "and\nwith a typo");
    await hasFocus(page, "the composer", "textarea");
    expect(await page.getByRole("button", { name: en.chat.reEdit }).count()).toBe(0);
    bob.close();
  });
});

describe("refusals", () => {
  test("a silence that is over lets one write without a reload", async () => {
    const { ann, bob } = await it.pair();
    const group = await bob.group("Library", [ann.uid]);
    const page = await it.logIn(ann);
    await openChat(page, group);
    const silence = { key: bob.key(), conversation: group, uid: ann.uid, untilMs: Date.now() + 3_000 };
    await bob.request("silence", silence);
    await page.locator(".refusal").waitFor();
    await composer(page).waitFor();
    await write(page, "quietly");
    await line(page, "quietly").locator('[data-mark="sent"], [data-mark="read"]').waitFor();
    bob.close();
  });

  test("a nickname of one letter finds nobody, and the reason is said; the end of a session stays whatever is pressed", async () => {
    const ann = await register(it.server, "Ann");
    const page = await it.logIn(ann);
    await section(page, en.nav.contacts);
    await page.getByRole("button", { name: en.contacts.add }).first().click();
    await page.getByLabel(en.contacts.find).fill("A");
    await page.keyboard.press("Enter");
    await page.getByText(en.contacts.findShort).waitFor();
    await it.logIn(ann);
    const ended = page.getByRole("dialog", { name: en.kicked.title });
    await ended.waitFor();
    for (let i = 0; i < 3; i++) await page.keyboard.press("Escape");
    expect(await ended.isVisible()).toBe(true);
    await ended.getByRole("button", { name: en.kicked.again }).click();
    await page.getByRole("heading", { name: en.auth.login }).waitFor();
    expect(await page.getByRole("dialog").count()).toBe(0);
  });
});

describe("on a phone", () => {
  const PHONE = { viewport: { width: 360, height: 680 }, hasTouch: true, isMobile: true };

  test("a finger that trembles holds a message all the same, and its menu has the whole width", async () => {
    const { ann, bob, chat } = await it.pair();
    await bob.say(chat, "hold me");
    const page = await it.logIn(ann, PHONE);
    await openChat(page, chat);
    await hold(page, line(page, "hold me").locator(".bubble"));
    const sheet = await page.locator(".floating").boundingBox();
    expect(sheet?.width).toBe(PHONE.viewport.width - 16);
    await page.getByRole("menuitem", { name: en.chat.reply }).tap();
    await page.getByText(en.chat.replyingTo("Bob")).waitFor();
    bob.close();
  });

  test("a finger held on a conversation opens its menu, and not the conversation", async () => {
    const { ann, bob, chat } = await it.pair();
    const page = await it.logIn(ann, PHONE);
    await hold(page, row(page, chat));
    expect(await row(page, chat).isVisible()).toBe(true);
    await page.getByRole("menuitem", { name: en.list.pin }).tap();
    await row(page, chat).getByText(en.list.pinned).waitFor({ state: "attached" });
    bob.close();
  });

  test("an address that leads nowhere shows the list", async () => {
    const { ann, bob, chat } = await it.pair();
    const page = await it.logIn(ann, PHONE);
    await page.goto("/#/chats/424242");
    await until("the list is there", () => row(page, chat).isVisible());
    expect(await page.locator(".rail").isVisible()).toBe(true);
    bob.close();
  });
});
