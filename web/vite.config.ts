import { fileURLToPath } from "node:url";
import { svelte } from "@sveltejs/vite-plugin-svelte";
import { defineConfig } from "vitest/config";
import { finish } from "./build/plugins.ts";

/** The server that `npm run dev` speaks to. */
const server = process.env.SKEIN ?? "http://localhost:8080";
/** Another folder, which must exist, lets two test runs at a time each have a build of their own. */
const outDir = process.env.SKEIN_WEB_DIST ?? fileURLToPath(new URL("./dist", import.meta.url));

export default defineConfig({
  plugins: [svelte(), finish(outDir)],
  build: {
    outDir,
    emptyOutDir: false,
    target: "es2022",
    // No inline script or style anywhere: the Content-Security-Policy allows none.
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
  },
  worker: { format: "es" },
  server: {
    proxy: {
      // The page's own origin goes along: the server takes cookies from its own pages only.
      "/api": { target: server, changeOrigin: true, headers: { origin: server } },
      "/dev": { target: server, changeOrigin: true },
      "/ws": { target: server, changeOrigin: true, ws: true, headers: { origin: server } },
    },
  },
  test: { include: ["tests/**/*.test.ts"], environment: "node" },
});
