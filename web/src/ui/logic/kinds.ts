/** What a conversation of each kind is to the person who reads it. Pure. */
import type { Conversation } from "../../engine/api";

/** Of more than two: it has a list of members, who speaks is said, and one may leave. */
export const hasMembers = (of: Pick<Conversation, "kind">): boolean => of.kind === "group" || of.kind === "room";

/** Stands under "Groups" among the contacts: rooms have a page of their own, notices are nobody's group. */
export const isMyGroup = (of: Pick<Conversation, "kind" | "left">): boolean => of.kind === "group" && !of.left;

/** Whether anything I do there can be accepted; being silenced passes and is told apart. */
export const mayWrite = (of: Pick<Conversation, "kind" | "left">): boolean => of.kind !== "notice" && !of.left;
