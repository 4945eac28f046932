/** Accounts by HTTP. The browser keeps the session as a cookie that no script can read. */
import { type Device, EngineError, type Me } from "../api";
import { offline, timedOut } from "../errors";

const REQUEST_MS = 15_000;

interface ProfileJson {
  uid: string;
  nickname: string;
  signature: string;
  email?: string;
  findable_by_email?: boolean;
}

interface DeviceJson {
  session: string;
  device_class: Device["deviceClass"];
  client: string;
  created_at_ms: string;
  seen_at_ms: string;
  current: boolean;
}

export class Gate {
  /** `base` is the origin of the server, without a slash at its end. */
  constructor(private readonly base: string) {}

  async requestCode(email: string, purpose: "register" | "reset"): Promise<{ mailbox?: string }> {
    await this.call("POST", "/code", { email, purpose });
    return (await this.hasMailbox()) ? { mailbox: "/dev/mailbox" } : {};
  }

  async register(email: string, code: string, password: string, nickname: string): Promise<void> {
    await this.call("POST", "/register", { email, code, password, nickname });
  }

  async logIn(
    email: string,
    password: string,
    client: string,
  ): Promise<{ uid: number; nickname: string; session: string }> {
    const body = { email, password, client, device_class: "web", cookie: true };
    const answer = (await this.call("POST", "/login", body)) as { uid: string; nickname: string; session: string };
    return { uid: Number(answer.uid), nickname: answer.nickname, session: answer.session };
  }

  async resetPassword(email: string, code: string, password: string): Promise<void> {
    await this.call("POST", "/password/reset", { email, code, password });
  }

  async logOut(): Promise<void> {
    await this.call("POST", "/logout");
  }

  async logOutEverywhere(): Promise<void> {
    await this.call("POST", "/logout/everywhere");
  }

  async devices(): Promise<Device[]> {
    const { devices } = (await this.call("GET", "/devices")) as { devices: DeviceJson[] };
    return devices.map((device) => ({
      session: device.session,
      deviceClass: device.device_class,
      client: device.client,
      createdAtMs: Number(device.created_at_ms),
      seenAtMs: Number(device.seen_at_ms),
      current: device.current,
    }));
  }

  async endDevice(session: string): Promise<void> {
    await this.call("DELETE", `/devices/${encodeURIComponent(session)}`);
  }

  /** Renews the cookie, too. */
  async profile(): Promise<Omit<Me, "session">> {
    const profile = (await this.call("GET", "/profile")) as ProfileJson;
    return {
      uid: Number(profile.uid),
      nickname: profile.nickname,
      signature: profile.signature,
      email: profile.email ?? "",
      findableByEmail: profile.findable_by_email ?? false,
    };
  }

  private async hasMailbox(): Promise<boolean> {
    const shown = await this.fetch("/dev/mailbox", { headers: { accept: "application/json" } }).catch(() => undefined);
    return shown?.ok === true;
  }

  private async call(method: string, path: string, body?: unknown): Promise<unknown> {
    const init: RequestInit = { method, credentials: "same-origin", cache: "no-store" };
    if (body !== undefined)
      Object.assign(init, { body: JSON.stringify(body), headers: { "content-type": "application/json" } });
    const response = await this.fetch(`/api/v1${path}`, init);
    if (response.ok) return response.status === 204 ? undefined : response.json();
    throw await problem(response);
  }

  private async fetch(path: string, init: RequestInit): Promise<Response> {
    const abort = new AbortController();
    const deadline = setTimeout(() => abort.abort(), REQUEST_MS);
    try {
      return await fetch(this.base + path, { ...init, signal: abort.signal });
    } catch {
      throw abort.signal.aborted ? timedOut() : offline();
    } finally {
      clearTimeout(deadline);
    }
  }
}

async function problem(response: Response): Promise<EngineError> {
  const text = await response.text().catch(() => "");
  try {
    const { code, detail, title, retry_after_ms: wait, trace } = JSON.parse(text);
    if (typeof code === "string")
      return new EngineError(code, String(detail ?? title ?? ""), Number(wait) || undefined, trace);
  } catch {
    // Not of the server itself: a proxy in front of it.
  }
  return new EngineError("unavailable", `HTTP status ${response.status}`);
}
