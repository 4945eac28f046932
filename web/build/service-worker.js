// Opens the page without a network. Keeps the files of one build, all of them or none; everything else is the network's.
const BUILD = "__BUILD__";
const FILES = __FILES__;
const CACHE = `skein-${BUILD}`;
/** A page that does not come from the network in this time comes from what is kept. */
const PAGE_MS = 2_000;
const INTERFACES = /^\/(?:api|dev|health|logic|ws)(?:\/|$)/;

addEventListener("install", (event) => {
  const requests = FILES.map((file) => new Request(file, { cache: "no-cache" }));
  event.waitUntil(
    caches
      .open(CACHE)
      .then((cache) => cache.addAll(requests))
      .then(() => self.skipWaiting()),
  );
});

addEventListener("activate", (event) => {
  const forget = async () => {
    const names = await caches.keys();
    await Promise.all(
      names.filter((name) => name.startsWith("skein-") && name !== CACHE).map((name) => caches.delete(name)),
    );
    await self.clients.claim();
  };
  event.waitUntil(forget());
});

addEventListener("fetch", (event) => {
  const { request } = event;
  const url = new URL(request.url);
  if (request.method !== "GET" || url.origin !== location.origin || INTERFACES.test(url.pathname)) return;
  event.respondWith(request.mode === "navigate" ? page(request) : file(request));
});

async function page(request) {
  const kept = await caches.match("/");
  const fetched = fetch(request);
  if (!kept) return fetched;
  const late = new Promise((resolve) => setTimeout(resolve, PAGE_MS, kept.clone()));
  return Promise.race([fetched.catch(() => kept), late]);
}

/** Files with a hash in their names never change; the others (a theme, icons) may have been replaced on the server. */
async function file(request) {
  const cache = await caches.open(CACHE);
  const kept = await cache.match(request);
  if (!kept) return fetch(request);
  return new URL(request.url).pathname.startsWith("/assets/") ? kept : fetch(request).catch(() => kept);
}
