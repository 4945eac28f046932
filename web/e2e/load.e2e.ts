/** Heavy traffic must not show: 10,000 messages come in over 20 s while a person looks at the conversation. */
import type { Page } from "playwright-core";
import { expect, test } from "vitest";
import { type Peer, until } from "./harness";
import { calmest, type Frames, frames, quantile, worst } from "./harness/frames";
import { openChat, stage } from "./ui/stage";

const it = stage();
const MESSAGES = 10_000;
const SECONDS = 20;
const SCRIPT_MS = 8;
/** The list draws no more rows than this. */
const LINES_MAX = 160;

/** So many messages, each with a number, evenly over the time. */
async function storm(bob: Peer, chat: number, name: string): Promise<void> {
  const started = performance.now();
  const per = MESSAGES / (SECONDS * 50);
  for (let sent = 0; sent < MESSAGES; sent += per) {
    const texts = Array.from({ length: per }, (_, at) => `${name} ${sent + at}`);
    await bob.sayAll(chat, texts);
    const due = started + ((sent + per) / MESSAGES) * SECONDS * 1_000;
    await new Promise((resolve) => setTimeout(resolve, Math.max(0, due - performance.now())));
  }
}

async function watched(page: Page, bob: Peer, chat: number, name: string): Promise<Frames> {
  const stop = await frames(it.browser, page);
  await storm(bob, chat, name);
  const last = page.locator(".line .text").getByText(`${name} ${MESSAGES - 1}`, { exact: true });
  await until("the last one is on screen", () => last.isVisible());
  return stop();
}

/** In all frames but one of a hundred, collecting garbage included: a browser collects when it likes, for as long as it takes. */
const collecting = ({ withCollections }: Frames) => quantile(withCollections, 0.99);

/** The numbers at the end of what is drawn, as far as they are there. */
const drawn = (page: Page) =>
  page.locator(".line .text").evaluateAll((texts) => texts.map((text) => Number(text.textContent?.split(" ")[1])));

test("10,000 messages over 20 s: no frame has more than 8 ms of script, and the end is held", async () => {
  const { ann, bob, chat } = await it.pair();
  const page = await it.logIn(ann);
  await openChat(page, chat);
  await bob.say(chat, "now 0");
  await page.locator(".line").first().waitFor();
  let time = 0;
  const measured = await calmest(
    (frames) => worst(frames) <= SCRIPT_MS && collecting(frames) <= SCRIPT_MS,
    () => watched(page, bob, chat, `message${++time}`),
  );
  expect(measured.scripts.length).toBeGreaterThan(5 * SECONDS);
  expect(worst(measured)).toBeLessThanOrEqual(SCRIPT_MS);
  expect(collecting(measured)).toBeLessThanOrEqual(SCRIPT_MS);
  const numbers = await drawn(page);
  expect(numbers).toEqual(numbers.map((_, at) => MESSAGES - numbers.length + at));
  expect(numbers.length).toBeGreaterThan(20);
  expect(numbers.length).toBeLessThanOrEqual(LINES_MAX);
  bob.close();
}, 240_000);
