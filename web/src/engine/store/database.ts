/**
 * The store in IndexedDB, by Dexie.
 *
 * Every write is one transaction, so a cursor is kept only together with what it covers. A write by an engine that no longer
 * owns the store fails with {@link StoreTaken}: two tabs that know nothing of each other cannot mix their views of the log.
 */
import Dexie, { type Table } from "dexie";
import type { FriendRequest } from "../api";
import { uuidV7 } from "../random";
import {
  type Contact,
  type Echo,
  type Facts,
  type Line,
  type Loaded,
  type PersonRow,
  type Row,
  type Store,
  StoreTaken,
  type Write,
} from "./rows";

interface FactRow {
  name: string;
  value: unknown;
}

export class Database implements Store {
  private readonly db: Dexie;
  private readonly owner = uuidV7();

  constructor(name = "skein") {
    this.db = new Dexie(name, { chromeTransactionDurability: "relaxed" });
    this.db.version(1).stores({
      facts: "name",
      rows: "id",
      lines: "[conversation+seq]",
      echoes: "key",
      people: "uid",
      contacts: "uid",
      requests: "id",
    });
  }

  private table<T, K>(name: string): Table<T, K> {
    return this.db.table(name);
  }

  async open(): Promise<Loaded> {
    const tables = this.db.tables.filter((table) => table.name !== "lines");
    return this.db.transaction("rw", tables, async () => {
      await this.table<FactRow, string>("facts").put({ name: "owner", value: this.owner });
      const facts = await this.table<FactRow, string>("facts").toArray();
      const echoes = await this.table<Echo, string>("echoes").toArray();
      return {
        facts: Object.fromEntries(facts.map(({ name, value }) => [name, value])) as Partial<Facts>,
        rows: await this.table<Row, number>("rows").toArray(),
        echoes: echoes.sort((a, b) => a.order - b.order),
        people: await this.table<PersonRow, number>("people").toArray(),
        contacts: await this.table<Contact, number>("contacts").toArray(),
        requests: await this.table<FriendRequest, number>("requests").toArray(),
      };
    });
  }

  async write(write: Write): Promise<void> {
    await this.db.transaction("rw", this.db.tables, async () => {
      const owner = await this.table<FactRow, string>("facts").get("owner");
      if (owner?.value !== this.owner) throw new StoreTaken("another engine has the store");
      await this.forget(write);
      await this.put(write);
    });
  }

  private async forget(write: Write): Promise<void> {
    if (write.wipe) {
      await Promise.all(this.db.tables.map((table) => table.clear()));
      await this.table<FactRow, string>("facts").put({ name: "owner", value: this.owner });
    }
    if (write.forgetLog) await Promise.all([this.db.table("rows").clear(), this.db.table("lines").clear()]);
    for (const id of write.forgetWindows ?? []) {
      await this.table<Line, [number, number]>("lines")
        .where("[conversation+seq]")
        .between([id, Dexie.minKey], [id, Dexie.maxKey])
        .delete();
    }
    if (write.forgetContacts) await this.db.table("contacts").clear();
    if (write.echoesGone?.length) await this.db.table("echoes").bulkDelete([...write.echoesGone]);
    if (write.contactsGone?.length) await this.db.table("contacts").bulkDelete([...write.contactsGone]);
  }

  private async put(write: Write): Promise<void> {
    const puts: [string, readonly unknown[] | undefined][] = [
      ["rows", write.rows],
      ["lines", write.lines],
      ["echoes", write.echoes],
      ["people", write.people],
      ["contacts", write.contacts],
      ["requests", write.requests],
      ["facts", write.facts && Object.entries(write.facts).map(([name, value]) => ({ name, value }))],
    ];
    for (const [name, rows] of puts) if (rows?.length) await this.db.table(name).bulkPut([...rows]);
  }

  async linesBelow(conversation: number, from: number, below: number, count: number): Promise<Line[]> {
    const range = this.table<Line, [number, number]>("lines")
      .where("[conversation+seq]")
      .between([conversation, from], [conversation, below], true, false);
    return (await range.reverse().limit(count).toArray()).reverse();
  }

  async linesAbove(conversation: number, above: number, count: number): Promise<Line[]> {
    const range = this.table<Line, [number, number]>("lines")
      .where("[conversation+seq]")
      .between([conversation, above], [conversation, Dexie.maxKey], false, true);
    return range.limit(count).toArray();
  }

  async linesAt(places: readonly { conversation: number; seq: number }[]): Promise<Line[]> {
    const keys = places.map(({ conversation, seq }) => [conversation, seq] as [number, number]);
    const lines = await this.table<Line, [number, number]>("lines").bulkGet(keys);
    return lines.filter((line) => line !== undefined);
  }
}

/** Whether this browser keeps databases at all (private modes do not). */
export async function hasStorage(): Promise<boolean> {
  if (typeof indexedDB === "undefined") return false;
  const probe = new Dexie("skein-probe");
  probe.version(1).stores({ probe: "id" });
  try {
    await probe.open();
    return true;
  } catch {
    return false;
  } finally {
    probe.close();
  }
}
