/**
 * WebSocket text messages: JSON envelopes `{type, seq, payload}` whose payloads are canonical Protobuf JSON.
 *
 * Reading fills in defaults and drops what it does not know, so everything behind it sees whole, typed messages; it
 * refuses what has the wrong shape. Writing leaves defaults out and makes 64-bit numbers decimal strings.
 */
import { ENUMS, FIELDS, type Messages, PUSHES, type Pushes, REQUESTS, type Requests } from "./generated";

export class WireError extends Error {}

interface Field {
  readonly name: string;
  /** A scalar's letter, or the name of a message or enum. */
  readonly type: string;
  readonly mark: "" | "?" | "*";
}

const parsed = new Map<string, readonly Field[]>();

function fieldsOf(message: string): readonly Field[] {
  let fields = parsed.get(message);
  if (!fields) {
    const text = FIELDS[message as keyof Messages];
    fields = text === "" ? [] : text.split(" ").map(field);
    parsed.set(message, fields);
  }
  return fields;
}

function field(text: string): Field {
  const [, name = "", mark = "", type = ""] = /^(\w+)([?*]?):(\w+)$/.exec(text) ?? [];
  return { name, mark: mark as Field["mark"], type };
}

type Json = Record<string, unknown>;

function isObject(value: unknown): value is Json {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

export function read<M extends keyof Messages>(message: M, json: unknown): Messages[M] {
  return readMessage(message, json ?? {}) as unknown as Messages[M];
}

function readMessage(message: string, json: unknown): Json {
  if (!isObject(json)) throw new WireError(`${message} is no object`);
  const result: Json = {};
  for (const { name, type, mark } of fieldsOf(message)) {
    const value = json[name];
    if (mark === "*") result[name] = readList(type, value);
    else if (value !== undefined && value !== null) result[name] = readValue(type, value);
    else if (mark === "") result[name] = defaultOf(type);
  }
  return result;
}

function readList(type: string, value: unknown): unknown[] {
  if (value === undefined || value === null) return [];
  if (!Array.isArray(value)) throw new WireError("a list is none");
  return value.map((item) => readValue(type, item));
}

function readValue(type: string, value: unknown): unknown {
  switch (type) {
    case "n":
    case "i":
      return readNumber(value);
    case "x":
      return String(value);
    case "s":
      if (typeof value !== "string") throw new WireError("a text is none");
      return value;
    case "b":
      if (typeof value !== "boolean") throw new WireError("a truth value is none");
      return value;
    default: {
      const names = ENUMS[type];
      if (!names) return readMessage(type, value);
      // What a newer server says reads as the first one.
      return names.includes(value as string) ? value : names[0];
    }
  }
}

function readNumber(value: unknown): number {
  const number = typeof value === "string" && value !== "" ? Number(value) : value;
  if (typeof number !== "number" || !Number.isInteger(number)) throw new WireError("a number is none");
  return number;
}

function defaultOf(type: string): unknown {
  switch (type) {
    case "n":
    case "i":
      return 0;
    case "x":
      return "0";
    case "s":
      return "";
    case "b":
      return false;
    default:
      return ENUMS[type]?.[0];
  }
}

/** What may be left out may be left out here, too. */
export type Loose<T> = T extends readonly (infer I)[]
  ? readonly Loose<I>[]
  : T extends object
    ? { readonly [K in keyof T]?: Loose<T[K]> | undefined }
    : T;

function write(message: string, value: Json): Json {
  const result: Json = {};
  for (const { name, type, mark } of fieldsOf(message)) {
    const field = value[name];
    if (field === undefined || (mark === "" && field === defaultOf(type))) continue;
    if (mark !== "*") result[name] = writeValue(type, field);
    else if ((field as unknown[]).length > 0) result[name] = (field as unknown[]).map((item) => writeValue(type, item));
  }
  return result;
}

function writeValue(type: string, value: unknown): unknown {
  if (type === "n") return String(value);
  return type.length > 1 && !ENUMS[type] ? write(type, value as Json) : value;
}

export function encodeRequest<T extends keyof Requests>(type: T, seq: number, payload: Loose<Requests[T][0]>): string {
  return JSON.stringify({ type, seq, payload: write(REQUESTS[type][0], payload as Json) });
}

/** One text message of the server, its payload still unread: only the request tells what a reply must be. */
export interface Envelope {
  readonly type: string;
  readonly seq: number;
  readonly payload: unknown;
}

export function decodeEnvelope(text: string): Envelope {
  let json: unknown;
  try {
    json = JSON.parse(text);
  } catch {
    throw new WireError("not JSON");
  }
  if (!isObject(json) || typeof json.type !== "string") throw new WireError("no envelope");
  return { type: json.type, seq: json.seq === undefined ? 0 : readNumber(json.seq), payload: json.payload };
}

export type Push = { [T in keyof Pushes]: { readonly type: T; readonly payload: Pushes[T] } }[keyof Pushes];

/** `undefined` for pushes of a newer server. */
export function readPush(envelope: Envelope): Push | undefined {
  const message = PUSHES[envelope.type as keyof Pushes];
  if (!message) return undefined;
  return { type: envelope.type, payload: read(message, envelope.payload) } as Push;
}

export function readReply<T extends keyof Requests>(request: T, envelope: Envelope): Requests[T][1] {
  const [, replyType, message] = REQUESTS[request];
  if (envelope.type !== replyType) throw new WireError(`${envelope.type} is no reply to ${request}`);
  return read(message, envelope.payload) as Requests[T][1];
}
