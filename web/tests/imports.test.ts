/** Data flows one way: files of the client need each other in one direction only, and screens see the engine by its interface. */
import { existsSync, readdirSync, readFileSync, statSync } from "node:fs";
import { dirname, join, relative } from "node:path";
import { fileURLToPath } from "node:url";
import { expect, test } from "vitest";

const SRC = fileURLToPath(new URL("../src", import.meta.url));
/** Imports and exports of a file, types too; and workers, which are named by their address. */
const NEEDS = /(?:\bfrom|\bimport|\bimport\s*\(|\bnew URL\()\s*["'](\.{1,2}\/[^"']+)["']/g;

type Needs = ReadonlyMap<string, readonly string[]>;

function needsOf(folder: string): Needs {
  const files = readdirSync(folder, { recursive: true, encoding: "utf8" })
    .filter((name) => /\.(ts|svelte)$/.test(name))
    .map((name) => join(folder, name));
  return new Map(files.map((file) => [named(folder, file), needed(file).map((need) => named(folder, need))]));
}

const named = (folder: string, file: string) => relative(folder, file).replaceAll("\\", "/");

function needed(file: string): string[] {
  const places = [...readFileSync(file, "utf8").matchAll(NEEDS)].map(([, path = ""]) => join(dirname(file), path));
  return places.flatMap((place) => {
    const found = ["", ".ts", ".svelte", "/index.ts"].map((end) => place + end).find(isFile);
    return found ? [found] : [];
  });
}

const isFile = (path: string) => existsSync(path) && statSync(path).isFile();

/** The first way from a file back to itself, if there is one. */
function circleIn(needs: Needs): readonly string[] | undefined {
  const done = new Set<string>();
  const look = (file: string, way: readonly string[]): readonly string[] | undefined => {
    const at = way.indexOf(file);
    if (at >= 0) return [...way.slice(at), file];
    if (done.has(file)) return undefined;
    for (const next of needs.get(file) ?? []) {
      const circle = look(next, [...way, file]);
      if (circle) return circle;
    }
    done.add(file);
    return undefined;
  };
  for (const file of needs.keys()) {
    const circle = look(file, []);
    if (circle) return circle;
  }
  return undefined;
}

const needs = needsOf(SRC);

test("no file needs one that needs it, be it around corners", () => {
  expect(needs.size).toBeGreaterThan(100);
  expect(needs.get("engine/worker.ts")).toContain("engine/hub/hub.ts");
  expect(needs.get("engine/client/link.ts")).toContain("engine/worker.ts");
  expect(circleIn(needs)).toBeUndefined();
});

test("a circle would be found", () => {
  const planted = [...needs, ["engine/hub/port.ts", ["engine/hub/hub.ts"]] as const];
  expect(circleIn(new Map(planted))).toEqual(expect.arrayContaining(["engine/hub/hub.ts", "engine/hub/port.ts"]));
});

test("screens see of the engine its interface, and the engine nothing of them", () => {
  for (const [file, all] of needs)
    for (const need of all) {
      if (/^(ui|i18n)\//.test(file) && need.startsWith("engine/"))
        expect(`${file}: ${need}`).toBe(`${file}: engine/api.ts`);
      if (file.startsWith("engine/")) expect(need).toMatch(/^engine\//);
    }
});
