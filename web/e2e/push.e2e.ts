/** The page of the push guide, in a browser, against a real server. */
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";
import type { Browser } from "playwright-core";
import { afterAll, beforeAll, expect, test } from "vitest";
import { launch } from "./harness/browser";
import { Server } from "./harness/server";

const PAGE = fileURLToPath(new URL("../../examples/push/page.html", import.meta.url));
const GOIM = ["on=true", "trust=true", "websocket=127.0.0.1:0"].map((setting) => `compat.goim.${setting}`);

let server: Server;
let browser: Browser;

beforeAll(async () => {
  server = await Server.start(GOIM);
  browser = await launch();
});

afterAll(async () => {
  await browser?.close();
  await server?.stop();
});

async function push(body: object): Promise<void> {
  const key = (await readFile(join(server.data, "push-api.key"), "utf8")).trim();
  const headers = { authorization: `Bearer ${key}`, "content-type": "application/json" };
  const url = `http://${server.address.push}/api/v1/push`;
  const answer = await fetch(url, { method: "POST", headers, body: JSON.stringify(body) });
  expect(answer.status).toBe(200);
}

test("the page of 30 lines shows what is pushed to its room and to everyone", async () => {
  expect((await readFile(PAGE, "utf8")).trimEnd().split("\n").length).toBeLessThanOrEqual(30);
  const page = await browser.newPage();
  const query = new URLSearchParams({ ws: `ws://${server.address.goim_websocket}/sub`, accepts: "1000,1001" });
  await page.goto(`${pathToFileURL(PAGE)}?${query}`);
  const shown = page.locator("#pushes li");
  await shown.getByText("joined").waitFor();
  await push({ to: { room: "live://1000" }, operation: 1000, text: "hello 房间" });
  await push({ to: { all: {} }, operation: 1002, text: "not accepted" });
  await push({ to: { all: {} }, operation: 1001, body: { price: 42 } });
  await page.getByText('{"price":42}').waitFor();
  expect(await shown.allTextContents()).toEqual(["joined", "1000 hello 房间", '1001 {"price":42}']);
});
