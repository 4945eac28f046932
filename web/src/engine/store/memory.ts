/** The store of a browser that keeps nothing: in memory, gone with the worker. */
import type { FriendRequest } from "../api";
import type { Contact, Echo, Facts, Line, Loaded, PersonRow, Row, Store, Write } from "./rows";

export class Memory implements Store {
  private facts: Partial<Facts> = {};
  private rows = new Map<number, Row>();
  private lines = new Map<number, Map<number, Line>>();
  private echoes = new Map<string, Echo>();
  private people = new Map<number, PersonRow>();
  private contacts = new Map<number, Contact>();
  private requests = new Map<number, FriendRequest>();

  async open(): Promise<Loaded> {
    const { facts, rows, echoes, people, contacts, requests } = this;
    return {
      facts: { ...facts },
      rows: [...rows.values()],
      echoes: [...echoes.values()].sort((a, b) => a.order - b.order),
      people: [...people.values()],
      contacts: [...contacts.values()],
      requests: [...requests.values()],
    };
  }

  async write(write: Write): Promise<void> {
    if (write.wipe) {
      this.facts = {};
      for (const table of [this.rows, this.lines, this.echoes, this.people, this.contacts, this.requests])
        table.clear();
    }
    if (write.forgetLog) {
      this.rows.clear();
      this.lines.clear();
    }
    for (const id of write.forgetWindows ?? []) this.lines.delete(id);
    if (write.forgetContacts) this.contacts.clear();
    for (const key of write.echoesGone ?? []) this.echoes.delete(key);
    for (const uid of write.contactsGone ?? []) this.contacts.delete(uid);
    for (const row of write.rows ?? []) this.rows.set(row.id, row);
    for (const line of write.lines ?? []) this.linesOf(line.conversation).set(line.seq, line);
    for (const echo of write.echoes ?? []) this.echoes.set(echo.key, echo);
    for (const person of write.people ?? []) this.people.set(person.uid, person);
    for (const contact of write.contacts ?? []) this.contacts.set(contact.uid, contact);
    for (const request of write.requests ?? []) this.requests.set(request.id, request);
    Object.assign(this.facts, write.facts);
  }

  private linesOf(conversation: number): Map<number, Line> {
    let lines = this.lines.get(conversation);
    if (!lines) {
      lines = new Map();
      this.lines.set(conversation, lines);
    }
    return lines;
  }

  private sorted(conversation: number): Line[] {
    return [...(this.lines.get(conversation)?.values() ?? [])].sort((a, b) => a.seq - b.seq);
  }

  async linesBelow(conversation: number, from: number, below: number, count: number): Promise<Line[]> {
    return this.sorted(conversation)
      .filter((line) => line.seq >= from && line.seq < below)
      .slice(-count);
  }

  async linesAbove(conversation: number, above: number, count: number): Promise<Line[]> {
    return this.sorted(conversation)
      .filter((line) => line.seq > above)
      .slice(0, count);
  }

  async linesAt(places: readonly { conversation: number; seq: number }[]): Promise<Line[]> {
    return places
      .map(({ conversation, seq }) => this.lines.get(conversation)?.get(seq))
      .filter((line) => line !== undefined);
  }
}
