import { defineConfig } from "vitest/config";

/** Browser tests: one after the other, since each has a server and browsers of its own. */
export default defineConfig({
  test: {
    include: ["e2e/**/*.e2e.ts"],
    environment: "node",
    fileParallelism: false,
    testTimeout: 120_000,
    hookTimeout: 120_000,
    globalSetup: "e2e/harness/build.ts",
  },
});
