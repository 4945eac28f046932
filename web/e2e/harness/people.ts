/** Accounts, and people who are scripts: over HTTP, and over TCP with JSON bodies where it has to be fast. */
import { connect, type Socket } from "node:net";
import type { Server } from "./server";
import { until } from "./until";

export const PASSWORD = "correct horse battery";

export interface Account {
  readonly email: string;
  readonly nickname: string;
  readonly uid: string;
}

async function post(server: Server, path: string, body: unknown, token?: string): Promise<unknown> {
  const headers: Record<string, string> = { "content-type": "application/json" };
  if (token) headers.authorization = `Bearer ${token}`;
  const response = await fetch(`${server.origin}/api/v1${path}`, {
    method: "POST",
    headers,
    body: JSON.stringify(body),
  });
  const text = await response.text();
  if (!response.ok) throw new Error(`POST ${path}: ${response.status} ${text}`);
  return text === "" ? undefined : JSON.parse(text);
}

/** The newest code that was mailed to somebody. */
export async function codeFor(server: Server, email: string): Promise<string> {
  return until(`a code for ${email}`, async () => {
    const response = await fetch(`${server.origin}/dev/mailbox`, { headers: { accept: "application/json" } });
    const mails = (await response.json()) as { to: string; text: string }[];
    const mail = mails.find(({ to }) => to === email);
    return mail && /\b(\d{6})\b/.exec(mail.text)?.[1];
  });
}

let people = 0;

/** A new account with an address nobody has. */
export async function register(server: Server, nickname: string): Promise<Account> {
  people += 1;
  const email = `${nickname.toLowerCase().replace(/[^a-z]/g, "") || "p"}${people}@example.org`;
  await post(server, "/code", { email, purpose: "register" });
  const code = await codeFor(server, email);
  const { uid } = (await post(server, "/register", { email, code, password: PASSWORD, nickname })) as { uid: string };
  return { email, nickname, uid };
}

/** Ops of the protocol that scripts use: docs/protocol.md. */
const OPS = {
  heartbeat: 2,
  send: 4,
  createRoom: 5,
  auth: 7,
  requestHistory: 103,
  edit: 105,
  recall: 106,
  react: 107,
  markRead: 108,
  openDirect: 112,
  createGroup: 113,
  changeInfo: 114,
  silence: 120,
  joinRoom: 121,
  typing: 110,
  changeSettings: 111,
  apply: 131,
  listRequests: 132,
  answer: 133,
  changeProfile: 141,
} as const;

type Json = Record<string, unknown>;

/** Somebody who is connected over TCP and does what a test says. */
export class Peer {
  private readonly waiting = new Map<number, (body: Json, op: number) => void>();
  private seq = 0;
  private keys = 0;
  private inbound = Buffer.alloc(0);
  /** What was pushed, newest last. */
  readonly pushes: { op: number; body: Json }[] = [];
  /** Whether pushes are kept: of a hundred thousand they would fill the memory. */
  listens = true;
  private readonly beat: NodeJS.Timeout;

  private constructor(
    readonly account: Account,
    private readonly socket: Socket,
  ) {
    socket.on("data", (bytes: Buffer) => this.heard(bytes));
    socket.on("error", () => undefined);
    this.beat = setInterval(() => void this.request("heartbeat", {}).catch(() => undefined), 20_000);
  }

  /** Logs in as a script (device class `cli`, so that a browser's session is left alone). */
  static async connect(server: Server, account: Account): Promise<Peer> {
    const login = { email: account.email, password: PASSWORD, device_class: "cli", client: "skein" };
    const { token } = (await post(server, "/login", login)) as { token: string };
    const [host = "", port] = (server.address.tcp ?? "").split(":");
    const socket = connect(Number(port), host);
    const peer = new Peer(account, socket);
    await peer.request("auth", { token, major: 1, codec: "json", client: "e2e" });
    return peer;
  }

  static async register(server: Server, nickname: string): Promise<Peer> {
    return Peer.connect(server, await register(server, nickname));
  }

  async request(op: keyof typeof OPS, payload: Json): Promise<Json> {
    this.seq += 1;
    const body = Buffer.from(JSON.stringify(payload));
    const head = Buffer.alloc(16);
    head.writeInt32BE(16 + body.length, 0);
    head.writeInt16BE(16, 4);
    head.writeInt16BE(1, 6);
    head.writeInt32BE(OPS[op], 8);
    head.writeInt32BE(this.seq, 12);
    const { seq } = this;
    return new Promise((resolve, reject) => {
      this.waiting.set(seq, (answer, answerOp) => {
        if (answerOp === 100) reject(new Error(`${op}: ${JSON.stringify(answer)}`));
        else resolve(answer);
      });
      this.socket.write(Buffer.concat([head, body]));
    });
  }

  private heard(bytes: Buffer): void {
    this.inbound = Buffer.concat([this.inbound, bytes]);
    while (this.inbound.length >= 16) {
      const length = this.inbound.readInt32BE(0);
      if (this.inbound.length < length) return;
      const op = this.inbound.readInt32BE(8);
      const seq = this.inbound.readInt32BE(12);
      const text = this.inbound.subarray(16, length).toString("utf8");
      this.inbound = this.inbound.subarray(length);
      if (seq === 0 && !this.listens) continue;
      const body = text === "" ? {} : JSON.parse(text);
      const waiting = this.waiting.get(seq);
      this.waiting.delete(seq);
      if (seq === 0) this.pushes.push({ op, body });
      else waiting?.(body, op);
    }
  }

  /** Its seq. */
  async say(conversation: number, text: string, more: Json = {}): Promise<number> {
    const body = { kind: "text", segments: [{ text }] };
    return this.sendBody(conversation, body, more);
  }

  async sendBody(conversation: number, body: Json, more: Json = {}): Promise<number> {
    const answer = await this.request("send", { conversation, key: this.key(), body, ...more });
    return Number(answer.seq);
  }

  /** Many, in order, as fast as they go. */
  async sayAll(conversation: number, texts: readonly string[]): Promise<void> {
    for (let at = 0; at < texts.length; at += 32) {
      let after: string | undefined;
      const burst = texts.slice(at, at + 32).map((text) => {
        const key = this.key();
        const send = { conversation, key, body: { kind: "text", segments: [{ text }] }, ...(after ? { after } : {}) };
        after = key;
        return this.request("send", send);
      });
      await Promise.all(burst);
    }
  }

  key(): string {
    this.keys += 1;
    return `e2e-${this.account.uid}-${this.keys}-${Date.now()}`;
  }

  async direct(uid: string): Promise<number> {
    return idOf(await this.request("openDirect", { uid }));
  }

  async group(title: string, uids: readonly string[]): Promise<number> {
    return idOf(await this.request("createGroup", { key: this.key(), title, uids }));
  }

  async room(title: string): Promise<number> {
    return idOf(await this.request("createRoom", { key: this.key(), roomName: title }));
  }

  async join(conversation: number): Promise<void> {
    await this.request("joinRoom", { key: this.key(), conversation });
  }

  close(): void {
    clearInterval(this.beat);
    this.socket.destroy();
  }
}

function idOf(reply: Json): number {
  return Number((reply.conversation as Json).id);
}

/** Two who may write to each other. */
export async function befriend(a: Peer, b: Peer, greeting = "hi"): Promise<void> {
  const { request } = (await a.request("apply", { uid: b.account.uid, greeting })) as { request: { id: string } };
  await b.request("answer", { request: request.id, accept: true });
}
