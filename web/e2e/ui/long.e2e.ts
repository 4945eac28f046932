/**
 * A conversation of 5,000 messages, or of 100,000 with SKEIN_SOAK: from its end to its beginning and back, each message
 * exactly once and in order, nothing moves by itself, script stays within its share of a frame, and memory within bounds.
 */
import type { Page } from "playwright-core";
import { beforeAll, describe, expect, test } from "vitest";
import { type Account, launch, Peer, register, until } from "../harness";
import { calmest, type Frames, frames, worst } from "../harness/frames";
import { openChat, stage } from "./stage";
import { type Journey, type Seen, travel } from "./travel";

// The bar that is dragged is there.
const it = stage(() => launch([], ["--hide-scrollbars"]));
const MESSAGES = process.env.SKEIN_SOAK ? 100_000 : 5_000;
const WRITERS = 4;
const SCRIPT_MS = 8;
const PX_PER_FRAME = 480;
/** So many frames of each way are traced at once: a trace is kept whole in memory. */
const TRACED_FRAMES = 200;
const HEAP_GROWTH_MAX_MB = 8;
const LINES_MAX = 160;

let ann: Account;
let room: number;
let firstSeq: number;
let lastSeq: number;

const body = (n: number) => `${n} ${"word ".repeat((n * 7) % 23)}`.trim();

/** Many write at the same time, each as fast as it is acknowledged. */
async function fill(script: Peer): Promise<void> {
  const writers = await Promise.all(
    Array.from({ length: WRITERS }, (_, at) => Peer.register(it.server, `Writer ${at}`)),
  );
  for (const writer of [script, ...writers]) writer.listens = false;
  for (const writer of writers) await writer.join(room);
  const numbers = Array.from({ length: MESSAGES - 2 }, (_, n) => n + 1);
  firstSeq = await script.say(room, body(0));
  await Promise.all(
    writers.map((writer, at) => writer.sayAll(room, numbers.filter((n) => n % WRITERS === at).map(body))),
  );
  lastSeq = await script.say(room, body(MESSAGES - 1));
  await script.request("markRead", { conversation: room, seq: lastSeq });
  for (const writer of writers) writer.close();
}

beforeAll(async () => {
  ann = await register(it.server, "Ann");
  const script = await Peer.connect(it.server, ann);
  room = await script.room("Long");
  const began = performance.now();
  await fill(script);
  console.info(`${MESSAGES} messages written in ${((performance.now() - began) / 1_000).toFixed(1)} s`);
  expect(lastSeq - firstSeq).toBe(MESSAGES - 1);
  script.close();
}, 600_000);

const scroller = (page: Page) => page.locator("[role=log]");
const edges = (page: Page) =>
  page.evaluate(() => {
    const all = [...document.querySelectorAll<HTMLElement>("[role=log] [data-seq]")].map((one) =>
      Number(one.dataset.seq),
    );
    return {
      first: all[0] ?? 0,
      last: all.at(-1) ?? 0,
      isRun: all.every((seq, at) => at === 0 || seq === (all[at - 1] ?? 0) + 1),
    };
  });

async function heapMegabytes(page: Page): Promise<number> {
  const session = await page.context().newCDPSession(page);
  await session.send("HeapProfiler.collectGarbage");
  await session.send("HeapProfiler.collectGarbage");
  const { usedSize } = await session.send("Runtime.getHeapUsage");
  await session.detach();
  return usedSize / 1_048_576;
}

/** One way through it all: the beginning of it traced. */
async function way(page: Page, towards: Journey["towards"]): Promise<number> {
  const journey = { towards, pxPerFrame: PX_PER_FRAME, untilSeq: towards === "top" ? firstSeq : lastSeq };
  const seen: Seen[] = [];
  const go = async (framesMax: number) => seen.push(await travel(page, { ...journey, framesMax }, MESSAGES));
  const began = performance.now();
  const isCalm = (frames: Frames) => worst(frames) <= SCRIPT_MS;
  const measured = await calmest(isCalm, async () => {
    const stop = await frames(it.browser, page);
    await go(TRACED_FRAMES);
    return stop();
  });
  await go(MESSAGES * 2);
  const drift = Math.max(...seen.map(({ worstDriftPx }) => worstDriftPx));
  const count = seen.reduce((sum, { frames }) => sum + frames, 0);
  const seconds = ((performance.now() - began) / 1_000).toFixed(0);
  console.info(`to the ${towards}: ${count} frames in ${seconds} s, worst drift ${drift.toFixed(2)} px`);
  expect(seen.flatMap(({ disorders }) => disorders)).toEqual([]);
  expect(seen.at(-1)?.arrived).toBe(true);
  expect(drift).toBeLessThan(1);
  expect(Math.max(...seen.map(({ linesMax }) => linesMax))).toBeLessThanOrEqual(LINES_MAX);
  expect(worst(measured)).toBeLessThanOrEqual(SCRIPT_MS);
  return seen.at(-1)?.met ?? 0;
}

