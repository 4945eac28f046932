/**
 * What is known of conversations and of my messages that wait: in memory whole, but for lines, and on disk.
 *
 * Applies what was heard: entries, the positions they move to and the echoes they settle are one write, and memory changes
 * with it. All methods but the getters are called one after the other, by the session's turns.
 */
import type { Account, Echo, Facts, Line, Place, Row, Store, Write } from "../store/rows";
import type { Conversation, Cursors, Entry, HistoryPage, MembershipReply } from "../wire/generated";
import type { Waiting } from "./outbox";
import { applyToMessage, messageOf, targetOf } from "./reduce";
import { firstSight, followEntry, lowestOf, markRead, mergeInfo, mergeMembership, readOf } from "./row";

/** A conversation moves on. */
export interface Advance {
  readonly conversation: number;
  /** As the server sees it, where a page or reply brought it. */
  readonly info?: Conversation | undefined;
  /** The window begins anew at `from`; else only history moves its beginning. */
  readonly restart: boolean;
  readonly from: number;
  readonly position: number;
  readonly ready: readonly Entry[];
}

/** A page of sync, or what else came at once. */
export interface Page {
  /** Forget all windows first. */
  readonly reset?: boolean;
  readonly place?: Place;
  readonly advances: readonly Advance[];
}

export function lineOf(entry: Entry): Line | undefined {
  const { conversation, seq, count } = entry;
  const message = messageOf(entry);
  if (message) return { conversation, seq, count, message };
  const isKnown = entry.joined ?? entry.left ?? entry.role ?? entry.info ?? entry.muted;
  return isKnown ? { conversation, seq, count, event: entry } : undefined;
}

export class Model {
  account: Account | undefined;
  place: Place = { epoch: "0", cursor: "" };
  readonly rows = new Map<number, Row>();
  /** In the order they were written. */
  readonly echoes = new Map<string, Echo>();
  private lastOrder = 0;

  constructor(readonly store: Store) {}

  get myUid(): number {
    return this.account?.me.uid ?? 0;
  }

  load(facts: Partial<Facts>, rows: readonly Row[], echoes: readonly Echo[]): void {
    this.account = facts.account;
    this.place = facts.place ?? { epoch: "0", cursor: "" };
    this.rows.clear();
    this.echoes.clear();
    this.lastOrder = 0;
    for (const row of rows) this.rows.set(row.id, row);
    for (const echo of echoes) this.remember(echo);
  }

  private remember(echo: Echo): void {
    this.echoes.set(echo.key, echo);
    this.lastOrder = Math.max(this.lastOrder, echo.order);
  }

  async setAccount(account: Account): Promise<void> {
    await this.store.write({ facts: { account } });
    this.account = account;
  }

  async wipe(facts: Partial<Facts> = {}): Promise<void> {
    await this.store.write({ wipe: true, facts });
    this.load(facts, [], []);
  }

  /** Tells the keys of my waiting messages that turned up. */
  async apply(page: Page): Promise<string[]> {
    const batch = new Batch(this, page);
    await batch.prepare();
    for (const advance of page.advances) await batch.advance(advance);
    await this.commit(batch.write());
    return batch.settled;
  }

  private async commit(write: Write): Promise<void> {
    await this.store.write(write);
    if (write.forgetLog) this.rows.clear();
    if (write.facts?.place) this.place = write.facts.place;
    for (const row of write.rows ?? []) this.rows.set(row.id, row);
    for (const key of write.echoesGone ?? []) this.echoes.delete(key);
    for (const echo of write.echoes ?? []) this.remember(echo);
  }

  private async change(id: number, change: (row: Row) => Row | Promise<Row>): Promise<boolean> {
    const row = this.rows.get(id);
    if (!row) return false;
    const changed = await change(row);
    if (changed === row) return false;
    await this.commit({ rows: [changed] });
    return true;
  }

  membership(reply: MembershipReply): Promise<boolean> {
    return this.change(reply.conversation, async (row) => {
      if (!reply.me) return row;
      const counted = reply.me.read > readOf(row) ? await this.countAt(row, reply.me.read) : undefined;
      return mergeMembership(row, reply.me, row.info.count, counted);
    });
  }

  /** How far the other side of a direct conversation is. */
  cursors({ conversation, cursors }: Cursors): Promise<boolean> {
    return this.change(conversation, (row) => {
      const theirs = cursors.find((cursor) => cursor.uid === row.info.peer && cursor.uid !== this.myUid);
      if (!theirs) return row;
      const peerRead = Math.max(row.info.peerRead, theirs.read);
      const peerDelivered = Math.max(row.info.peerDelivered, theirs.delivered, peerRead);
      return { ...row, info: { ...row.info, peerRead, peerDelivered } };
    });
  }

