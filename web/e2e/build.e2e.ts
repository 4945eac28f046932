/** What the build promises: size, and nothing that the policy forbids. */
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { gzipSync } from "node:zlib";
import { expect, test } from "vitest";
import { filesOf } from "../build/plugins";
import { CLIENT } from "./harness/build";

const SCRIPT_MAX = 150 * 1024;
const read = (path: string) => readFileSync(join(CLIENT, path));

test("the script that a first visit loads is at most 150 KiB compressed", () => {
  const page = read("index.html").toString();
  const named = [...page.matchAll(/(?:src|href)="\/([^"]+\.js)"/g)].map(([, path]) => path ?? "");
  const workers = filesOf(CLIENT).filter((path) => /^assets\/worker-.*\.js$/.test(path));
  expect(workers).toHaveLength(1);
  const sizes = [...named, ...workers].map((path) => [path, gzipSync(read(path), { level: 9 }).length] as const);
  const total = sizes.reduce((sum, [, size]) => sum + size, 0);
  console.info(`initial script, gzip: ${total} bytes\n${sizes.map(([path, size]) => `  ${size}  ${path}`).join("\n")}`);
  expect(total).toBeLessThanOrEqual(SCRIPT_MAX);
});

test("pages have no inline script or style, and nothing comes from elsewhere", () => {
  const page = read("index.html").toString();
  expect(page).not.toMatch(/<script(?![^>]*\ssrc=)[^>]*>|<style|\sstyle=|\son[a-z]+=/i);
  expect(page).not.toMatch(/(?:src|href)="(?:https?:)?\/\//);
});

test("large files are there compressed, and the service worker knows all others", () => {
  const files = filesOf(CLIENT);
  for (const path of files.filter((path) => path.endsWith(".js") && read(path).length > 1_000)) {
    expect(existsSync(join(CLIENT, `${path}.br`)) && existsSync(join(CLIENT, `${path}.gz`)), path).toBe(true);
  }
  const worker = read("sw.js").toString();
  const kept: string[] = JSON.parse(/const FILES = (\[.*\]);/.exec(worker)?.[1] ?? "[]");
  const expected = files.filter((path) => !/\.(?:br|gz)$/.test(path) && path !== "sw.js");
  expect(kept.sort()).toEqual(expected.map((path) => (path === "index.html" ? "/" : `/${path}`)).sort());
});
