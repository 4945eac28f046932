/** The client as the server itself serves it. */
import { fileURLToPath } from "node:url";
import type { Browser } from "playwright-core";
import { createServer } from "vite";
import { afterAll, beforeAll, expect, test } from "vitest";
import { type Account, launch, PASSWORD, person, register, Server } from "./harness";
import { CLIENT } from "./harness/build";

let server: Server;
let browser: Browser;

beforeAll(async () => {
  server = await Server.start([`gate.web_folder=${CLIENT}`]);
  browser = await launch();
});
afterAll(async () => {
  await browser?.close();
  await server?.stop();
});

/** What the page complained about. */
async function logsIn(ann: Account, origin: string): Promise<string[]> {
  const context = await person(browser, origin, { locale: "en-GB" });
  const page = await context.newPage();
  await page.goto("/chats");
  await page.locator("input[type=email]").fill(ann.email);
  await page.locator("input[type=password]").fill(PASSWORD);
  await page.locator("input[type=password]").press("Enter");
  await page.locator('.status[data-connection="online"]').first().waitFor({ state: "attached" });
  return context.complaints;
}

test("log in at the server's own address, with nothing that its policy forbids", async () => {
  const ann = await register(server, "Ann");
  expect(await logsIn(ann, server.origin)).toEqual([]);
});

test("npm run dev: the sources, against a running server", async () => {
  process.env.SKEIN = server.origin;
  const root = fileURLToPath(new URL("..", import.meta.url));
  const dev = await createServer({
    root,
    mode: "development",
    logLevel: "error",
    server: { port: 0, host: "127.0.0.1" },
  });
  try {
    await dev.listen();
    const [origin] = dev.resolvedUrls?.local ?? [];
    expect(await logsIn(await register(server, "Bob"), (origin ?? "").replace(/\/$/, ""))).toEqual([]);
  } finally {
    await dev.close();
  }
});

test("files come compressed, are kept by hash or asked for again, and everything else is the API's", async () => {
  const ask = (path: string, headers: Record<string, string> = {}) => fetch(server.origin + path, { headers });
  const page = await ask("/");
  expect(page.headers.get("content-security-policy")).toMatch(/^default-src 'none'; script-src 'self';/);
  const [, script] = /src="(\/assets\/[^"]+\.js)"/.exec(await page.text()) ?? [];
  const compressed = await ask(script ?? "", { "accept-encoding": "br" });
  expect(compressed.headers.get("content-encoding")).toBe("br");
  expect(compressed.headers.get("cache-control")).toBe("public, max-age=31536000, immutable");
  expect(compressed.headers.get("content-type")).toBe("text/javascript; charset=utf-8");
  const theme = await ask("/theme.css");
  expect(theme.headers.get("cache-control")).toBe("no-cache");
  const again = await ask("/theme.css", { "if-none-match": theme.headers.get("etag") ?? "" });
  expect(again.status).toBe(304);
  expect((await ask("/nothing.js", { accept: "text/html" })).status).toBe(404);
  expect((await ask("/api/v1/nothing", { accept: "text/html" })).headers.get("content-type")).toBe(
    "application/problem+json",
  );
});