  /** `count`: the running number at `seq`, where the caller knows it. */
  read(id: number, seq: number, count?: number): Promise<boolean> {
    return this.change(id, async (row) => {
      const upTo = Math.min(seq, Math.max(row.position, row.info.head));
      if (upTo <= readOf(row)) return row;
      if (upTo >= row.info.head) return markRead(row, upTo, row.info.count);
      return markRead(row, upTo, count ?? (await this.countAt(row, upTo)) ?? row.readCount);
    });
  }

  /** The server knows my read cursor, or does not want to. */
  readTold(id: number): Promise<boolean> {
    return this.change(id, (row) => ({ ...row, toldRead: Math.max(row.toldRead, readOf(row)) }));
  }

  /** The same draft again is not told again: meanwhile another device may have one of its own. */
  draft(id: number, draft: string, isTold: boolean): Promise<boolean> {
    return this.change(id, (row) => {
      const { me } = row.info;
      if (!me || (me.draft === draft && (row.draftTold || !isTold))) return row;
      return { ...row, draftTold: isTold, info: { ...row.info, me: { ...me, draft } } };
    });
  }

  /** The running number at a seq inside the window. */
  async countAt(row: Row, seq: number): Promise<number | undefined> {
    if (seq < row.from || seq > row.position) return undefined;
    return (await this.store.linesBelow(row.id, row.from, seq + 1, 1))[0]?.count;
  }

  /**
   * Older lines in front of the window, which must still begin at `before`. `since` are entries that were applied while the
   * page was under way. Undefined if the page is of no use any more: the window moved.
   */
  async prepend(page: HistoryPage, before: number, since: readonly Entry[]): Promise<Line[] | undefined> {
    const row = this.rows.get(page.conversation);
    if (row?.from !== before) return undefined;
    const lines = linesOf(page, since).filter((line) => line.seq < before);
    const keys = lines.map((line) => line.message).filter((message) => message?.author === this.myUid);
    const echoesGone = keys.map((message) => message?.key ?? "").filter((key) => this.echoes.has(key));
    const from = pageStart(page, row);
    await this.commit({ lines, rows: [{ ...row, from }], echoesGone });
    return lines;
  }

  /** In the order they were written. */
  waiting(): Waiting[] {
    return [...this.echoes.values()].filter((echo) => echo.state === "waiting");
  }

  async enqueue(sends: readonly Waiting[], atMs: number): Promise<void> {
    let order = this.lastOrder;
    const echoes = sends.map((send): Echo => {
      order += 1;
      return { ...send, order, atMs, state: "waiting", seq: 0, code: "" };
    });
    await this.commit({ echoes });
  }

  /** The echo stays until its entry comes, unless that was here first. */
  async acked(key: string, seq: number): Promise<void> {
    const echo = this.echoes.get(key);
    if (!echo) return;
    const position = this.rows.get(echo.conversation)?.position ?? 0;
    await this.commit(
      seq <= position ? { echoesGone: [key] } : { echoes: [{ ...echo, state: "acked", seq, code: "" }] },
    );
  }

  async failed(key: string, code: string): Promise<void> {
    const echo = this.echoes.get(key);
    if (echo && echo.state !== "acked") await this.commit({ echoes: [{ ...echo, state: "failed", code }] });
  }

  /** A failed message waits anew, behind everything else. */
  async retry(key: string, atMs: number): Promise<Echo | undefined> {
    const echo = this.echoes.get(key);
    if (echo?.state !== "failed") return undefined;
    const again: Echo = { ...echo, state: "waiting", code: "", order: this.lastOrder + 1, atMs };
    this.echoes.delete(key);
    await this.commit({ echoes: [again] });
    return again;
  }

  /** Undefined: there is no such message, or it is stored on the server already. */
  async discard(key: string): Promise<Echo | undefined> {
    const echo = this.echoes.get(key);
    if (!echo || echo.state === "acked") return undefined;
    await this.commit({ echoesGone: [key] });
    return echo;
  }
}

/** Lines of a page, with what was applied since it was asked for applied to them again. */
export function linesOf(page: HistoryPage, since: readonly Entry[] = []): Line[] {
  const lines: Line[] = page.messages.map((state) => {
    const message = since.filter((entry) => targetOf(entry) === state.seq).reduce(applyToMessage, state);
    return { conversation: page.conversation, seq: state.seq, count: state.count, message };
  });
  for (const event of page.events) {
    const line = lineOf(event);
    if (line) lines.push(line);
  }
  return lines.sort((a, b) => a.seq - b.seq);
}

