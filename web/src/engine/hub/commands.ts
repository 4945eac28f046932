/** Commands of a tab, each one turned into requests to the server and what they change here. */
import {
  type Device,
  EngineError,
  type FriendRequest,
  type Limits,
  type Page,
  type Profile,
  type Room,
  type Segment,
} from "../api";
import { offline, retryOf } from "../errors";
import type { Gate } from "../net/gate";
import { uuidV7 } from "../random";
import type { Model } from "../sync/model";
import { WAITING_MAX, type Waiting } from "../sync/outbox";
import type { Session } from "../sync/session";
import type { Turns } from "../sync/turns";
import type { Loose } from "../wire/codec";
import type { Body, Requests } from "../wire/generated";
import type { Directory } from "./directory";
import type { Identity } from "./identity";
import { bodyOf, bytesOf, roleOf } from "./items";
import type { Calls } from "./messages";
import type { Pane } from "./pane";
import type { Port } from "./port";
import { roomOf } from "./rows";
import type { Tabs } from "./tabs";

/** A change whose outcome is unknown is asked for again with the same key, so often and not longer apart than this. */
const TRIES = 4;
const PAUSE_MAX_MS = 3_000;
const PAGE = 50;

/** What commands work on. */
export interface Desk {
  readonly gate: Gate;
  readonly model: Model;
  readonly turns: Turns;
  readonly session: Session;
  readonly directory: Directory;
  readonly identity: Identity;
  readonly tabs: Tabs;
  readonly limits: Limits;
}

export type Commands = {
  [C in keyof Calls]: (port: Port, ...args: Parameters<Calls[C]>) => Promise<ReturnType<Calls[C]>>;
};

export function commands(desk: Desk): Commands {
  return { ...accounts(desk), ...people(desk), ...chats(desk), ...timelines(desk) };
}

type Part<K extends keyof Calls> = Pick<Commands, K>;

function accounts(
  desk: Desk,
): Part<
  | "requestCode"
  | "register"
  | "logIn"
  | "resetPassword"
  | "logOut"
  | "logOutEverywhere"
  | "devices"
  | "endDevice"
  | "leaveSession"
  | "setProfile"
> {
  const { gate } = desk;
  return {
    requestCode: (_, email, purpose) => gate.requestCode(email, purpose),
    register: (_, email, code, password, nickname) => gate.register(email, code, password, nickname),
    logIn: async (_, email, password, client) => {
      const { uid, nickname, session } = await gate.logIn(email, password, client);
      await desk.identity.adopt({ uid, nickname, session, signature: "", email, findableByEmail: false });
    },
    resetPassword: (_, email, code, password) => gate.resetPassword(email, code, password),
    logOut: () => desk.identity.logOut(),
    logOutEverywhere: async () => {
      await gate.logOutEverywhere();
      await desk.identity.logOut();
    },
    devices: (): Promise<Device[]> => gate.devices(),
    endDevice: (_, session) => gate.endDevice(session),
    leaveSession: () => desk.identity.leave(),
    setProfile: async (_, change) => {
      const { profiles } = await ask(desk, "changeProfile", change);
      if (profiles[0]) await desk.identity.learn(profiles[0]);
    },
  };
}

function people(desk: Desk): Part<"search" | "apply" | "answer" | "setRemark" | "deleteFriend" | "block"> {
  return {
    search: async (_, query, cursor): Promise<Page<Profile>> => {
      const answer = await ask(desk, "search", { ...query, cursor });
      await desk.directory.learn(answer.profiles, true);
      return {
        items: answer.profiles.map(({ uid, nickname, signature }) => ({ uid, nickname, signature })),
        cursor: answer.cursor,
      };
    },
    apply: async (_, uid, greeting): Promise<FriendRequest> =>
      learnRequest(desk, await ask(desk, "apply", { uid, greeting })),
    answer: async (_, request, accept): Promise<FriendRequest> =>
      learnRequest(desk, await ask(desk, "answer", { request, accept })),
    setRemark: async (_, uid, remark) => learnFriend(desk, await ask(desk, "changeRemark", { uid, remark })),
    deleteFriend: async (_, uid) => {
      await ask(desk, "deleteFriend", { uid });
      await desk.directory.unfriend(uid);
    },
    block: async (_, uid, on) => learnFriend(desk, await ask(desk, "block", { uid, on })),
  };
}

