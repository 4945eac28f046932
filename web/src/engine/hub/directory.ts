/**
 * People: friends, requests, blocked ones, and the names of everybody who is seen. In memory whole, and on disk.
 *
 * Lists are fetched whole when a session begins; after that, events keep them up to date. Profiles are fetched for whoever
 * is looked at and not known, {@link ASK_MAX} at once, and again after a day.
 */
import type { Contacts, FriendRequest, Person } from "../api";
import type { Contact, Loaded, PersonRow, Store } from "../store/rows";
import type { Loose } from "../wire/codec";
import type { Requests, UserEvent, Friend as WireFriend, FriendRequest as WireRequest } from "../wire/generated";

const ASK_MAX = 50;
const ASK_WAIT_MS = 30;
const FRESH_MS = 24 * 3_600_000;
/** Pages of one list: 5,000 friends are the server's soft limit. */
const PAGES_MAX = 60;
const REQUEST_PAGES_MAX = 5;

type Ask = <T extends keyof Requests>(type: T, payload: Loose<Requests[T][0]>) => Promise<Requests[T][1]>;

export interface DirectoryEvents {
  contacts(): void;
  people(uids: readonly number[]): void;
}

export class Directory {
  private contacts = new Map<number, Contact>();
  private requests = new Map<number, FriendRequest>();
  private people = new Map<number, PersonRow>();
  private readonly wanted = new Set<number>();
  private timer: ReturnType<typeof setTimeout> | undefined;
  private known = false;
  /** Of whom the lists are: what was asked for an account that is gone is not kept. */
  private generation = 0;

  constructor(
    private readonly store: Store,
    private readonly myUid: () => number,
    private readonly ask: Ask,
    private readonly events: DirectoryEvents,
  ) {}

  load({ contacts, requests, people, facts }: Loaded): void {
    this.generation += 1;
    this.wanted.clear();
    this.contacts = new Map(contacts.map((contact) => [contact.uid, contact]));
    this.requests = new Map(requests.map((request) => [request.id, request]));
    this.people = new Map(people.map((person) => [person.uid, person]));
    this.known = facts.contactsKnown === true;
    this.events.contacts();
  }

  lists(): Contacts {
    const all = [...this.contacts.values()];
    const requests = [...this.requests.values()].sort((a, b) => b.atMs - a.atMs || b.id - a.id);
    return {
      friends: all.filter((contact) => contact.friend),
      blocked: all.filter((contact) => contact.blocked),
      requests,
      pending: requests.filter((request) => request.incoming && request.state === "pending").length,
      loaded: this.known,
    };
  }

  person(uid: number): Person {
    const contact = this.contacts.get(uid);
    const row = this.people.get(uid);
    const nickname = row?.nickname || contact?.nickname || "";
    const remark = contact?.remark ?? "";
    const name = remark || nickname || `#${uid}`;
    const { friend = false, blocked = false } = contact ?? {};
    return { uid, nickname, signature: row?.signature ?? "", remark, name, friend, blocked };
  }

  isFriend(uid: number): boolean {
    return this.contacts.get(uid)?.friend === true;
  }

  // -------------------------------------------------------------------------------------------- profiles

  /** Somebody looks at them: fetched unless they are known well enough. */
  want(uids: readonly number[]): void {
    const stale = Date.now() - FRESH_MS;
    for (const uid of uids) if (uid > 0 && (this.people.get(uid)?.askedAtMs ?? 0) < stale) this.wanted.add(uid);
    if (this.wanted.size > 0) this.timer ??= setTimeout(() => void this.fetchWanted(), ASK_WAIT_MS);
  }

  private async fetchWanted(): Promise<void> {
    this.timer = undefined;
    const uids = [...this.wanted].slice(0, ASK_MAX);
    if (uids.length === 0) return;
    const { generation } = this;
    try {
      const { profiles } = await this.ask("getProfiles", { uids });
      if (generation !== this.generation) return;
      for (const uid of uids) this.wanted.delete(uid);
      // Who is not told does not exist any more; asking again would not help.
      const gone = uids.filter((uid) => !profiles.some((profile) => profile.uid === uid));
      await this.learn(
        [...profiles, ...gone.map((uid) => ({ uid, nickname: this.people.get(uid)?.nickname ?? "", signature: "" }))],
        true,
      );
    } catch {
      // Asked again with the next connection, or the next time somebody looks.
      return;
    }
    if (this.wanted.size > 0) this.timer ??= setTimeout(() => void this.fetchWanted(), ASK_WAIT_MS);
  }

