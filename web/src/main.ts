import { mount } from "svelte";
import { startEngine } from "./engine";
import App from "./ui/App.svelte";

const target = document.getElementById("app");
if (!target) throw new Error("index.html has no #app");
mount(App, { target, props: { engine: startEngine() } });

// Opens the page without a network. Browsers that withhold service workers do without (`Engine.missing` says so).
if (import.meta.env.PROD && "serviceWorker" in navigator) {
  navigator.serviceWorker.register("/sw.js").catch((error: unknown) => console.warn("no offline start", error));
}
