/** What is around the screens: notifications, plain HTTP on a LAN, refusals of the other side, several tabs. */
import { networkInterfaces } from "node:os";
import { describe, expect, test } from "vitest";
import { Front, launch, PASSWORD, person, register } from "../harness";
import { CLIENT } from "../harness/build";
import { composer, en, fillLogIn, line, online, openChat, row, section, stage, write } from "./stage";

const it = stage();

describe("surroundings", () => {
  test("a message that is refused says why, waits to be sent again, and is then sent once", async () => {
    const { ann, bob, chat } = await it.pair();
    const anns = await it.logIn(ann);
    const bobs = await it.logIn(bob.account);
    await section(bobs, en.nav.contacts);
    await bobs.locator(`[data-uid="${ann.uid}"]`).click();
    await bobs.getByRole("button", { name: en.contacts.block, exact: true }).click();
    await bobs.getByRole("dialog").getByRole("button", { name: en.contacts.block }).click();
    await bobs.getByRole("button", { name: en.contacts.unblock }).waitFor();
    await openChat(anns, chat);
    await write(anns, "are you there?");
    await line(anns, "are you there?")
      .getByText(en.errors.not_accepted as string)
      .waitFor();
    await bobs.getByRole("button", { name: en.contacts.unblock }).click();
    await bobs.getByRole("button", { name: en.contacts.block, exact: true }).waitFor();
    await line(anns, "are you there?").getByRole("button", { name: en.chat.retry }).click();
    await line(anns, "are you there?")
      .locator('[data-mark="sent"], [data-mark="delivered"], [data-mark="read"]')
      .waitFor();
    await section(bobs, en.nav.chats);
    await openChat(bobs, chat);
    await line(bobs, "are you there?").waitFor();
    expect(await line(bobs, "are you there?").count()).toBe(1);
    bob.close();
  });

  test("on plain HTTP to a LAN address everything works, and what is missing is said", async () => {
    const { ann, bob, chat } = await it.pair();
    const address = Object.values(networkInterfaces())
      .flat()
      .find((one) => one?.family === "IPv4" && !one.internal)?.address;
    if (!address) throw new Error("this machine has no address but loopback");
    const lan = await Front.start(CLIENT, it.server.address.public ?? "", address);
    const browser = await launch();
    const origin = lan.origin.replace("localhost", address);
    const context = await person(browser, origin, { locale: "en-GB", viewport: { width: 1200, height: 760 } });
    const page = await context.newPage();
    await page.goto("/");
    expect(await page.evaluate(() => isSecureContext)).toBe(false);
    await fillLogIn(page, ann.email, PASSWORD);
    await page.locator(".shell").waitFor();
    await online(page);
    await openChat(page, chat);
    await write(page, "hello from the LAN");
    await line(page, "hello from the LAN").locator('[data-mark="sent"], [data-mark="delivered"]').waitFor();
    await page.locator(".status .missing").click();
    await page.getByText(en.me.missingWorker).waitFor();
    await page.getByText(en.me.missingNotify).waitFor();
    await page.getByText(en.me.secure).waitFor();
    expect(context.complaints).toEqual([]);
    await browser.close();
    await lan.stop();
    bob.close();
  });

  test("theme and colour are as chosen, before the script is there; the browser's offer to install is passed on", async () => {
    const ann = await register(it.server, "Ann");
    const page = await it.logIn(ann, { colorScheme: "dark" });
    const look = () => page.evaluate(() => ({ ...document.documentElement.dataset }));
    expect(await look()).toMatchObject({ theme: "dark", accent: "green" });
    await section(page, en.nav.me);
    await page.locator(".entry").filter({ hasText: en.me.look }).click();
    await page.getByText(en.me.themes.light, { exact: true }).click();
    await page.getByText(en.me.accents.violet, { exact: true }).click();
    await page.route("**/assets/index-*.js", (route) => route.abort());
    await page.reload();
    expect(await look()).toMatchObject({ theme: "light", accent: "violet" });
    await page.unroute("**/assets/index-*.js");
    await page.reload();
    await online(page);
    await page.locator(".entry").filter({ hasText: en.me.about }).click();
    await page.getByText(en.me.allThere).waitFor();
    await page.evaluate(() => {
      const offer = Object.assign(new Event("beforeinstallprompt"), {
        prompt: async () => {
          document.body.dataset.asked = "yes";
        },
      });
      dispatchEvent(offer);
    });
    await page.getByRole("button", { name: en.me.install }).click();
    expect(await page.evaluate(() => document.body.dataset.asked)).toBe("yes");
    await page.getByRole("button", { name: en.me.install }).waitFor({ state: "detached" });
  });

  test("two tabs of one browser show the same, and a draft of one is in the list of the other", async () => {
    const { ann, bob, chat } = await it.pair();
    const first = await it.logIn(ann);
    const second = await first.context().newPage();
    await second.goto("/");
    await online(second);
    await openChat(first, chat);
    await openChat(second, chat);
    await write(second, "written in the second");
    await line(first, "written in the second").waitFor();
    await bob.say(chat, "to both");
    await line(first, "to both").waitFor();
    await line(second, "to both").waitFor();
    await second.goto("/#/chats");
    await composer(first).fill("half a thought");
    await row(second, chat).getByText(en.list.draft).waitFor();
    expect(await first.locator(".line").count()).toBe(2);
    bob.close();
  });
});