describe(`a conversation of ${MESSAGES} messages`, () => {
  test("to its beginning and back: each message once and in order, nothing jumps, script and memory within bounds", async () => {
    const page = await it.logIn(ann);
    await openChat(page, room);
    await until("the end is there", async () => (await edges(page)).last === lastSeq);
    await travel(page, { towards: "end", pxPerFrame: PX_PER_FRAME, untilSeq: lastSeq, framesMax: 5 }, MESSAGES);
    const before = await heapMegabytes(page);
    expect(await way(page, "top")).toBe(MESSAGES);
    const above = await heapMegabytes(page);
    expect(await way(page, "end")).toBe(MESSAGES);
    const after = await heapMegabytes(page);
    console.info(`heap of the page: ${before.toFixed(1)} → ${above.toFixed(1)} → ${after.toFixed(1)} MB`);
    expect(Math.max(above, after) - before).toBeLessThan(HEAP_GROWTH_MAX_MB);
  }, 1_800_000);

  test("by wheel, by keys and by the scroll bar: what is shown goes where the reader goes, without a gap", async () => {
    const page = await it.logIn(ann);
    await openChat(page, room);
    await until("the end is there", async () => (await edges(page)).last === lastSeq);
    await byWheel(page);
    await byKeys(page);
    await byBar(page);
  });
});

/** Lines in view never move against the wheel, nor further than it was turned. */
async function byWheel(page: Page): Promise<void> {
  await scroller(page).hover();
  await page.evaluate(() => {
    const view = document.querySelector("[role=log]") as HTMLElement;
    const moved = { by: 0, against: 0, isOver: false };
    const where = () =>
      new Map([...view.querySelectorAll(".bubble")].map((one) => [one, one.getBoundingClientRect().top]));
    let before = where();
    const frame = () => {
      const now = where();
      const [one] = [...now.keys()].filter((one) => before.has(one)).slice(-1);
      const by = one ? (now.get(one) ?? 0) - (before.get(one) ?? 0) : 0;
      moved.by += by;
      if (by < -1) moved.against -= by;
      before = now;
      if (!moved.isOver) requestAnimationFrame(frame);
    };
    requestAnimationFrame(frame);
    Object.assign(window, { moved });
  });
  const TURNS = 60;
  const PX = 240;
  const { last: begin } = await edges(page);
  for (let turn = 0; turn < TURNS; turn++) {
    await page.mouse.wheel(0, -PX);
    await page.evaluate(() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done))));
  }
  const moved = await page.evaluate(async () => {
    const { moved } = window as unknown as { moved: { by: number; against: number; isOver: boolean } };
    await new Promise((done) => setTimeout(done, 300));
    moved.isOver = true;
    return moved;
  });
  console.info(`wheel turned by ${TURNS * PX} px: lines moved by ${moved.by.toFixed(1)} px`);
  expect(moved.against).toBe(0);
  expect(moved.by).toBeGreaterThan((TURNS * PX) / 2);
  // Each page may round by half a pixel.
  expect(moved.by).toBeLessThanOrEqual(TURNS * PX + 10);
  const now = await edges(page);
  expect(now.isRun).toBe(true);
  expect(now.first).toBeLessThan(begin - 200);
}

/** Home goes as far as what is drawn, and further each time; End leads back at once. */
async function byKeys(page: Page): Promise<void> {
  await scroller(page).focus();
  for (let time = 0; time < 6; time++) {
    const { first } = await edges(page);
    await page.keyboard.press("Home");
    await until("older ones are there", async () => (await edges(page)).first < first);
    expect((await edges(page)).isRun).toBe(true);
  }
  await page.keyboard.press("End");
  await until("the end is in view", () => isAtEnd(page));
  await page.keyboard.press("PageUp");
  await until("the end is left", async () => !(await isAtEnd(page)));
  await page.keyboard.press("End");
  await until("the end is in view again", () => isAtEnd(page));
}

async function isAtEnd(page: Page): Promise<boolean> {
  const left = await scroller(page).evaluate((view) => view.scrollHeight - view.clientHeight - view.scrollTop);
  return left < 2 && (await edges(page)).last === lastSeq;
}

async function byBar(page: Page): Promise<void> {
  const thumb = await scroller(page).evaluate((view) => {
    const { right, top, height } = view.getBoundingClientRect();
    const share = (view.scrollTop + view.clientHeight / 2) / view.scrollHeight;
    return { x: right - 5, y: top + height * share, top };
  });
  const { first } = await edges(page);
  await page.mouse.move(thumb.x, thumb.y);
  await page.mouse.down();
  await page.mouse.move(thumb.x, thumb.top + 12, { steps: 25 });
  await until("older ones are there", async () => (await edges(page)).first < first);
  await page.mouse.up();
  await until("nothing moves any more", async () => {
    const where = () => scroller(page).evaluate((view) => view.scrollTop);
    const then = await where();
    await page.evaluate(() => new Promise((done) => setTimeout(done, 150)));
    return then === (await where());
  });
  expect((await edges(page)).isRun).toBe(true);
  const shown = await page.locator(".line:visible").count();
  expect(shown).toBeGreaterThan(10);
  await scroller(page).focus();
  await page.keyboard.press("End");
  await until("the end is in view", () => isAtEnd(page));
}
