/** Tells a person who is not looking: desktop notifications and a sound, as they chose under "Me". */
import type { Engine, Signal } from "../../engine/api";
import { errorText, t } from "../../i18n/index.svelte";
import { isolate } from "../logic/names";
import { asText } from "../logic/text";
import { tell } from "../state/ask.svelte";
import { preferences } from "../state/preferences.svelte";
import { go, openConversation } from "../state/route.svelte";

const CHIME_PAUSE_MS = 1500;
const BODY_MAX = 140;
/** Longer a notification does not wait for a name. */
const NAME_MS = 1_000;

export function notifyPermission(): NotificationPermission | "missing" {
  return typeof Notification === "undefined" || !isSecureContext ? "missing" : Notification.permission;
}

/** Listens to the engine's signals until the returned function is called. */
export function announce(engine: Engine): () => void {
  const stops = [engine.onSignal((signal) => handle(engine, signal)), warnWhenFull(engine)];
  return () => {
    for (const stop of stops) stop();
  };
}

/** Once: the status line goes on saying it. */
function warnWhenFull(engine: Engine): () => void {
  let isTold = false;
  return engine.missing.subscribe((missing) => {
    if (isTold || !missing.includes("storage_full")) return;
    isTold = true;
    tell(t().status.full, true);
  });
}

/** What to call somebody whom this tab may meet for the first time. */
function nameOf(engine: Engine, uid: number): Promise<string> {
  const person = engine.people.get(uid);
  return new Promise((resolve) => {
    const timer = setTimeout(() => resolve(person.value.name), NAME_MS);
    const stop = person.subscribe(({ name, nickname, remark }) => {
      if (nickname === "" && remark === "") return;
      clearTimeout(timer);
      resolve(name);
      queueMicrotask(() => stop());
    });
  });
}

type MessageSignal = Extract<Signal, { kind: "message" }>;

async function showMessage(engine: Engine, { conversation, item }: MessageSignal): Promise<void> {
  const mentioned = item.segments.flatMap((segment) => (segment.kind === "mention" && segment.uid ? segment.uid : []));
  const uids = [item.author, ...mentioned];
  const names = await Promise.all(uids.map((uid) => nameOf(engine, uid)));
  const called = new Map(uids.map((uid, at) => [uid, names[at] ?? ""]));
  const text = asText(item.segments, (uid) => called.get(uid) ?? t().chat.mentionAll);
  show(names[0] ?? "", text, `conversation ${conversation}`, () => go("chats", conversation));
}

function handle(engine: Engine, signal: Signal): void {
  switch (signal.kind) {
    case "message": {
      if (isLooking() && openConversation() === signal.conversation) return;
      chime();
      void showMessage(engine, signal);
      return;
    }
    case "friend_request": {
      chime();
      const text = t().notify.request(isolate(signal.request.nickname));
      if (isLooking()) tell(text);
      else show(text, signal.request.greeting, "requests", () => go("contacts", "requests"));
      return;
    }
    case "friend_accepted":
      void nameOf(engine, signal.uid).then((name) => tell(t().notify.accepted(isolate(name))));
      return;
    case "notice":
      chime();
      tell(`${signal.title} ${signal.text}`.trim());
      show(signal.title || t().product.name, signal.text, "notice", () => {});
      return;
    case "send_failed":
      if (openConversation() !== signal.conversation)
        tell(t().common.labelled(t().chat.failed, errorText(signal.code)), true);
  }
}

const isLooking = () => document.visibilityState === "visible" && document.hasFocus();

function show(title: string, body: string, tag: string, onclick: () => void): void {
  if (!preferences.notify || isLooking() || notifyPermission() !== "granted") return;
  const { preview } = preferences;
  try {
    const notification = new Notification(preview ? title : t().notify.title, {
      body: preview ? body.slice(0, BODY_MAX) : t().notify.fresh(1),
      tag,
      icon: "/icons/skein-192.png",
    });
    notification.onclick = () => {
      window.focus();
      notification.close();
      onclick();
    };
  } catch {
    // phones allow notifications from a service worker only; the badge and the sound remain
  }
}

let audio: AudioContext | undefined;
let chimedAtMs = Number.NEGATIVE_INFINITY;

/** Two soft tones, made here: no file to load. Not more often than every 1.5 s. */
export function chime(): void {
  if (!preferences.sound || performance.now() - chimedAtMs < CHIME_PAUSE_MS) return;
  // Browsers let a page sound only after it was used; before that a context would stay suspended.
  if (navigator.userActivation && !navigator.userActivation.hasBeenActive) return;
  chimedAtMs = performance.now();
  try {
    audio ??= new AudioContext();
    tone(audio, 660, 0);
    tone(audio, 880, 0.09);
  } catch {
    // no sound device
  }
}

function tone(context: AudioContext, hertz: number, delay: number): void {
  const from = context.currentTime + delay;
  const oscillator = context.createOscillator();
  const gain = context.createGain();
  oscillator.frequency.value = hertz;
  gain.gain.setValueAtTime(0, from);
  gain.gain.linearRampToValueAtTime(0.07, from + 0.015);
  gain.gain.exponentialRampToValueAtTime(0.0001, from + 0.28);
  oscillator.connect(gain).connect(context.destination);
  oscillator.start(from);
  oscillator.stop(from + 0.3);
}
