/** Everything one does with messages, between two and three people. */
import { describe, expect, test } from "vitest";
import { befriend, Peer, until } from "../harness";
import { choose, composer, en, line, openChat, row, stage, write } from "./stage";

const it = stage();

describe("chat", () => {
  test("two people at two browsers: bubbles left and right, marks from sent to read, typing", async () => {
    const { ann, bob, chat } = await it.pair();
    const anns = await it.logIn(ann);
    const bobs = await it.logIn(bob.account);
    await openChat(anns, chat);
    await write(anns, "first line\nsecond line");
    await row(bobs, chat).getByText("first line").waitFor();
    await row(bobs, chat).locator(".badge").waitFor();
    await openChat(bobs, chat);
    await line(bobs, "second line").waitFor();
    expect(await line(bobs, "second line").evaluate((el) => el.classList.contains("own"))).toBe(false);
    expect(await line(anns, "second line").evaluate((el) => el.classList.contains("own"))).toBe(true);
    const box = await line(bobs, "second line").locator(".text").boundingBox();
    expect(box?.height ?? 0).toBeGreaterThan(30);
    await line(anns, "first line").locator('[data-mark="read"]').waitFor();
    await composer(bobs).pressSequentially("hm");
    await anns.getByText(en.chat.typing).waitFor();
    await write(bobs, "an answer");
    await line(anns, "an answer").waitFor();
    bob.close();
  });

  test("reply and jump to the quoted message, edit, recall, reactions", async () => {
    const { ann, bob, chat } = await it.pair();
    await bob.say(chat, "the question");
    await bob.sayAll(
      chat,
      Array.from({ length: 90 }, (_, i) => `filler ${i + 1}`),
    );
    const script = await Peer.connect(it.server, ann);
    await script.say(chat, "quoting it", { replyTo: 1 });
    const page = await it.logIn(ann);
    await openChat(page, chat);
    await page
      .locator(".to-end")
      .click({ timeout: 1_500 })
      .catch(() => undefined);
    await line(page, "quoting it")
      .getByRole("button", { name: /the question/ })
      .click();
    await line(page, "the question").first().waitFor();
    await until("it is pointed out", async () => (await page.locator('.line.pointed[data-seq="1"]').count()) === 1);
    await page.locator(".to-end").click();
    await choose(page, "filler 90", en.chat.reply);
    await page.getByText(en.chat.replyingTo("Bob")).waitFor();
    await write(page, "a reply");
    await line(page, "a reply").locator(".quote", { hasText: "filler 90" }).waitFor();
    await line(page, "a reply").locator('[data-mark="sent"], [data-mark="delivered"], [data-mark="read"]').waitFor();
    await choose(page, "a reply", en.chat.edit);
    expect(await composer(page).inputValue()).toBe("a reply");
    await write(page, "a better reply");
    await line(page, "a better reply").getByText(en.chat.edited).waitFor();
    await line(page, "filler 89").locator(".bubble").click({ button: "right" });
    await page.getByRole("button", { name: `${en.chat.react} 👍` }).click();
    await line(page, "filler 89").getByRole("button", { name: /👍/ }).waitFor();
    await until("Bob is told", () => bob.pushes.some(({ body }) => JSON.stringify(body).includes("👍")));
    await line(page, "filler 89").getByRole("button", { name: /👍/ }).click();
    await line(page, "filler 89").locator(".reactions").waitFor({ state: "detached" });
    await choose(page, "a better reply", en.chat.recall);
    await page.getByText(en.chat.recalledMine).last().waitFor();
    expect(await line(page, "a better reply").count()).toBe(0);
    script.close();
    bob.close();
  });

  test("three people in a group: mention with the picker, the mark at the other's list, forwarding two messages", async () => {
    const { ann, bob, chat } = await it.pair();
    const cy = await Peer.register(it.server, "Cyril");
    const script = await Peer.connect(it.server, ann);
    await befriend(script, cy);
    const group = await script.group("Trio", [bob.account.uid, cy.account.uid]);
    const anns = await it.logIn(ann);
    const bobs = await it.logIn(bob.account);
    await openChat(bobs, chat);
    await openChat(anns, group);
    await composer(anns).pressSequentially("look @b");
    await anns.getByRole("option", { name: "Bob" }).waitFor();
    await composer(anns).press("Enter");
    expect(await composer(anns).inputValue()).toBe("look @Bob ");
    await composer(anns).pressSequentially("here https://example.org/x?y=1.");
    await composer(anns).press("Enter");
    await row(bobs, group).getByText(en.list.mention).waitFor();
    await openChat(bobs, group);
    await line(bobs, "look").locator(".mention.me", { hasText: "@Bob" }).waitFor();
    const link = line(bobs, "look").getByRole("link");
    expect([
      await link.getAttribute("href"),
      await link.getAttribute("rel"),
      await link.getAttribute("target"),
    ]).toEqual(["https://example.org/x?y=1", "noopener noreferrer nofollow", "_blank"]);
    await row(bobs, group).getByText(en.list.mention).waitFor({ state: "detached" });
    await cy.say(group, "one to pass on");
    await cy.say(group, "and another");
    await choose(anns, "one to pass on", en.chat.select);
    await line(anns, "and another").click();
    await anns.getByText(en.chat.selected(2)).waitFor();
    await anns.getByRole("button", { name: en.chat.forward }).click();
    await anns.getByRole("dialog").getByText("Bob", { exact: true }).click();
    await anns.getByRole("button", { name: en.chat.forwardSend(1) }).click();
    await anns.getByText(en.chat.forwardDone(1)).waitFor();
    await openChat(bobs, chat);
    await line(bobs, "one to pass on").waitFor();
    await line(bobs, "and another").waitFor();
    for (const peer of [script, cy, bob]) peer.close();
  });

  test("a menu opened on a pending message follows it: once the message is stored it can be recalled there", async () => {
    const { ann, bob, chat } = await it.pair();
    const page = await it.logIn(ann);
    await openChat(page, chat);
    it.front.down();
    await page.locator('[data-connection="offline"]').waitFor();
    await write(page, "pending for now");
    await line(page, "pending for now").locator('[data-mark="sending"]').waitFor();
    await line(page, "pending for now")
      .locator(".bubble")
      .click({ button: "right", position: { x: 8, y: 8 } });
    await page.getByRole("menuitem", { name: en.chat.copyText, exact: true }).waitFor();
    expect(await page.getByRole("menuitem", { name: en.chat.recall, exact: true }).count()).toBe(0);
    it.front.up();
    await page.getByRole("menuitem", { name: en.chat.edit, exact: true }).waitFor();
    await page.getByRole("menuitem", { name: en.chat.recall, exact: true }).click();
    await page.getByText(en.chat.recalledMine).last().waitFor();
    bob.close();
  });

  test("Enter during Chinese composition takes the candidate and sends nothing", async () => {
    const { ann, bob, chat } = await it.pair();
    const page = await it.logIn(ann);
    await openChat(page, chat);
    const session = await page.context().newCDPSession(page);
    await composer(page).focus();
    await session.send("Input.imeSetComposition", { text: "ni hao", selectionStart: 6, selectionEnd: 6 });
    await page.evaluate(() => {
      const field = document.querySelector("textarea") as HTMLTextAreaElement;
      field.dispatchEvent(
        new KeyboardEvent("keydown", { key: "Enter", bubbles: true, cancelable: true, isComposing: true }),
      );
      field.dispatchEvent(
        new KeyboardEvent("keydown", { key: "Enter", keyCode: 229, bubbles: true, cancelable: true }),
      );
    });
    expect(await composer(page).inputValue()).toBe("ni hao");
    await session.send("Input.insertText", { text: "你好" });
    await composer(page).press("Enter");
    await line(page, "你好").waitFor();
    expect(await composer(page).inputValue()).toBe("");
    await line(page, "你好").locator('[data-mark="sent"], [data-mark="delivered"]').waitFor();
    expect(await page.locator(".line .text").allTextContents()).toEqual(["你好"]);
    bob.close();
  });

  test("drafts stay with their conversation, pins lead, mutes do not count", async () => {
    const { ann, bob, chat } = await it.pair();
    const cy = await Peer.register(it.server, "Cyril");
    const script = await Peer.connect(it.server, ann);
    await befriend(script, cy);
    const other = await cy.direct(ann.uid);
    const page = await it.logIn(ann);
    await openChat(page, chat);
    await composer(page).fill("not finished");
    await openChat(page, other);
    await row(page, chat).getByText(en.list.draft).waitFor();
    expect(await composer(page).inputValue()).toBe("");
    await openChat(page, chat);
    expect(await composer(page).inputValue()).toBe("not finished");
    await openChat(page, other);
    await cy.say(other, "newest");
    await row(page, chat).click({ button: "right" });
    await page.getByRole("menuitem", { name: en.list.pin }).click();
    await until(
      "it leads",
      async () =>
        (await page.locator("[data-conversation]").first().getAttribute("data-conversation")) === String(chat),
    );
    await row(page, chat).click({ button: "right" });
    await page.getByRole("menuitem", { name: en.list.mute }).click();
    await row(page, chat).getByText(en.list.muted).waitFor({ state: "attached" });
    await bob.say(chat, "ping");
    await row(page, chat).locator(".badge.muted").waitFor();
    expect(await page.title()).toBe("Skein");
    const choose = async (entry: string) => {
      await row(page, chat).click({ button: "right" });
      await page.getByRole("menuitem", { name: entry }).click();
    };
    await choose(en.list.unmute);
    await until("it counts", async () => (await page.title()) === "(1) Skein");
    await choose(en.list.markRead);
    await row(page, chat).locator(".badge").waitFor({ state: "detached" });
    await choose(en.list.unpin);
    await row(page, chat).getByText(en.list.pinned).waitFor({ state: "detached" });
    for (const peer of [script, cy, bob]) peer.close();
  });

  test("everything by keyboard: find, write, choose a message, menu, reply, copy, back", async () => {
    const { ann, bob, chat } = await it.pair();
    await bob.say(chat, "press me");
    const page = await it.logIn(ann, { permissions: ["clipboard-read", "clipboard-write"] });
    // Found by name, which comes after the conversation.
    await row(page, chat).getByText("Bob", { exact: true }).waitFor();
    await page.keyboard.press("Control+k");
    await page.keyboard.type("bo");
    await page.keyboard.press("Enter");
    await line(page, "press me").waitFor();
    const hasFocus = () => page.evaluate(() => document.activeElement?.matches('.line[data-seq="1"]'));
    await page.getByRole("log").focus();
    await page.keyboard.press("ArrowUp");
    await until("the message has the focus", hasFocus);
    await page.keyboard.press("Enter");
    await page.getByRole("menu").waitFor();
    await page.keyboard.press("ArrowDown");
    await page.keyboard.press("Enter");
    await page.getByText(en.common.copied).waitFor();
    expect(await page.evaluate(() => navigator.clipboard.readText())).toBe("press me");
    await page.locator('.line[data-seq="1"]').focus();
    await page.getByRole("log").focus();
    await page.keyboard.press("ArrowUp");
    await until("the message has the focus again", hasFocus);
    await page.keyboard.press("r");
    await page.getByText(en.chat.replyingTo("Bob")).waitFor();
    await page.keyboard.type("done");
    await page.keyboard.press("Enter");
    await line(page, "done").waitFor();
    await line(page, "done").locator('[data-mark="sent"], [data-mark="delivered"]').waitFor();
    await page.keyboard.press("ArrowUp");
    await page.getByText(en.chat.editing).waitFor();
    await page.keyboard.press("Escape");
    await page.keyboard.press("Control+/");
    await page.getByRole("dialog", { name: en.keys.title }).waitFor();
    await page.keyboard.press("Escape");
    await page.keyboard.press("Alt+2");
    await page.getByRole("heading", { name: en.contacts.title }).waitFor();
    bob.close();
  });

  test("what a hostile peer writes is text, stays in its bubble and turns nothing around", async () => {
    const { ann, bob, chat } = await it.pair();
    const hostile = [
      "<img src=x onerror=alert(1)><script>alert(1)</script>",
      "javascript:alert(1) data:text/html,<b>x</b>",
      "\u202egnorw\u202e txet \u2066\u2067\u2068 end",
      "👩‍👩‍👧‍👦🏳️‍🌈👍🏽🇨🇳é̴̀́",
      "Z̸̛̩͉a̴l̵g̷o̶ ".repeat(40),
      "w".repeat(4_000),
      "{{constructor}} {7*7} {@html x}",
    ];
    for (const text of hostile) await bob.say(chat, text);
    await bob
      .sendBody(chat, { kind: "text", segments: [{ link: "javascript:alert(2)" }, { text: "end of links" }] })
      .catch(() => undefined);
    const page = await it.logIn(ann);
    page.on("dialog", () => expect.fail("a script ran"));
    await openChat(page, chat);
    await line(page, "constructor").waitFor();
    const texts = await page.locator(".line .text").allTextContents();
    for (const text of hostile) expect(texts.map((one) => one.trim())).toContain(text.trim());
    expect(await page.locator(".line img, .line script").count()).toBe(0);
    for (const href of await page
      .locator(".line a")
      .evaluateAll((all) => all.map((a) => (a as HTMLAnchorElement).protocol)))
      expect(href).toMatch(/^(https?|mailto):$/);
    const spills = await page
      .locator(".bubble")
      .evaluateAll((all) => all.filter((bubble) => bubble.scrollWidth > bubble.clientWidth + 1).length);
    expect(spills).toBe(0);
    expect(
      await page.evaluate(() => document.documentElement.scrollWidth <= document.documentElement.clientWidth),
    ).toBe(true);
    bob.close();
  });
});
