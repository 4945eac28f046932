/** Registration, log-in, forgotten password, devices, and what ends a session: as a person does it. */
import { describe, expect, test } from "vitest";
import { codeFor, PASSWORD, Peer, register, until } from "../harness";
import { en, fillLogIn, online, openChat, section, stage, write } from "./stage";

const it = stage();

describe("accounts", () => {
  test("register with the code from the mailbox, errors at their fields, then log out and in again", async () => {
    const page = await it.open();
    await page.getByRole("button", { name: en.auth.register }).click();
    await page.getByRole("button", { name: en.auth.register, exact: true }).last().click();
    expect(await page.getByRole("alert").allTextContents()).toEqual([
      en.auth.required,
      en.auth.required,
      en.auth.required,
      en.auth.required,
    ]);
    await page.getByLabel(en.auth.email, { exact: true }).fill("newcomer@example.org");
    await page.getByRole("button", { name: en.auth.sendCode }).click();
    await page.getByText(en.auth.mailbox).waitFor();
    expect(await page.getByRole("link", { name: en.auth.openMailbox }).getAttribute("href")).toContain("/dev/mailbox");
    expect(await page.getByRole("button", { name: /Send again in \d+ s/ }).isDisabled()).toBe(true);
    await page.getByLabel(en.auth.code, { exact: true }).fill("000000");
    await page.getByLabel(en.auth.nickname, { exact: true }).fill("新来的");
    await page.getByLabel(en.auth.password, { exact: true }).fill(PASSWORD);
    await page.getByRole("button", { name: en.auth.register, exact: true }).last().click();
    await page.getByText(en.errors.code_wrong as string).waitFor();
    await page.getByLabel(en.auth.code, { exact: true }).fill(await codeFor(it.server, "newcomer@example.org"));
    await page.getByRole("button", { name: en.auth.register, exact: true }).last().click();
    await page.locator(".shell").waitFor();
    await online(page);
    await page.getByText(en.list.empty).waitFor();
    await section(page, en.nav.me);
    await page.getByRole("button", { name: en.me.logout }).click();
    await page.getByRole("dialog").getByRole("button", { name: en.me.logout }).click();
    await page.getByRole("heading", { name: en.auth.login }).waitFor();
    await fillLogIn(page, "newcomer@example.org", "not the password");
    await page.getByText(en.errors.bad_credentials as string).waitFor();
    await fillLogIn(page, "newcomer@example.org", PASSWORD);
    await page.locator(".shell").waitFor();
  });

  test("a forgotten password is set anew with a code", async () => {
    const ann = await register(it.server, "Ann");
    const page = await it.open();
    await page.getByRole("button", { name: en.auth.forgot }).click();
    await page.getByLabel(en.auth.email, { exact: true }).fill(ann.email);
    const old = await codeFor(it.server, ann.email);
    await page.getByRole("button", { name: en.auth.sendCode }).click();
    const code = await until("another code", async () => {
      const now = await codeFor(it.server, ann.email);
      return now !== old && now;
    });
    await page.getByLabel(en.auth.code, { exact: true }).fill(code);
    await page.getByLabel(en.auth.newPassword, { exact: true }).fill("a much better one");
    await page.getByRole("button", { name: en.auth.reset, exact: true }).last().click();
    await page.getByText(en.auth.resetDone).waitFor();
    await fillLogIn(page, ann.email, "a much better one");
    await page.locator(".shell").waitFor();
  });

  test("logging in elsewhere says so here, and leads back to the log-in page", async () => {
    const ann = await register(it.server, "Ann");
    const here = await it.logIn(ann);
    const there = await it.logIn(ann);
    const dialog = here.getByRole("dialog", { name: en.kicked.title });
    await dialog.waitFor();
    await here.keyboard.press("Escape");
    expect(await dialog.isVisible()).toBe(true);
    await dialog.getByRole("button", { name: en.kicked.again }).click();
    await here.getByRole("heading", { name: en.auth.login }).waitFor();
    await online(there);
  });

  test("devices are listed, and one is logged out from afar", async () => {
    const ann = await register(it.server, "Ann");
    const script = await Peer.connect(it.server, ann);
    const page = await it.logIn(ann);
    await section(page, en.nav.me);
    await page.getByRole("button", { name: en.me.devices }).click();
    await page.locator("[data-session]").nth(1).waitFor();
    expect(await page.getByText(en.me.thisDevice).count()).toBe(1);
    const other = page.locator("[data-session]").filter({ hasText: en.me.deviceClass.cli as string });
    await other.getByRole("button", { name: en.me.end }).click();
    await page.getByRole("dialog").getByRole("button", { name: en.me.end }).click();
    await other.waitFor({ state: "detached" });
    script.close();
  });

  test("a password can be looked at; logging out everywhere and being disabled end the session, each with its reason", async () => {
    const ann = await register(it.server, "Ann");
    const page = await it.open();
    await page.getByLabel(en.auth.password, { exact: true }).fill(PASSWORD);
    await page.getByRole("button", { name: en.auth.show }).click();
    expect(await page.getByLabel(en.auth.password, { exact: true }).getAttribute("type")).toBe("text");
    await fillLogIn(page, ann.email, PASSWORD);
    await online(page);
    await section(page, en.nav.me);
    await page.getByRole("button", { name: en.me.devices }).click();
    await page.getByRole("button", { name: en.me.everywhere }).click();
    await page.getByRole("dialog").getByRole("button", { name: en.me.everywhere }).click();
    await page.getByRole("heading", { name: en.auth.login }).waitFor();
    await fillLogIn(page, ann.email, PASSWORD);
    await online(page);
    await it.server.admin("disable", ann.email);
    await page.getByRole("dialog", { name: en.kicked.disabledTitle }).waitFor();
    await page.getByRole("button", { name: en.kicked.again }).click();
    await fillLogIn(page, ann.email, PASSWORD);
    await page
      .getByRole("alert")
      .getByText(en.errors.disabled as string)
      .waitFor();
  });

  test("the profile is edited, and friends see it; the language changes at once", async () => {
    const { ann, bob, chat } = await it.pair();
    const page = await it.logIn(ann);
    await section(page, en.nav.me);
    await page.getByRole("button", { name: en.me.profile, exact: true }).click();
    await page.getByRole("switch", { name: en.me.findable, checked: true }).waitFor();
    const device = await Peer.connect(it.server, ann);
    await device.request("changeProfile", { findableByEmail: false });
    await page.getByRole("switch", { name: en.me.findable, checked: false }).waitFor();
    device.close();
    await page.getByLabel(en.me.nickname, { exact: true }).fill("Ann the Second");
    await page.getByLabel(en.me.signature, { exact: true }).fill("here and there");
    await page.getByRole("button", { name: en.common.save }).click();
    await page.getByText(en.me.saved).waitFor();
    const bobs = await it.logIn(bob.account);
    await openChat(bobs, chat);
    await bobs.getByRole("heading", { name: "Ann the Second" }).waitFor();
    await section(page, en.nav.me);
    await page.getByRole("button", { name: `${en.me.look} · ${en.me.language}` }).click();
    await page.getByText("中文", { exact: true }).click();
    await page.getByRole("heading", { name: "外观" }).waitFor();
    expect(await page.evaluate(() => document.documentElement.lang)).toBe("zh-CN");
    await page.reload();
    await page.getByRole("heading", { name: "外观" }).waitFor();
    bob.close();
  });

  test("offline the page says so and when it tries again; what is written waits and goes out once", async () => {
    const { ann, bob, chat } = await it.pair();
    const page = await it.logIn(ann);
    await openChat(page, chat);
    it.front.down();
    await page
      .locator('[data-connection="offline"]')
      .getByText(/Offline/)
      .waitFor();
    await write(page, "written without a network");
    await page.locator('.line [data-mark="sending"]').waitFor();
    it.front.up();
    await page
      .getByRole("button", { name: en.status.now })
      .click({ timeout: 2_000 })
      .catch(() => undefined);
    await online(page);
    await until(
      "Bob has it once",
      () => bob.pushes.filter(({ body }) => JSON.stringify(body).includes("written without")).length === 1,
    );
    await page
      .locator('.line [data-mark="delivered"], .line [data-mark="sent"], .line [data-mark="read"]')
      .first()
      .waitFor();
    bob.close();
  });
});
