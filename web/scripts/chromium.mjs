// Sees to it that there is a Chromium for the browser tests: on Debian and its kin by apt-get, which needs root.
import { execFileSync } from "node:child_process";
import { existsSync } from "node:fs";

const PATHS = [process.env.CHROMIUM, "/usr/bin/chromium", "/usr/bin/chromium-browser", "/usr/bin/google-chrome"];

if (PATHS.some((path) => path && existsSync(path))) process.exit(0);
if (!existsSync("/usr/bin/apt-get") || process.getuid?.() !== 0) {
  console.error(
    "Chromium is missing: install it (Debian: `sudo apt-get install chromium fonts-noto-cjk`), or name one in CHROMIUM.",
  );
  process.exit(1);
}
const apt = (...words) =>
  execFileSync("apt-get", words, { stdio: "inherit", env: { ...process.env, DEBIAN_FRONTEND: "noninteractive" } });
apt("update");
apt("install", "-y", "--no-install-recommends", "chromium", "fonts-noto-cjk", "fonts-noto-color-emoji");