  /** Names as some answer brought them; `isWhole`: it was the profile itself. */
  async learn(
    profiles: readonly { uid: number; nickname: string; signature?: string }[],
    isWhole: boolean,
  ): Promise<void> {
    const changed: PersonRow[] = [];
    const now = Date.now();
    for (const { uid, nickname, signature } of profiles) {
      const before = this.people.get(uid);
      const row: PersonRow = {
        uid,
        nickname: nickname || before?.nickname || "",
        signature: signature ?? before?.signature ?? "",
        askedAtMs: isWhole ? now : (before?.askedAtMs ?? 0),
      };
      const isSame = before?.nickname === row.nickname && before.signature === row.signature && !isWhole;
      if (!isSame) changed.push(row);
    }
    if (changed.length === 0) return;
    for (const row of changed) this.people.set(row.uid, row);
    await this.store.write({ people: changed });
    this.events.people(changed.map((row) => row.uid));
  }

  // -------------------------------------------------------------------------------------------- lists

  /** Both lists and the requests, whole. */
  async refresh(): Promise<void> {
    this.want([...this.wanted]);
    const { generation } = this;
    const friends = await this.pages("listFriends");
    const blocked = await this.pages("listBlocked");
    const requests: WireRequest[] = [];
    for (let cursor = "", page = 0; page < REQUEST_PAGES_MAX; page++) {
      const answer = await this.ask("listRequests", { cursor });
      requests.push(...answer.requests);
      cursor = answer.cursor;
      if (!cursor) break;
    }
    if (generation !== this.generation) return;
    const contacts = new Map([...blocked, ...friends].map((friend) => [friend.uid, contactOf(friend)]));
    const before = this.contacts;
    this.contacts = contacts;
    for (const request of requests) this.requests.set(request.id, this.requestOf(request));
    this.known = true;
    await this.store.write({
      forgetContacts: true,
      contacts: [...contacts.values()],
      requests: [...this.requests.values()],
      facts: { contactsKnown: true },
    });
    this.events.contacts();
    this.events.people([...new Set([...before.keys(), ...contacts.keys()])]);
  }

  private async pages(list: "listFriends" | "listBlocked"): Promise<WireFriend[]> {
    const friends: WireFriend[] = [];
    for (let cursor = "", page = 0; page < PAGES_MAX; page++) {
      const answer = await this.ask(list, { cursor, count: 100 });
      friends.push(...answer.friends);
      cursor = answer.cursor;
      if (!cursor) break;
    }
    return friends;
  }

  async learnFriend(friend: WireFriend): Promise<void> {
    const contact = contactOf(friend);
    const isGone = !contact.friend && !contact.blocked;
    if (isGone) this.contacts.delete(contact.uid);
    else this.contacts.set(contact.uid, contact);
    await this.store.write(isGone ? { contactsGone: [contact.uid] } : { contacts: [contact] });
    this.events.contacts();
    this.events.people([contact.uid]);
  }

  async unfriend(uid: number): Promise<void> {
    const before = this.contacts.get(uid);
    if (!before) return;
    if (before.blocked) this.contacts.set(uid, { ...before, friend: false });
    else this.contacts.delete(uid);
    await this.store.write(before.blocked ? { contacts: [{ ...before, friend: false }] } : { contactsGone: [uid] });
    this.events.contacts();
    this.events.people([uid]);
  }

  async learnRequest(request: WireRequest): Promise<FriendRequest> {
    const known = this.requestOf(request);
    this.requests.set(known.id, known);
    await this.store.write({ requests: [known] });
    this.events.contacts();
    return known;
  }

  private requestOf({ id, from, to, nickname, greeting, state, atMs }: WireRequest): FriendRequest {
    const incoming = to === this.myUid();
    const states = {
      ACCEPTED: "accepted",
      DECLINED: "declined",
      PENDING: "pending",
      REQUEST_STATE_UNSPECIFIED: "pending",
    } as const;
    return { id, from, to, nickname, greeting, incoming, atMs, state: states[state] };
  }

  /** Tells what is worth a signal. */
  async userEvents(events: readonly UserEvent[]): Promise<{ request?: FriendRequest; accepted?: number }[]> {
    const news: { request?: FriendRequest; accepted?: number }[] = [];
    for (const { request, friend, profile } of events) {
      if (friend) await this.learnFriend(friend);
      if (profile) await this.learn([profile], true);
      if (!request) continue;
      const known = await this.learnRequest(request);
      if (known.incoming && known.state === "pending") news.push({ request: known });
      if (!known.incoming && known.state === "accepted") news.push({ accepted: known.to });
    }
    return news;
  }
}

function contactOf({ uid, nickname, remark, blocked, friend, sinceMs }: WireFriend): Contact {
  return { uid, nickname, remark, name: remark || nickname || `#${uid}`, blocked, friend, sinceMs };
}
