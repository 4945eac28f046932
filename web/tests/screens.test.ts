/** The pictures of the docs: all are there, small enough together, and shown by the pages. */
import { readdirSync, readFileSync, statSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { expect, test } from "vitest";
import { nameOf, pageOf, SCREENS, type Screen, THEMES, TONGUES } from "../e2e/ui/screens";

const DOCS = fileURLToPath(new URL("../../docs/", import.meta.url));
const IMAGES = `${DOCS}images/web/`;
const BYTES_MAX = 6_000_000;

test("each screen is pictured in both themes and languages, and nothing else is kept", () => {
  const wanted = (Object.keys(SCREENS) as Screen[]).flatMap((screen) =>
    THEMES.flatMap((theme) => TONGUES.map((tongue) => nameOf(screen, theme, tongue))),
  );
  expect(readdirSync(IMAGES).sort()).toEqual(wanted.sort());
  const bytes = wanted.reduce((sum, name) => sum + statSync(IMAGES + name).size, 0);
  expect(bytes).toBeLessThan(BYTES_MAX);
});

test("the pages that show them are as `npm run screens` writes them", () => {
  expect(readFileSync(`${DOCS}screens.md`, "utf8")).toBe(pageOf("en"));
  expect(readFileSync(`${DOCS}screens.zh-CN.md`, "utf8")).toBe(pageOf("zh"));
});
