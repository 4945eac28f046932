/**
 * Each screen in both themes: no accessibility violation that axe finds. With UPDATE_IMAGES=1 the screens for the guides
 * are written to docs/images/web (and made small with pngquant, where it is installed).
 */
import { execFileSync } from "node:child_process";
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { fileURLToPath } from "node:url";
import type { BrowserContextOptions, Page } from "playwright-core";
import { describe, expect, test } from "vitest";
import { en as inEnglish } from "../../src/i18n/en";
import { zh as inChinese } from "../../src/i18n/zh";
import { PASSWORD } from "../harness";
import { online, openChat, row, stage } from "./stage";
import { build, type Tongue, type World } from "./world";

const it = stage();
const IMAGES = fileURLToPath(new URL("../../../docs/images/web/", import.meta.url));
const axe = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");
type Theme = "light" | "dark";

/** The pictures that the guides show: screen, theme, language. */
const SHOWN = new Set([
  "login light zh", "login light en", "chat light zh", "chat dark zh", "chat light en", "chat dark en",
  "contacts light zh", "contacts dark en", "look dark zh", "look light en", "phone-chat light zh", "phone-chat dark en",
  "phone-list light zh", "phone-list dark en",
]); // biome-ignore format: a list

async function violations(page: Page): Promise<string[]> {
  await page.evaluate(axe);
  return page.evaluate(async () => {
    const { axe } = window as unknown as {
      axe: {
        run(
          options: object,
        ): Promise<{ violations: { id: string; nodes: { html: string; failureSummary: string }[] }[] }>;
      };
    };
    const found = await axe.run({ runOnly: ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "best-practice"] });
    return found.violations.flatMap(({ id, nodes }) =>
      nodes.map(({ html, failureSummary }) => `${id}: ${html.slice(0, 160)} — ${failureSummary.slice(0, 220)}`),
    );
  });
}

async function picture(page: Page, name: string, theme: Theme, tongue: Tongue): Promise<void> {
  if (!process.env.UPDATE_IMAGES || !SHOWN.has(`${name} ${theme} ${tongue}`)) return;
  mkdirSync(IMAGES, { recursive: true });
  await page.evaluate(() => (document.activeElement as HTMLElement | null)?.blur());
  await page.mouse.move(2, 2);
  const file = `${IMAGES}${name}-${theme}-${tongue}.png`;
  writeFileSync(file, await page.screenshot());
  execFileSync("pngquant", ["--force", "--skip-if-larger", "--output", file, "64", file]);
}

class Tour {
  readonly found: string[] = [];
  constructor(
    readonly page: Page,
    readonly theme: Theme,
    readonly tongue: Tongue,
  ) {}

  async at(name: string): Promise<void> {
    for (const violation of await violations(this.page)) this.found.push(`${name}: ${violation}`);
    await picture(this.page, name, this.theme, this.tongue);
  }

  async inEachColour(name: string): Promise<void> {
    for (const accent of ["blue", "violet", "rose", "amber", "green"]) {
      await this.page.evaluate((chosen) => {
        document.documentElement.dataset.accent = chosen;
      }, accent);
      for (const violation of await violations(this.page)) this.found.push(`${name} in ${accent}: ${violation}`);
    }
  }
}

