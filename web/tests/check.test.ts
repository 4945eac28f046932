import { execFile } from "node:child_process";
import { mkdirSync, rmSync, writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { afterAll, expect, test } from "vitest";

/** Below the packages, so that they are found; hidden, so that nobody else looks at it. */
const FOLDER = fileURLToPath(new URL("./.planted/", import.meta.url));
const CHECK = fileURLToPath(new URL("../node_modules/svelte-check/bin/svelte-check", import.meta.url));

afterAll(() => rmSync(FOLDER, { recursive: true, force: true }));

/** What svelte-check says of one component in the strictness of the project. */
function checked(script: string): Promise<string> {
  mkdirSync(FOLDER, { recursive: true });
  writeFileSync(`${FOLDER}tsconfig.json`, JSON.stringify({ extends: "../../tsconfig.json", include: ["*.svelte"] }));
  writeFileSync(`${FOLDER}Planted.svelte`, `<script lang="ts">\n${script}\n</script>\n`);
  const args = [CHECK, "--workspace", FOLDER, "--tsconfig", `${FOLDER}tsconfig.json`, "--output", "machine"];
  return new Promise((resolve) => {
    execFile(process.execPath, args, (_, output) => resolve(output));
  });
}

// A checker that sees nothing says that all is well.
test("the type check finds a planted error, and nothing where there is none", async () => {
  expect(await checked('const count: number = "one";\nvoid count;')).toContain("not assignable to type 'number'");
  expect(await checked("const count: number = 1;\nvoid count;")).toContain("0 ERRORS");
}, 120_000);
