/**
 * Who is logged in here: logging in and out, sessions that end, and one's own profile, which any device of the account
 * changes.
 *
 * **Invariant:** what one account left is removed before another's is kept. A log-out that the server could not be told of is
 * owed, and told as soon as it can be.
 */
import type { Ended, EngineError, Me, Session as SessionState } from "../api";
import type { Gate } from "../net/gate";
import type { Account, Loaded, Store } from "../store/rows";
import type { Model } from "../sync/model";
import type { Session } from "../sync/session";
import type { Turns } from "../sync/turns";
import type { Hello, Profile } from "../wire/generated";

const PROFILE_FRESH_MS = 600_000;
const LOG_OUT_RETRY_MS = 30_000;

export interface IdentityEvents {
  /** Memory from the store. */
  reload(): Promise<void>;
  /** My profile, or how the session stands. */
  changed(): void;
  /** My name, for whatever shows names. */
  named(me: Me): Promise<void>;
  /** Somebody else is logged in, or nobody. `isEmpty`: nothing is kept any more. */
  replaced(isEmpty: boolean): void;
}

export class Identity {
  private ending: Ended | undefined;
  private profileAt = 0;

  constructor(
    private readonly store: Store,
    private readonly model: Model,
    private readonly turns: Turns,
    private readonly session: Session,
    private readonly gate: Gate,
    private readonly events: IdentityEvents,
  ) {}

  get state(): SessionState {
    const { account } = this.model;
    const ended = this.ending ? { ended: this.ending } : {};
    if (!account || (!account.live && account.ended === undefined)) return { state: "logged_out", ...ended };
    return { state: "logged_in", me: account.me, ...ended };
  }

  /** The store was read. */
  loaded({ facts }: Loaded): void {
    this.ending = this.model.account?.live === false ? this.model.account.ended : undefined;
    if (facts.logOutOwed) void this.payLogOut();
  }

  /** A browser that keeps nothing may still have the cookie. */
  async adoptCookie(): Promise<void> {
    const profile = await this.gate.profile().catch(() => undefined);
    if (profile) await this.turns.run(() => this.model.setAccount({ me: { ...profile, session: "" }, live: true }));
  }

  /** After a log-in. */
  async adopt(me: Me): Promise<void> {
    this.session.stop();
    await this.turns.run(async () => {
      if (this.model.account && this.model.account.me.uid !== me.uid) await this.model.wipe();
      await this.model.setAccount({ me, live: true });
      await this.events.reload();
    });
    this.ending = undefined;
    this.profileAt = 0;
    this.events.replaced(false);
    this.session.start();
    void this.refresh();
  }

  // -------------------------------------------------------------------------------------------- profile

  /** My profile as an answer or an event told it. */
  learn({ nickname, signature, email, findableByEmail }: Profile): Promise<void> {
    return this.change({ nickname, signature, findableByEmail, ...(email === "" ? {} : { email }) });
  }

  /** Changes may come at once, of the profile and of the greeting: each is made to what the last one left. */
  private async change(change: Partial<Me>): Promise<void> {
    const me = await this.turns.run(async () => {
      const { account } = this.model;
      if (!account) return undefined;
      const changed = { ...account.me, ...change };
      await this.model.setAccount({ ...account, me: changed });
      return changed;
    });
    if (!me) return;
    await this.events.named(me);
    this.events.changed();
  }

  private async refresh(): Promise<void> {
    if (Date.now() - this.profileAt < PROFILE_FRESH_MS) return;
    this.profileAt = Date.now();
    const profile = await this.gate.profile().catch(() => undefined);
    if (profile && profile.uid === this.model.myUid) await this.change(profile);
    else this.profileAt = 0;
  }

  // -------------------------------------------------------------------------------------------- going

  /** Removes everything kept here, and tells the server as soon as it can be told. */
  async logOut(): Promise<void> {
    this.session.stop();
    const isOwed = this.model.account?.live === true;
    await this.turns.run(async () => {
      await this.model.wipe(isOwed ? { logOutOwed: true } : {});
      this.session.restore();
    });
    this.ending = undefined;
    this.events.replaced(true);
    if (isOwed) await this.payLogOut();
  }

  private async payLogOut(): Promise<void> {
    if (this.model.account?.live) return;
    try {
      await this.gate.logOut();
    } catch (error) {
      const { code } = error as EngineError;
      if (code === "offline" || code === "timeout" || code === "unavailable") {
        setTimeout(() => void this.payLogOut(), LOG_OUT_RETRY_MS);
        return;
      }
    }
    await this.turns.run(() => this.store.write({ facts: { logOutOwed: false } })).catch(() => undefined);
  }

  /** Back to the log-in page; what is kept stays for the same account. */
  async leave(): Promise<void> {
    const { account } = this.model;
    this.session.stop();
    if (account) {
      const { ended: _, ...rest } = account;
      await this.turns.run(() => this.model.setAccount({ ...rest, live: false }));
    }
    this.ending = undefined;
    this.events.replaced(false);
  }

  // -------------------------------------------------------------------------------------------- what the session tells

  /** False: the cookie is another account's, so this one has no session any more. */
  greeted({ uid, nickname, session }: Hello): boolean {
    if (uid !== this.model.myUid) {
      this.session.stop();
      this.ended("expired");
      return false;
    }
    void this.change({ nickname, session }).then(() => this.refresh());
    return true;
  }

  /** Without a cookie the connection just waits: HTTP tells whether the session is over. */
  async silent(): Promise<void> {
    try {
      await this.gate.profile();
    } catch (error) {
      const { code } = error as EngineError;
      if (code !== "unauthorized" && code !== "disabled") return;
      this.session.stop();
      this.ended(code === "disabled" ? "disabled" : "expired");
    }
  }

  ended(ended: Ended): void {
    this.ending = ended;
    const { account } = this.model;
    const isOver = ended !== "replaced" && ended !== "incompatible";
    if (account && isOver)
      void this.turns.run(() => this.model.setAccount({ ...account, live: false, ended } satisfies Account));
    this.events.changed();
  }

  /** The person wants the connection back, also where another tab or browser had taken it. */
  reconnect(): void {
    if (this.ending !== "replaced" && this.ending !== "incompatible") return this.session.dialNow();
    this.ending = undefined;
    this.events.changed();
    void this.turns
      .run(() => this.events.reload())
      .then(() => this.session.start())
      .catch(() => this.ended("replaced"));
  }
}
