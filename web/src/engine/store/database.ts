/**
 * The store in IndexedDB.
 *
 * Every write is one transaction, so a cursor is kept only together with what it covers. A write by an engine that no longer
 * owns the store fails with {@link StoreTaken}: two tabs that know nothing of each other cannot mix their views of the log.
 */
import type { FriendRequest } from "../api";
import { uuidV7 } from "../random";
import { done, openDatabase, rowsOf, transact } from "./idb";
import {
  type Contact,
  type Echo,
  type Facts,
  type Line,
  type Loaded,
  type PersonRow,
  type Row,
  StoreTaken,
  type Write,
} from "./rows";
import type { Disk } from "./spill";

const TABLES = {
  facts: "name",
  rows: "id",
  lines: ["conversation", "seq"],
  echoes: "key",
  people: "uid",
  contacts: "uid",
  requests: "id",
};
const NAMES = Object.keys(TABLES);

type Table = (name: string) => IDBObjectStore;

interface FactRow {
  name: string;
  value: unknown;
}

export class Database implements Disk {
  private readonly owner = uuidV7();
  private opened: Promise<IDBDatabase> | undefined;

  constructor(private readonly name = "skein") {}

  private db(): Promise<IDBDatabase> {
    this.opened ??= openDatabase(this.name, TABLES, () => {
      this.opened = undefined;
    });
    return this.opened;
  }

  async open(): Promise<Loaded> {
    return transact(await this.db(), NAMES, "readwrite", (table) => {
      table("facts").put({ name: "owner", value: this.owner });
      return everything(table);
    });
  }

  async peek(): Promise<Loaded> {
    return transact(await this.db(), NAMES, "readonly", everything);
  }

  async write(write: Write): Promise<void> {
    await transact(await this.db(), NAMES, "readwrite", async (table) => {
      const owner: FactRow | undefined = await done(table("facts").get("owner"));
      if (owner?.value !== this.owner) throw new StoreTaken("another engine has the store");
      this.forget(table, write);
      put(table, write);
    });
  }

  private forget(table: Table, write: Write): void {
    if (write.wipe) {
      for (const name of NAMES) table(name).clear();
      table("facts").put({ name: "owner", value: this.owner });
    }
    if (write.forgetLog) for (const name of ["rows", "lines"]) table(name).clear();
    for (const id of write.forgetWindows ?? []) table("lines").delete(between(id, 0, Number.MAX_SAFE_INTEGER));
    if (write.forgetContacts) table("contacts").clear();
    for (const key of write.echoesGone ?? []) table("echoes").delete(key);
    for (const uid of write.contactsGone ?? []) table("contacts").delete(uid);
  }

  async linesBelow(conversation: number, from: number, below: number, count: number): Promise<Line[]> {
    if (from >= below) return [];
    // Nearly every seq is a line, so most often all are in the first stretch.
    const first = Math.max(from, below - count);
    return this.lines(async (table) => {
      const near = await rowsOf<Line>(table, between(conversation, first, below - 1), "next", count);
      if (near.length === count || first === from) return near;
      const far = await rowsOf<Line>(table, between(conversation, from, first - 1), "prev", count - near.length);
      return [...far.reverse(), ...near];
    });
  }

  async linesAbove(conversation: number, above: number, count: number): Promise<Line[]> {
    const range = between(conversation, above + 1, Number.MAX_SAFE_INTEGER);
    return this.lines((table) => rowsOf<Line>(table, range, "next", count));
  }

  async linesAt(places: readonly { conversation: number; seq: number }[]): Promise<Line[]> {
    if (places.length === 0) return [];
    const get = (table: IDBObjectStore) =>
      Promise.all(places.map(({ conversation, seq }) => done<Line | undefined>(table.get([conversation, seq]))));
    return (await this.lines(get)).filter((line) => line !== undefined);
  }

  private async lines<T>(work: (table: IDBObjectStore) => Promise<T>): Promise<T> {
    return transact(await this.db(), ["lines"], "readonly", (table) => work(table("lines")));
  }
}

/** All but the lines. */
async function everything(table: Table): Promise<Loaded> {
  const all = <T>(name: string) => done(table(name).getAll() as IDBRequest<T[]>);
  const [facts, rows, echoes, people, contacts, requests] = await Promise.all([
    all<FactRow>("facts"),
    all<Row>("rows"),
    all<Echo>("echoes"),
    all<PersonRow>("people"),
    all<Contact>("contacts"),
    all<FriendRequest>("requests"),
  ]);
  return {
    facts: Object.fromEntries(facts.map(({ name, value }) => [name, value])) as Partial<Facts>,
    rows,
    echoes: echoes.sort((a, b) => a.order - b.order),
    people,
    contacts,
    requests,
  };
}

function between(conversation: number, from: number, to: number): IDBKeyRange {
  return IDBKeyRange.bound([conversation, from], [conversation, to]);
}

/** Failed puts abort the transaction, which tells of them. */
function put(table: Table, write: Write): void {
  const facts = Object.entries(write.facts ?? {}).map(([name, value]) => ({ name, value }));
  const { rows, lines, echoes, people, contacts, requests } = write;
  for (const [name, all] of Object.entries({ rows, lines, echoes, people, contacts, requests, facts })) {
    for (const row of all ?? []) table(name).put(row);
  }
}

/** Whether this browser keeps databases at all (private modes do not). */
export async function hasStorage(): Promise<boolean> {
  try {
    (await openDatabase("skein-probe", {}, () => undefined)).close();
    return true;
  } catch {
    return false;
  }
}
