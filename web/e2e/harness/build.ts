/** Builds what the tests open: the client (unless SKEIN_WEB_BUILT says it is built), and a page with the engine alone. */
import { fileURLToPath } from "node:url";
import { build } from "vite";

const root = (name: string) => fileURLToPath(new URL(name, import.meta.url));

export const CLIENT = process.env.SKEIN_WEB_DIST ?? root("../../dist");
export const ENGINE = process.env.SKEIN_WEB_DIST ? `${CLIENT}-engine` : root("../../node_modules/.cache/e2e-engine");

export async function setup(): Promise<void> {
  // Vitest says `test`, and Vite would build what is for developing.
  process.env.NODE_ENV = "production";
  const quiet = { logLevel: "warn" } as const;
  if (!process.env.SKEIN_WEB_BUILT && !process.env.ENGINE_ONLY) await build({ ...quiet, root: root("../..") });
  await build({
    ...quiet,
    root: root("../page"),
    configFile: false,
    build: {
      outDir: ENGINE,
      emptyOutDir: true,
      target: "es2022",
      assetsInlineLimit: 0,
      modulePreload: { polyfill: false },
    },
    worker: { format: "es" },
  });
}
