/** What the build does besides Vite: the folder that stays, files compressed in advance, the service worker. */
import { createHash } from "node:crypto";
import { readdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { brotliCompressSync, constants, gzipSync } from "node:zlib";
import type { Plugin } from "vite";

const COMPRESSED = /\.(?:js|css|html|svg|json|webmanifest)$/;
const COMPRESSED_MIN = 512;
const SERVICE_WORKER = fileURLToPath(new URL("./service-worker.js", import.meta.url));

/** All files below a folder, as paths with `/`, without hidden ones. */
export function filesOf(folder: string, prefix = ""): string[] {
  const names = readdirSync(join(folder, prefix)).filter((name) => !name.startsWith("."));
  return names.flatMap((name) => {
    const path = prefix + name;
    return statSync(join(folder, path)).isDirectory() ? filesOf(folder, `${path}/`) : [path];
  });
}

export function finish(outDir: string): Plugin {
  return {
    name: "skein:finish",
    apply: "build",
    // Not Vite's own emptying: the folder's .gitignore stays.
    buildStart() {
      for (const name of readdirSync(outDir))
        if (name !== ".gitignore") rmSync(join(outDir, name), { recursive: true });
    },
    closeBundle() {
      writeServiceWorker(outDir);
      for (const path of filesOf(outDir)) if (COMPRESSED.test(path)) compress(join(outDir, path));
    },
  };
}

/** It keeps what the build made, under a name that changes when any of it does. */
function writeServiceWorker(outDir: string): void {
  const paths = filesOf(outDir).sort();
  const hash = createHash("sha256");
  for (const path of paths) hash.update(path).update(readFileSync(join(outDir, path)));
  const files = paths.map((path) => (path === "index.html" ? "/" : `/${path}`));
  const source = readFileSync(SERVICE_WORKER, "utf8")
    .replace("__BUILD__", hash.digest("hex").slice(0, 16))
    .replace("__FILES__", JSON.stringify(files));
  writeFileSync(join(outDir, "sw.js"), source);
}

function compress(path: string): void {
  const bytes = readFileSync(path);
  if (bytes.length < COMPRESSED_MIN) return;
  const params = { [constants.BROTLI_PARAM_QUALITY]: 11, [constants.BROTLI_PARAM_SIZE_HINT]: bytes.length };
  writeFileSync(`${path}.br`, brotliCompressSync(bytes, { params }));
  writeFileSync(`${path}.gz`, gzipSync(bytes, { level: 9 }));
}