/** Where the kept window begins with this page in front of it. */
export function pageStart(page: HistoryPage, row: Row): number {
  const first = Math.min(
    page.messages[0]?.seq ?? Number.POSITIVE_INFINITY,
    page.events[0]?.seq ?? Number.POSITIVE_INFINITY,
  );
  if (Number.isFinite(first) && page.hasMoreMessages) return Math.min(first, row.from);
  return Math.min(Math.max(lowestOf(row), page.floor + 1), row.from);
}

/** One page on its way into the model. */
class Batch {
  readonly settled: string[] = [];
  private readonly rows = new Map<number, Row>();
  private readonly lines = new Map<string, Line>();
  private readonly forgotten = new Set<number>();
  private readonly gone = new Set<string>();

  constructor(
    private readonly model: Model,
    private readonly page: Page,
  ) {}

  /** Reads the lines that will change. */
  async prepare(): Promise<void> {
    const places: { conversation: number; seq: number }[] = [];
    for (const { conversation, ready, restart } of this.page.advances) {
      if (restart || this.page.reset) continue;
      for (const entry of ready) {
        const target = targetOf(entry);
        if (target !== undefined) places.push({ conversation, seq: target });
      }
    }
    if (places.length === 0) return;
    for (const line of await this.model.store.linesAt(places)) this.lines.set(place(line), line);
  }

  async advance(advance: Advance): Promise<void> {
    const known =
      this.rows.get(advance.conversation) ?? (this.page.reset ? undefined : this.model.rows.get(advance.conversation));
    if (!known && !advance.info) return;
    let row = known ?? firstSight(advance.info as Conversation, advance.from);
    if (advance.restart) row = this.restart(row, advance.from);
    row = { ...row, position: advance.position };
    for (const entry of advance.ready) {
      this.applyEntry(entry);
      row = followEntry(row, entry, this.model.myUid, known !== undefined || !advance.info);
      this.settle(entry);
    }
    if (advance.info) row = mergeInfo(row, advance.info, await this.countedRead(row, advance));
    this.rows.set(row.id, row);
    this.dropSettled(row);
  }

  private restart(row: Row, from: number): Row {
    this.forgotten.add(row.id);
    for (const [key, line] of this.lines) if (line.conversation === row.id) this.lines.delete(key);
    return { ...row, from };
  }

  private applyEntry(entry: Entry): void {
    const line = lineOf(entry);
    if (line) return void this.lines.set(place(line), line);
    const target = targetOf(entry);
    if (target === undefined) return;
    const key = place({ conversation: entry.conversation, seq: target });
    const changed = this.lines.get(key);
    if (changed?.message) this.lines.set(key, { ...changed, message: applyToMessage(changed.message, entry) });
  }

  private settle(entry: Entry): void {
    if (entry.author !== this.model.myUid || !this.model.echoes.has(entry.key)) return;
    this.gone.add(entry.key);
    this.settled.push(entry.key);
  }

  /** Echoes whose entry is behind the position: it was applied, or lies in what history fills. */
  private dropSettled(row: Row): void {
    for (const echo of this.model.echoes.values()) {
      if (echo.conversation === row.id && echo.state === "acked" && echo.seq <= row.position) this.gone.add(echo.key);
    }
  }

  private async countedRead(row: Row, advance: Advance): Promise<number | undefined> {
    const read = advance.info?.me?.read ?? 0;
    if (read < row.from || read > row.position || read < readOf(row)) return undefined;
    let nearest: Line | undefined;
    for (const line of this.lines.values()) {
      if (line.conversation === row.id && line.seq <= read && line.seq > (nearest?.seq ?? 0)) nearest = line;
    }
    if (this.forgotten.has(row.id) || this.page.reset || nearest?.seq === read) return nearest?.count;
    const kept = (await this.model.store.linesBelow(row.id, row.from, read + 1, 1))[0];
    return (kept?.seq ?? 0) > (nearest?.seq ?? 0) ? kept?.count : nearest?.count;
  }

  write(): Write {
    return {
      forgetLog: this.page.reset === true,
      forgetWindows: [...this.forgotten],
      rows: [...this.rows.values()],
      lines: [...this.lines.values()],
      echoesGone: [...this.gone],
      ...(this.page.place ? { facts: { place: this.page.place } } : {}),
    };
  }
}

function place({ conversation, seq }: { conversation: number; seq: number }): string {
  return `${conversation}:${seq}`;
}