function learnRequest(desk: Desk, { request }: Requests["apply"][1]): Promise<FriendRequest> {
  if (!request) throw new EngineError("internal", "the server answered without a request");
  return desk.directory.learnRequest(request);
}

async function learnFriend(desk: Desk, { friend }: Requests["block"][1]): Promise<void> {
  if (friend) await desk.directory.learnFriend(friend);
}

function chats(
  desk: Desk,
): Part<
  | "openDirect"
  | "createGroup"
  | "createRoom"
  | "joinRoom"
  | "rooms"
  | "members"
  | "setInfo"
  | "invite"
  | "remove"
  | "leaveConversation"
  | "transfer"
  | "setRole"
  | "silence"
  | "setPinned"
  | "setMuted"
> {
  const learn = async ({ conversation }: Requests["openDirect"][1]): Promise<number> => {
    if (!conversation) throw new EngineError("internal", "the server answered without a conversation");
    await desk.session.learn(conversation);
    return conversation.id;
  };
  const settings = async (conversation: number, change: { pinned?: boolean; muted?: boolean }): Promise<void> => {
    const reply = await ask(desk, "changeSettings", { conversation, ...change });
    if (await desk.turns.run(() => desk.model.membership({ ...reply, conversation })))
      desk.tabs.changed([conversation]);
  };
  const change = async <T extends keyof Requests>(type: T, payload: Loose<Requests[T][0]>): Promise<void> => {
    await ask(desk, type, { ...payload, key: uuidV7() });
  };
  return {
    openDirect: async (_, uid) => {
      for (const { id, info } of desk.model.rows.values()) if (info.kind === "DIRECT" && info.peer === uid) return id;
      return learn(await ask(desk, "openDirect", { uid }));
    },
    createGroup: async (_, title, uids) => learn(await ask(desk, "createGroup", { key: uuidV7(), title, uids })),
    createRoom: async (_, title) => learn(await ask(desk, "clientCreateRoom", { key: uuidV7(), roomName: title })),
    joinRoom: async (_, conversation) => learn(await ask(desk, "joinRoom", { key: uuidV7(), conversation })),
    rooms: async (_, cursor): Promise<Page<Room>> => {
      const page = await ask(desk, "listRooms", { cursor, count: PAGE, watch: desk.tabs.watchesRooms });
      return {
        items: page.rooms.map((room) => roomOf(room, desk.model.rows.get(room.conversation))),
        cursor: page.cursor,
      };
    },
    members: async (_, conversation, cursor) => {
      const page = await ask(desk, "listMembers", { conversation, cursor, count: PAGE });
      await desk.directory.learn(page.members, false);
      return { items: page.members.map((member) => ({ ...member, role: roleOf(member.role) })), cursor: page.cursor };
    },
    setInfo: (_, conversation, info) => change("changeInfo", { conversation, ...info }),
    invite: (_, conversation, uids) => change("invite", { conversation, uids }),
    remove: (_, conversation, uid) => change("removeMember", { conversation, uid }),
    leaveConversation: (_, conversation) => change("leave", { conversation }),
    transfer: (_, conversation, uid) => change("transfer", { conversation, uid }),
    setRole: (_, conversation, uid, role) =>
      change("changeRole", { conversation, uid, role: role === "admin" ? "ADMIN" : "MEMBER" }),
    silence: (_, conversation, uid, untilMs) => change("silence", { conversation, uid, untilMs }),
    setPinned: (_, conversation, pinned) => settings(conversation, { pinned }),
    setMuted: (_, conversation, muted) => settings(conversation, { muted }),
  };
}

function timelines(
  desk: Desk,
): Part<
  "older" | "newer" | "around" | "latest" | "send" | "retry" | "discard" | "edit" | "recall" | "react" | "forward"
