/** The tabs at one hub: they come with `hello` and go with `bye`, or by being silent. What is told to all of them is here. */
import type { Room, Signal } from "../api";
import type { FromHub, Line, ToHub } from "./messages";
import type { Pane } from "./pane";
import { Port, type Source, type Whole } from "./port";

/** A tab that was not heard for so long is gone (a sleeping one says hello again when it wakes up). */
const SILENCE_MS = 300_000;

export class Tabs {
  private readonly ports = new Set<Port>();

  constructor(
    private readonly source: Source,
    private readonly onCome: (port: Port) => void,
    private readonly onGone: () => void,
  ) {}

  attach(line: Line<ToHub, FromHub>): void {
    let port: Port | undefined;
    line.onMessage = (message) => {
      if (message.t === "hello") {
        if (port) this.detach(port);
        port = new Port(line, this.source, message.missing);
        this.ports.add(port);
        this.onCome(port);
        return;
      }
      if (!port || !this.ports.has(port)) {
        if (message.t !== "bye") line.send({ t: "lost" });
        return;
      }
      port.heard(message);
      if (message.t === "bye") this.detach(port);
      this.forgetSilent();
    };
  }

  private detach(port: Port): void {
    port.close();
    this.ports.delete(port);
    this.onGone();
  }

  private forgetSilent(): void {
    const silent = Date.now() - SILENCE_MS;
    for (const port of this.ports) if (port.heardAt < silent) this.detach(port);
  }

  each(run: (port: Port) => void): void {
    for (const port of this.ports) run(port);
  }

  eachPane(run: (pane: Pane) => void): void {
    this.each((port) => {
      for (const pane of port.panes.values()) run(pane);
    });
  }

  eachPaneOf(conversation: number, run: (pane: Pane) => void): void {
    this.eachPane((pane) => pane.conversation === conversation && run(pane));
  }

  closePanes(): void {
    this.each((port) => {
      for (const id of [...port.panes.keys()]) port.closePane(id);
    });
  }

  get watchesRooms(): boolean {
    return [...this.ports].some((port) => port.watchesRooms);
  }

  // -------------------------------------------------------------------------------------------- what changed

  touch(...names: readonly Whole[]): void {
    this.each((port) => {
      for (const name of names) port.touch(name);
    });
  }

  touchConversations(): void {
    this.each((port) => port.touchConversations());
  }

  touchPeople(uids: readonly number[]): void {
    this.each((port) => port.touchPeople(uids));
  }

  touchRooms(rooms: readonly Room[]): void {
    this.each((port) => port.touchRooms(rooms));
  }

  /** Something about these conversations changed. */
  changed(conversations: Iterable<number>): void {
    for (const conversation of conversations) this.eachPaneOf(conversation, (pane) => pane.rowChanged());
    this.touchConversations();
  }

  /** In one tab: the one last focused. */
  signal(signal: Signal): void {
    let best: Port | undefined;
    for (const port of this.ports) if (!best || port.focusedAt > best.focusedAt) best = port;
    best?.signal(signal);
  }
}
