/** Somebody goes through the screens; each is looked at by axe, and pictured when UPDATE_IMAGES is set. */
import { execFileSync } from "node:child_process";
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { fileURLToPath } from "node:url";
import type { BrowserContextOptions, Locator, Page } from "playwright-core";
import { nameOf, type Screen, type Theme, type Tongue } from "./screens";

const IMAGES = fileURLToPath(new URL("../../../docs/images/web/", import.meta.url));
const axe = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");
/** What every clock in a picture shows. */
const PICTURED_AT = new Date(2026, 4, 16, 9, 41).getTime();
const ACCENTS = ["blue", "violet", "rose", "amber", "green"];

export const looking = (theme: Theme, tongue: Tongue, more: BrowserContextOptions): BrowserContextOptions => ({
  locale: tongue === "zh" ? "zh-CN" : "en-GB",
  colorScheme: theme,
  ...more,
});

/** From now on all times that the page writes are one and the same, so that a picture is the same each time. */
export async function stopClocks(page: Page): Promise<void> {
  if (!process.env.UPDATE_IMAGES) return;
  await page.addInitScript((at) => {
    const { format } = Object.getOwnPropertyDescriptors(Intl.DateTimeFormat.prototype);
    Object.defineProperty(Intl.DateTimeFormat.prototype, "format", {
      get(this: Intl.DateTimeFormat) {
        const real = format.get?.call(this) as (at: number) => string;
        return () => real(at);
      },
    });
  }, PICTURED_AT);
  await page.reload();
}

export class Tour {
  /** What axe found. */
  readonly found: string[] = [];
  readonly visited = new Set<Screen>();

  constructor(
    readonly page: Page,
    readonly theme: Theme,
    readonly tongue: Tongue,
  ) {}

  /** `sign`: what comes and goes, and is to be seen in the picture. */
  async at(screen: Screen, sign?: Locator): Promise<void> {
    this.visited.add(screen);
    await sign?.waitFor();
    await this.look(screen);
    if (process.env.UPDATE_IMAGES) await this.picture(screen, sign);
  }

  async inEachColour(screen: Screen): Promise<void> {
    for (const accent of ACCENTS) {
      await this.page.evaluate((chosen) => {
        document.documentElement.dataset.accent = chosen;
      }, accent);
      await this.look(`${screen} in ${accent}`);
    }
  }

  private async look(where: string): Promise<void> {
    await this.page.evaluate(stillness);
    for (const spill of await this.page.evaluate(spills))
      this.found.push(`${this.theme} ${where}: ${spill} is cut off`);
    // Roles and labels were looked at in light, and the colours of dark in English.
    if (this.tongue === "zh" && this.theme === "dark") return;
    for (const violation of await violations(this.page)) this.found.push(`${this.theme} ${where}: ${violation}`);
  }

  private async picture(screen: Screen, sign?: Locator): Promise<void> {
    mkdirSync(IMAGES, { recursive: true });
    await this.page.mouse.move(2, 2);
    const file = IMAGES + nameOf(screen, this.theme, this.tongue);
    let shot: Buffer;
    do {
      await sign?.waitFor();
      shot = await this.page.screenshot();
    } while (sign && !(await sign.isVisible()));
    writeFileSync(file, shot);
    execFileSync("pngquant", ["--force", "--skip-if-larger", "--strip", "--output", file, "64", file]);
  }
}

/** What slides in has arrived, but for what never ends; runs in the page. */
async function stillness(): Promise<void> {
  const ending = document.getAnimations().filter((one) => Number.isFinite(one.effect?.getComputedTiming().endTime));
  await Promise.allSettled(ending.map((one) => one.finished));
}

/** What can be used and reaches over an edge of the window; runs in the page. */
function spills(): string[] {
  return [...document.querySelectorAll<HTMLElement>("input, textarea, button, a")]
    .filter((one) => one.checkVisibility({ visibilityProperty: true }) && !one.closest(".sr-only"))
    .filter((one) => {
      const { left, right, width } = one.getBoundingClientRect();
      return width > 0 && (left < -1 || right > innerWidth + 1);
    })
    .map((one) => one.outerHTML.slice(0, 120));
}

async function violations(page: Page): Promise<string[]> {
  if (!(await page.evaluate(() => "axe" in window))) await page.evaluate(axe);
  return page.evaluate(async () => {
    const { axe } = window as unknown as {
      axe: {
        run(
          options: object,
        ): Promise<{ violations: { id: string; nodes: { html: string; failureSummary: string }[] }[] }>;
      };
    };
    const found = await axe.run({ runOnly: ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "best-practice"] });
    return found.violations.flatMap(({ id, nodes }) =>
      nodes.map(({ html, failureSummary }) => `${id}: ${html.slice(0, 160)} — ${failureSummary.slice(0, 220)}`),
    );
  });
}