> {
  const changed = (conversation: number) => desk.tabs.changed([conversation]);
  return {
    older: (port, pane) => paneOf(port, pane).older(),
    newer: (port, pane) => paneOf(port, pane).newer(),
    around: (port, pane, seq) => paneOf(port, pane).around(seq),
    latest: (port, pane) => paneOf(port, pane).latest(),
    send: async (port, id, segments, replyTo) => {
      const pane = paneOf(port, id);
      const body = soundBody(desk, segments);
      await enqueue(desk, [{ conversation: pane.conversation, key: uuidV7(), body, replyTo }]);
      if (!pane.isAtEnd) await pane.latest();
      changed(pane.conversation);
    },
    retry: async (_, key) => {
      const conversation = desk.model.echoes.get(key)?.conversation;
      await desk.turns.run(() => desk.session.outgoing.retry(key));
      if (conversation !== undefined) changed(conversation);
    },
    discard: async (_, key) => {
      const conversation = desk.model.echoes.get(key)?.conversation;
      await desk.turns.run(() => desk.session.outgoing.discard(key));
      if (conversation !== undefined) changed(conversation);
    },
    edit: async (_, conversation, target, segments) => {
      await ask(desk, "edit", { conversation, key: uuidV7(), target, body: soundBody(desk, segments) });
    },
    recall: async (_, conversation, target) => {
      await ask(desk, "recall", { conversation, key: uuidV7(), target });
    },
    react: async (_, conversation, target, emoji, on) => {
      await ask(desk, "react", { conversation, key: uuidV7(), target, emoji, on });
    },
    forward: async (_, conversation, seqs, targets) => {
      const places = [...seqs].sort((a, b) => a - b).map((seq) => ({ conversation, seq }));
      const lines = await desk.turns.run(() => desk.model.store.linesAt(places));
      const bodies = lines.map(({ message }) => message?.body).filter((body): body is Body => body !== undefined);
      if (bodies.length < seqs.length) throw new EngineError("not_found", "a message is not kept here");
      const sends = targets.flatMap((target) =>
        bodies.map((body) => ({ conversation: target, key: uuidV7(), body, replyTo: 0 })),
      );
      await enqueue(desk, sends);
      desk.tabs.changed(targets);
    },
  };
}

function paneOf(port: Port, id: number): Pane {
  const pane = port.panes.get(id);
  if (!pane) throw new EngineError("logged_out", "the timeline is closed");
  return pane;
}

function soundBody(desk: Desk, segments: readonly Segment[]): Body {
  const body = bodyOf(segments);
  if (!body) throw new EngineError("bad_body", "nothing but spaces");
  if (bytesOf(segments) > desk.limits.textBytes) throw new EngineError("too_large", "longer than the server takes");
  return body;
}

async function enqueue(desk: Desk, sends: readonly Waiting[]): Promise<void> {
  if (!desk.model.account) throw new EngineError("logged_out", "nobody is logged in");
  await desk.turns.run(async () => {
    if (desk.session.outgoing.room < sends.length)
      throw new EngineError("outbox_full", `${WAITING_MAX} messages wait already`);
    await desk.session.outgoing.send(sends).catch((error) => {
      throw error instanceof EngineError ? error : new EngineError("store_failed", String(error));
    });
  });
}

/** Again with the same payload, so with the same key, while another try may help and the connection holds. */
async function ask<T extends keyof Requests>(
  desk: Desk,
  type: T,
  payload: Loose<Requests[T][0]>,
): Promise<Requests[T][1]> {
  if (!desk.model.account) throw new EngineError("logged_out", "nobody is logged in");
  for (let attempt = 1; ; attempt++) {
    try {
      return await desk.session.ask(type, payload);
    } catch (error) {
      const retry = retryOf(error);
      if (retry.kind === "network") throw offline();
      const pause = retry.kind === "after" ? retry.ms : 100 * 2 ** attempt;
      if (retry.kind === "never" || attempt >= TRIES || pause > PAUSE_MAX_MS) throw error;
      await new Promise((resolve) => setTimeout(resolve, pause));
    }
  }
}
