/**
 * Stands before the server as a network does: serves the built page, passes everything else on, counts connections, and
 * cuts them when told to.
 */
import { existsSync, readFileSync, statSync } from "node:fs";
import { createServer, type Server as HttpServer, type IncomingMessage, request, type ServerResponse } from "node:http";
import { type AddressInfo, connect, type Socket } from "node:net";
import { extname, join, normalize } from "node:path";
import { Transform } from "node:stream";
import { fileURLToPath } from "node:url";

const POLICY = readFileSync(
  fileURLToPath(new URL("../../content-security-policy.txt", import.meta.url)),
  "utf8",
).trim();
const TYPES: Record<string, string> = {
  ".html": "text/html; charset=utf-8",
  ".js": "text/javascript; charset=utf-8",
  ".css": "text/css; charset=utf-8",
  ".svg": "image/svg+xml",
  ".png": "image/png",
  ".json": "application/json",
  ".webmanifest": "application/manifest+json",
};

export class Front {
  /** Open WebSocket connections. */
  readonly live = new Set<Socket>();
  /** WebSocket connections ever made. */
  made = 0;
  /** Whether a text message of the server gets lost on its way. */
  loses: ((text: string) => boolean) | undefined;
  /** What a text message of the server becomes on its way. */
  rewrites: ((text: string) => string) | undefined;
  /** What a served file becomes. */
  serves: ((path: string, body: Buffer) => string | Buffer) | undefined;
  /** Pages and requests pass, long connections do not. */
  refusesUpgrades = false;
  private readonly sockets = new Set<Socket>();
  private isDown = false;
  private readonly http: HttpServer;

  private constructor(
    private readonly pages: string,
    private readonly server: string,
  ) {
    this.http = createServer((incoming, outgoing) => this.answer(incoming, outgoing));
    this.http.on("upgrade", (incoming, socket: Socket, head) => this.upgrade(incoming, socket, head));
    this.http.on("connection", (socket) => {
      if (this.isDown) return socket.destroy();
      this.sockets.add(socket);
      socket.on("close", () => this.sockets.delete(socket));
    });
  }

  /** `pages`: a folder of built files; `server`: `host:port` of the real one. */
  static async start(pages: string, server: string, host = "127.0.0.1"): Promise<Front> {
    const front = new Front(pages, server);
    await new Promise<void>((resolve) => front.http.listen(0, host, resolve));
    return front;
  }

  get origin(): string {
    return `http://localhost:${(this.http.address() as AddressInfo).port}`;
  }

  /** Ends all long connections, as a lost network does; new ones are let through. */
  cut(): void {
    for (const socket of this.live) socket.destroy();
  }

  /** Nobody gets through until {@link up}. */
  down(): void {
    this.isDown = true;
    for (const socket of [...this.live, ...this.sockets]) socket.destroy();
  }

  up(): void {
    this.isDown = false;
  }

  async stop(): Promise<void> {
    this.down();
    await new Promise((resolve) => this.http.close(resolve));
  }

  private answer(incoming: IncomingMessage, outgoing: ServerResponse): void {
    const path = new URL(incoming.url ?? "/", "http://front").pathname;
    const isPage = !/^\/(?:api|dev|health)\b/.test(path);
    if (isPage && (incoming.method === "GET" || incoming.method === "HEAD")) this.page(path, outgoing);
    else this.pass(incoming, outgoing);
  }

  private page(path: string, outgoing: ServerResponse): void {
    const named = join(this.pages, normalize(path));
    const isFile = existsSync(named) && statSync(named).isFile();
    if (!isFile && extname(path) !== "") return void outgoing.writeHead(404).end();
    const file = isFile ? named : join(this.pages, "index.html");
    const type = TYPES[extname(file)] ?? "application/octet-stream";
    const headers = {
      "content-type": type,
      "content-security-policy": POLICY,
      "x-content-type-options": "nosniff",
      "cache-control": "no-cache",
    };
    const body = readFileSync(file);
    outgoing.writeHead(200, headers).end(this.serves?.(path, body) ?? body);
  }

