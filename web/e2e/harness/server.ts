/** A real `skein serve` on a folder of its own, with ports of its own. */
import { type ChildProcess, spawn } from "node:child_process";
import { existsSync } from "node:fs";
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { until } from "./until";

const LISTENERS = ["public", "tcp", "push", "admin"];
/** Tests make many accounts from one address, and a scripted peer writes faster than a person. */
const SETTINGS = [
  ...["login", "code", "register", "search"].flatMap((rate) => [
    `gate.rates.${rate}.burst=10000`,
    `gate.rates.${rate}.per_minute=60000`,
  ]),
  "comet.commands_per_second=20000",
  "logic.sends.burst=100000",
  "logic.sends.every_ms=1",
  "logic.account.log_ins_per_address.burst=100000",
  "logic.account.code_requests_per_address.burst=100000",
  "logic.contact.searches.burst=100000",
  "logic.contact.requests.burst=100000",
];

export class Server {
  private constructor(
    readonly data: string,
    private process: ChildProcess,
    /** `host:port` by listener. */
    readonly address: Record<string, string>,
    private readonly log: string[],
  ) {}

  static async start(settings: readonly string[] = []): Promise<Server> {
    const data = await mkdtemp(join(tmpdir(), "skein-web-"));
    const log: string[] = [];
    const child = run(data, [...LISTENERS.map((name) => `listen.${name}=127.0.0.1:0`), ...SETTINGS, ...settings], log);
    const address = await listening(data, child, log);
    return new Server(data, child, address, log);
  }

  get origin(): string {
    return `http://${this.address.public}`;
  }

  /** Its end, as a crash is. Data stay. */
  async kill(): Promise<void> {
    await ended(this.process, "SIGKILL");
  }

  /** Again on the same folder and ports. */
  async restart(): Promise<void> {
    const settings = LISTENERS.map((name) => `listen.${name}=${this.address[name]}`);
    await rm(join(this.data, "listening.json"), { force: true });
    this.process = run(this.data, [...settings, ...SETTINGS], this.log);
    await listening(this.data, this.process, this.log);
  }

  async stop(): Promise<void> {
    await ended(this.process, "SIGKILL");
    await rm(this.data, { recursive: true, force: true });
  }

  /** What an administrator says to the running process. */
  async admin(...words: string[]): Promise<void> {
    const child = spawn(binary(), ["admin", "--data", this.data, ...words], { stdio: "ignore" });
    const code = await new Promise((resolve) => child.once("exit", resolve));
    if (code !== 0) throw new Error(`skein admin ${words.join(" ")}: ${code}`);
  }

  tail(): string {
    return this.log.join("").slice(-4_000);
  }
}

function binary(): string {
  const named = process.env.SKEIN_BIN;
  const built = fileURLToPath(new URL("../../../target/debug/skein", import.meta.url));
  const path = named ?? built;
  if (!existsSync(path))
    throw new Error(`${path} is not built: run \`cargo build -p skein-server\`, or name one in SKEIN_BIN`);
  return path;
}

function run(data: string, settings: readonly string[], log: string[]): ChildProcess {
  const child = spawn(binary(), ["serve", "--data", data, ...settings.flatMap((setting) => ["--set", setting])]);
  for (const stream of [child.stdout, child.stderr]) stream.on("data", (text) => log.push(String(text)));
  return child;
}

async function listening(data: string, child: ChildProcess, log: readonly string[]): Promise<Record<string, string>> {
  const file = join(data, "listening.json");
  return until("the server listens", async () => {
    if (child.exitCode !== null) throw new Error(`the server ended: ${log.join("").slice(-4_000)}`);
    return JSON.parse(await readFile(file, "utf8").catch(() => "null")) ?? undefined;
  });
}

async function ended(child: ChildProcess, signal: NodeJS.Signals): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const exit = new Promise((resolve) => child.once("exit", resolve));
  child.kill(signal);
  await exit;
}
