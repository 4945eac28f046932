/**
 * Each screen in both themes and languages: it is there, and axe finds no accessibility violation. `npm run screens` also
 * takes the pictures for the docs (needs pngquant) and writes their pages.
 */
import { writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import type { Page } from "playwright-core";
import { describe, expect, test } from "vitest";
import { en as inEnglish } from "../../src/i18n/en";
import { zh as inChinese } from "../../src/i18n/zh";
import { type Account, type Front, PASSWORD, register } from "../harness";
import { pageOf, SCREENS, THEMES, TONGUES } from "./screens";
import { online, openChat, row, stage } from "./stage";
import { looking, stopClocks, Tour } from "./tour";
import { build, type World } from "./world";

const WIDE = { viewport: { width: 1080, height: 680 } };
const PHONE = { viewport: { width: 360, height: 680 }, hasTouch: true, isMobile: true };

const textsOf = (tour: Tour) => (tour.tongue === "zh" ? inChinese : inEnglish);
const section = (page: Page, name: string) => page.locator(".rail button").filter({ hasText: name }).last().click();

async function beforeLogIn(tour: Tour): Promise<void> {
  const { page } = tour;
  const t = textsOf(tour);
  await page.getByRole("heading", { name: t.auth.login }).waitFor();
  await page.evaluate(() => (document.activeElement as HTMLElement | null)?.blur());
  await tour.at("login");
  await page.getByRole("button", { name: t.auth.register }).click();
  await page.getByRole("button", { name: t.auth.register }).last().click();
  await page.getByRole("alert").first().waitFor();
  await tour.at("register");
  await page.getByRole("button", { name: t.auth.login, exact: true }).click();
  await page.getByRole("button", { name: t.auth.forgot }).click();
  await page.getByRole("heading", { name: t.auth.reset }).waitFor();
  await tour.at("reset");
  await page.getByRole("button", { name: t.auth.login, exact: true }).click();
}

async function logIn(tour: Tour, { email }: Account): Promise<void> {
  const { page } = tour;
  const t = textsOf(tour);
  await page.getByLabel(t.auth.email, { exact: true }).fill(email);
  await page.getByLabel(t.auth.password, { exact: true }).fill(PASSWORD);
  await page.getByRole("button", { name: t.auth.login, exact: true }).click();
  await online(page);
}

async function conversations(tour: Tour, world: World): Promise<void> {
  const { page } = tour;
  const t = textsOf(tour);
  await row(page, world.group).waitFor();
  await page.getByText(t.list.draft).waitFor();
  await tour.at("chats");
  await openChat(page, world.direct);
  await page.locator(".line").nth(3).waitFor();
  await tour.at("direct");
  await openChat(page, world.room);
  await page.locator(".line").nth(3).waitFor();
  await tour.at("room");
  await row(page, world.notices).click();
  await page.locator(".refusal").waitFor();
  await tour.at("notices");
  await openChat(page, world.group);
  await page.locator(".reactions").nth(1).waitFor();
  await tour.at("chat");
  // Colours are the same in every language.
  if (tour.tongue === "en") await tour.inEachColour("chat");
}

/** What can be done with messages, in the group that is open. */
async function messages(tour: Tour): Promise<void> {
  const { page } = tour;
  const t = textsOf(tour);
  const menu = async () => {
    await page
      .locator(".line .bubble")
      .nth(3)
      .click({ button: "right", position: { x: 8, y: 8 } });
    await page.getByRole("menu").waitFor();
  };
  await menu();
  await tour.at("menu");
  await page.getByRole("menuitem", { name: t.chat.reply, exact: true }).click();
  await page.getByText(t.chat.replyingTo("").trim()).first().waitFor();
  await tour.at("reply");
  await page.keyboard.press("Escape");
  await page.locator("textarea").pressSequentially("@");
  await page.getByRole("listbox").waitFor();
  await tour.at("mention");
  await page.keyboard.press("Escape");
  await page.locator("textarea").fill("");
  await menu();
  await page.locator(".quick").getByRole("button", { name: t.common.more }).click();
  await page.locator(".picker").waitFor();
  await tour.at("react");
  await page.keyboard.press("Escape");
  await page.getByRole("button", { name: t.chat.emoji, exact: true }).click();
  await page.locator(".picker").waitFor();
  await tour.at("emoji");
  await page.keyboard.press("Escape");
  await menu();
  await page.getByRole("menuitem", { name: t.chat.select, exact: true }).click();
  await page.locator(".line .choose").nth(4).click();
  await tour.at("select");
  await page.getByRole("toolbar").getByRole("button", { name: t.chat.forward }).click();
  await page.getByRole("dialog").waitFor();
  await tour.at("forward");
  await page.keyboard.press("Escape");
  await page.getByRole("toolbar").getByRole("button", { name: t.common.cancel }).click();
  await page.getByRole("button", { name: t.chat.info, exact: true }).click();
  await page.locator(".members li").nth(2).waitFor();
  await tour.at("info");
  await page.getByRole("complementary").getByRole("button", { name: t.common.close }).click();
}

async function around(tour: Tour, world: World): Promise<void> {
  const { page } = tour;
  const t = textsOf(tour);
  await page.keyboard.press("Control+k");
  await page.getByRole("combobox").waitFor();
  await tour.at("find");
  await page.keyboard.press("Escape");
  await page.keyboard.press("Control+/");
  await page.getByRole("dialog", { name: t.keys.title }).waitFor();
  await tour.at("keys");
  await page.keyboard.press("Escape");
  await section(page, t.nav.contacts);
  await page.getByRole("button", { name: t.contacts.requests }).click();
  await page.getByRole("button", { name: t.contacts.accept }).waitFor();
  await tour.at("requests");
  await page.locator(`[data-uid="${world.friend.account.uid}"]`).click();
  await page.getByRole("button", { name: t.contacts.remove }).waitFor();
  await tour.at("contacts");
  await page.getByRole("button", { name: t.contacts.add }).first().click();
  await page.getByLabel(t.contacts.find).fill(world.friend.account.uid);
  await page.keyboard.press("Enter");
  await page.getByRole("dialog").getByRole("listitem").waitFor();
  await tour.at("add-friend");
  await page.keyboard.press("Escape");
  await section(page, t.nav.rooms);
  await page.getByRole("button", { name: t.rooms.join }).first().waitFor();
  await tour.at("rooms");
  await section(page, t.nav.me);
  for (const name of ["profile", "look", "notify", "devices", "about"] as const) {
    await page.locator(".entry").filter({ hasText: t.me[name] }).click();
    await page.locator("section.page h2").filter({ hasText: t.me[name] }).waitFor();
    if (name === "devices") await page.locator("[data-session]").first().waitFor();
    await tour.at(name);
  }
}

async function offline(tour: Tour, world: World, front: Front): Promise<void> {
  const { page } = tour;
  await section(page, textsOf(tour).nav.chats);
  await openChat(page, world.direct);
  await page.context().setOffline(true);
  front.down();
  await tour.at("offline", page.locator('[data-connection="offline"]').getByText(textsOf(tour).status.offline));
  front.up();
  await page.context().setOffline(false);
  await online(page);
}

async function newcomer(tour: Tour, account: Account): Promise<void> {
  await logIn(tour, account);
  await tour.page.getByText(textsOf(tour).list.emptyHint).waitFor();
  await tour.at("chats-empty");
}

async function phone(tour: Tour, world: World): Promise<void> {
  const { page } = tour;
  const t = textsOf(tour);
  await page.getByRole("button", { name: t.auth.register }).click();
  await page.getByLabel(t.auth.nickname, { exact: true }).waitFor();
  const rights = await page.locator("form *").evaluateAll((all) => all.map((one) => one.getBoundingClientRect().right));
  expect(Math.max(...rights)).toBeLessThan(PHONE.viewport.width - 16);
  await page.getByRole("button", { name: t.auth.login, exact: true }).click();
  await logIn(tour, world.me.account);
  await row(page, world.group).waitFor();
  await tour.at("phone-list");
  await openChat(page, world.group);
  await page.locator(".reactions").nth(1).waitFor();
  await tour.at("phone-chat");
  await page
    .locator(".line .bubble")
    .last()
    .click({ button: "right", position: { x: 8, y: 8 } });
  await page.getByRole("menu").waitFor();
  await tour.at("phone-menu");
  await page.keyboard.press("Escape");
  await page.getByRole("button", { name: t.common.back }).first().click();
  await section(page, t.nav.contacts);
  await page.locator(`[data-uid="${world.friend.account.uid}"]`).waitFor();
  await tour.at("phone-contacts");
}

describe.each(TONGUES.map((tongue) => [tongue]))("screens in %s", (tongue) => {
  const it = stage();

  test("are there and pass axe in both themes, wide and on a phone", async () => {
    const world = await build(it.server, tongue);
    const fresh = await register(it.server, tongue === "zh" ? "新来的" : "Newcomer");
    for (const theme of THEMES) {
      const open = async (size: object) => {
        const page = await it.open(looking(theme, tongue, size));
        await stopClocks(page);
        return new Tour(page, theme, tongue);
      };
      const wide = await open(WIDE);
      await beforeLogIn(wide);
      await logIn(wide, world.me.account);
      await conversations(wide, world);
      await messages(wide);
      await around(wide, world);
      await offline(wide, world, it.front);
      const small = await open(PHONE);
      await phone(small, world);
      await wide.page.getByRole("dialog").waitFor();
      await wide.at("kicked");
      const empty = await open(WIDE);
      await newcomer(empty, fresh);
      const tours = [wide, small, empty];
      expect([...new Set(tours.flatMap(({ found }) => found))]).toEqual([]);
      const visited = tours.flatMap((tour) => [...tour.visited]);
      expect(visited.sort()).toEqual(Object.keys(SCREENS).sort());
      await empty.page.context().close();
    }
    world.close();
    if (!process.env.UPDATE_IMAGES) return;
    const name = tongue === "zh" ? "screens.zh-CN.md" : "screens.md";
    writeFileSync(fileURLToPath(new URL(`../../../docs/${name}`, import.meta.url)), pageOf(tongue));
  }, 300_000);
});
