import { mount } from "svelte";
import { startEngine } from "./engine";
import App from "./ui/App.svelte";

const target = document.getElementById("app");
if (!target) throw new Error("index.html has no #app");
mount(App, { target, props: { engine: startEngine() } });