/** Everything on a wide screen, one after the other. */
async function wide(tour: Tour, world: World): Promise<void> {
  const { page } = tour;
  const t = tour.tongue === "zh" ? inChinese : inEnglish;
  const nav = (name: string) => page.locator(".rail button").filter({ hasText: name }).last().click();
  await page.getByRole("heading", { name: t.auth.login }).waitFor();
  await tour.at("login");
  await page.getByRole("button", { name: t.auth.register }).click();
  await page.getByRole("button", { name: t.auth.register }).last().click();
  await tour.at("register");
  await page.getByRole("button", { name: t.auth.login, exact: true }).click();
  await page.getByRole("button", { name: t.auth.forgot }).click();
  await tour.at("reset");
  await page.getByRole("button", { name: t.auth.login, exact: true }).click();
  await page.getByLabel(t.auth.email, { exact: true }).fill(world.me.account.email);
  await page.getByLabel(t.auth.password, { exact: true }).fill(PASSWORD);
  await page.getByRole("button", { name: t.auth.login, exact: true }).click();
  await online(page);
  await row(page, world.group).waitFor();
  await tour.at("chats");
  await openChat(page, world.group);
  await page.locator(".reactions").first().waitFor();
  await tour.at("chat");
  await tour.inEachColour("chat");
  await page.locator(".line .bubble").first().click({ button: "right" });
  await page.getByRole("menu").waitFor();
  await tour.at("menu");
  await page.keyboard.press("Escape");
  await page.getByRole("button", { name: t.chat.emoji, exact: true }).click();
  await tour.at("emoji");
  await page.keyboard.press("Escape");
  await page.getByRole("button", { name: t.chat.info, exact: true }).click();
  await page.locator(".members li").nth(2).waitFor();
  await tour.at("info");
  await page.getByRole("complementary").getByRole("button", { name: t.common.close }).click();
  await page.keyboard.press("Control+k");
  await tour.at("find");
  await page.keyboard.press("Escape");
  await page.keyboard.press("Control+/");
  await tour.at("keys");
  await page.keyboard.press("Escape");
  await nav(t.nav.contacts);
  await page.getByRole("button", { name: t.contacts.requests }).click();
  await tour.at("requests");
  await page.locator(`[data-uid="${world.friend.account.uid}"]`).click();
  await tour.at("contacts");
  await page.getByRole("button", { name: t.contacts.add }).first().click();
  await tour.at("add-friend");
  await page.keyboard.press("Escape");
  await nav(t.nav.rooms);
  await page.getByRole("button", { name: t.rooms.join }).first().waitFor();
  await tour.at("rooms");
  await nav(t.nav.me);
  for (const [name, entry] of [
    ["profile", t.me.profile],
    ["look", t.me.look],
    ["notify", t.me.notify],
    ["devices", t.me.devices],
    ["about", t.me.about],
  ] as const) {
    await page.locator(".entry").filter({ hasText: entry }).click();
    await page.locator("section.page h2").filter({ hasText: entry }).waitFor();
    if (name === "devices") await page.locator("[data-session]").first().waitFor();
    await tour.at(name);
  }
}

async function phone(tour: Tour, world: World): Promise<void> {
  const { page } = tour;
  await page.getByRole("textbox").first().fill(world.me.account.email);
  await page.getByRole("textbox").nth(1).fill(PASSWORD);
  await page.keyboard.press("Enter");
  await online(page);
  await row(page, world.group).waitFor();
  await tour.at("phone-list");
  await openChat(page, world.group);
  await page.locator(".reactions").first().waitFor();
  await tour.at("phone-chat");
}

const looking = (theme: Theme, tongue: Tongue, more: BrowserContextOptions): BrowserContextOptions => ({
  locale: tongue === "zh" ? "zh-CN" : "en-GB",
  colorScheme: theme,
  ...more,
});

describe.each([["zh"], ["en"]] as const)("screens in %s", (tongue) => {
  test("pass axe in both themes, wide and on a phone", async () => {
    const world = await build(it.server, tongue);
    const found: string[] = [];
    for (const theme of ["light", "dark"] as const) {
      const page = await it.open(looking(theme, tongue, { viewport: { width: 1080, height: 680 } }));
      const tour = new Tour(page, theme, tongue);
      await wide(tour, world);
      const small = await it.open(
        looking(theme, tongue, { viewport: { width: 360, height: 680 }, hasTouch: true, isMobile: true }),
      );
      const phoneTour = new Tour(small, theme, tongue);
      await phone(phoneTour, world);
      found.push(...[...tour.found, ...phoneTour.found].map((one) => `${theme} ${one}`));
    }
    world.close();
    expect([...new Set(found)]).toEqual([]);
  });
});