  private pass(incoming: IncomingMessage, outgoing: ServerResponse): void {
    const [host, port] = this.server.split(":");
    const options = { host, port, method: incoming.method, path: incoming.url, headers: incoming.headers };
    const passed = request(options, (answer) => {
      outgoing.writeHead(answer.statusCode ?? 502, answer.headers);
      answer.pipe(outgoing);
    });
    passed.on("error", () => outgoing.destroy());
    incoming.pipe(passed);
  }

  private upgrade(incoming: IncomingMessage, socket: Socket, head: Buffer): void {
    if (this.refusesUpgrades) return void socket.destroy();
    const [host = "", port] = this.server.split(":");
    const passed = connect(Number(port), host);
    const lines = [`${incoming.method} ${incoming.url} HTTP/1.1`];
    for (let at = 0; at < incoming.rawHeaders.length; at += 2)
      lines.push(`${incoming.rawHeaders[at]}: ${incoming.rawHeaders[at + 1]}`);
    passed.write(`${lines.join("\r\n")}\r\n\r\n`);
    passed.write(head);
    this.made += 1;
    this.live.add(socket);
    const end = () => {
      this.live.delete(socket);
      socket.destroy();
      passed.destroy();
    };
    for (const side of [socket, passed]) side.on("close", end).on("error", end);
    socket
      .pipe(passed)
      .pipe(tampering((text) => (this.loses?.(text) ? undefined : (this.rewrites?.(text) ?? text))))
      .pipe(socket);
  }
}

/** Passes what a WebSocket server sends, but for whole text messages that get lost (undefined) or become others. */
function tampering(passed: (text: string) => string | undefined): Transform {
  let waiting = Buffer.alloc(0);
  let isUpgraded = false;
  return new Transform({
    transform(bytes: Buffer, _, done) {
      waiting = Buffer.concat([waiting, bytes]);
      if (!isUpgraded) {
        const end = waiting.indexOf("\r\n\r\n");
        if (end < 0) return done();
        isUpgraded = true;
        this.push(waiting.subarray(0, end + 4));
        waiting = waiting.subarray(end + 4);
      }
      for (let frame = frameOf(waiting); frame; frame = frameOf(waiting)) {
        const isText = (waiting[0] ?? 0) === 0x81;
        const whole = waiting.subarray(0, frame.end);
        const text = isText ? whole.subarray(frame.start).toString("utf8") : "";
        const becomes = isText ? passed(text) : text;
        if (becomes === text) this.push(whole);
        else if (becomes !== undefined) this.push(textFrame(becomes));
        waiting = waiting.subarray(frame.end);
      }
      done();
    },
  });
}

/** A whole text message; its length has to be in as few bytes as possible. */
function textFrame(text: string): Buffer {
  const body = Buffer.from(text);
  if (body.length < 126) return Buffer.concat([Buffer.from([0x81, body.length]), body]);
  const isShort = body.length < 65_536;
  const head = Buffer.alloc(isShort ? 4 : 10);
  head.writeUInt16BE(isShort ? 0x817e : 0x817f, 0);
  if (isShort) head.writeUInt16BE(body.length, 2);
  else head.writeBigUInt64BE(BigInt(body.length), 2);
  return Buffer.concat([head, body]);
}

/** Where the body of the first frame begins and ends (RFC 6455 section 5.2; a server does not mask). */
function frameOf(bytes: Buffer): { start: number; end: number } | undefined {
  const short = (bytes[1] ?? 0) & 0x7f;
  const start = short === 127 ? 10 : short === 126 ? 4 : 2;
  if (bytes.length < start) return undefined;
  const length = short === 127 ? Number(bytes.readBigUInt64BE(2)) : short === 126 ? bytes.readUInt16BE(2) : short;
  return bytes.length < start + length ? undefined : { start, end: start + length };
}
