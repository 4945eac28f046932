import { svelte } from "@sveltejs/vite-plugin-svelte";
import { defineConfig } from "vitest/config";

/** The server that `npm run dev` speaks to. */
const server = process.env.SKEIN ?? "http://localhost:8080";

export default defineConfig({
  plugins: [svelte()],
  // No inline script or style anywhere: the Content-Security-Policy allows none.
  build: { target: "es2022", assetsInlineLimit: 0, modulePreload: { polyfill: false } },
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
