/** What the screens cost: switching, starting, memory; script per frame is in load.e2e.ts. */
import { describe, expect, test } from "vitest";
import { PASSWORD, Peer, register, until } from "../harness";
import { composer, en, fillLogIn, numbered, online, openChat, row, stage } from "./stage";

const it = stage();
describe("performance", () => {
  test("fifty switches leave memory as it was; switching and starting are reported", async () => {
    const ann = await register(it.server, "Ann");
    const script = await Peer.connect(it.server, ann);
    const rooms: number[] = [];
    for (const name of ["One", "Two", "Three", "Four"]) {
      const room = await script.room(name);
      await script.sayAll(room, numbered(120, `${name} line`));
      rooms.push(room);
    }
    const page = await it.open();
    const now = () => page.evaluate(() => performance.now());
    await page.getByRole("button", { name: en.auth.login, exact: true }).waitFor();
    console.info(`first screen from cold, in a browser that was never here: ${(await now()).toFixed(0)} ms`);
    const entered = await now();
    await fillLogIn(page, ann.email, PASSWORD);
    await row(page, rooms[0] as number).waitFor();
    console.info(`from cold to the list of conversations, with typing: ${((await now()) - entered).toFixed(0)} ms`);
    await online(page);
    const session = await page.context().newCDPSession(page);
    const heap = async () => {
      await session.send("HeapProfiler.collectGarbage");
      await session.send("HeapProfiler.collectGarbage");
      const { usedSize } = await session.send("Runtime.getHeapUsage");
      const { nodes } = await session.send("Memory.getDOMCounters");
      return { megabytes: usedSize / 1048576, nodes };
    };
    const switchTo = (room: number) =>
      page.evaluate(async (id) => {
        const began = performance.now();
        (document.querySelector(`[data-conversation="${id}"]`) as HTMLElement).click();
        while (document.querySelectorAll("[role=log] .line").length < 20) await new Promise(requestAnimationFrame);
        await new Promise(requestAnimationFrame);
        return performance.now() - began;
      }, room);
    for (const room of [...rooms, ...rooms]) await switchTo(room);
    const before = await heap();
    const took: number[] = [];
    for (let i = 0; i < 50; i++) took.push(await switchTo(rooms[i % rooms.length] as number));
    const after = await heap();
    took.sort((a, b) => a - b);
    console.info(
      `switching: p50 ${took[25]?.toFixed(0)} ms, p90 ${took[45]?.toFixed(0)} ms, worst ${took[49]?.toFixed(0)} ms`,
    );
    console.info(
      `after 50 switches: heap ${before.megabytes.toFixed(1)} → ${after.megabytes.toFixed(1)} MB, nodes ${before.nodes} → ${after.nodes}`,
    );
    expect(after.megabytes - before.megabytes).toBeLessThan(2);
    expect(after.nodes).toBeLessThan(before.nodes * 1.5 + 500);

    await page.goto("about:blank");
    await page.goto("/");
    await row(page, rooms[0] as number).waitFor();
    console.info(`first screen with conversations after a reload: ${(await now()).toFixed(0)} ms`);
    script.close();
  });

  test("a line of the longest text that is allowed, and ten thousand characters in the composer", async () => {
    const { ann, bob, chat } = await it.pair();
    const long = "长".repeat(5_000) + "x".repeat(1_000);
    await bob.say(chat, long);
    const page = await it.logIn(ann);
    await openChat(page, chat);
    await until(
      "it is all there",
      async () => (await page.locator(".line .text").last().textContent())?.length === long.length,
    );
    const wide = await page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth);
    expect(wide).toBeLessThanOrEqual(0);
    await composer(page).fill("字".repeat(6_000));
    await page.locator(".over").waitFor();
    expect(await page.locator("button.send").isDisabled()).toBe(true);
    bob.close();
  });
});
