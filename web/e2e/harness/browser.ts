/** Debian's Chromium, driven by Playwright. */
import { existsSync } from "node:fs";
import { type Browser, type BrowserContext, type BrowserContextOptions, chromium } from "playwright-core";

const PATHS = [process.env.CHROMIUM, "/usr/bin/chromium", "/usr/bin/chromium-browser", "/usr/bin/google-chrome"];
const FLAGS = [
  "--no-sandbox",
  "--disable-gpu",
  "--disable-background-networking",
  "--disable-component-update",
  "--disable-sync",
  "--disable-dev-shm-usage",
  "--js-flags=--expose-gc",
];

export function chromiumPath(): string {
  const path = PATHS.find((path) => path !== undefined && existsSync(path));
  if (!path) throw new Error("there is no Chromium: run `node scripts/chromium.mjs`");
  return path;
}

/** `left` are flags of Playwright's own that are left out. */
export function launch(flags: readonly string[] = [], left: string[] = []): Promise<Browser> {
  const args = [...FLAGS, ...flags];
  return chromium.launch({ executablePath: chromiumPath(), headless: true, args, ignoreDefaultArgs: left });
}

/** Somebody's browser, with nothing in it. What the page complains about is collected. */
export async function person(
  browser: Browser,
  origin: string,
  options: BrowserContextOptions = {},
): Promise<BrowserContext & { complaints: string[] }> {
  const context = await browser.newContext({ baseURL: origin, ...options });
  const complaints: string[] = [];
  context.on("weberror", (error) => complaints.push(String(error.error())));
  context.on("console", (message) => {
    // A refused request is the browser's own remark, not the page's.
    if (message.type() === "error" && !message.text().startsWith("Failed to load resource"))
      complaints.push(message.text());
  });
  return Object.assign(context, { complaints });
}
