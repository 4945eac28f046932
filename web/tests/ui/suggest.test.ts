import { expect, test } from "vitest";
import { suggest } from "../../src/ui/logic/suggest";

const EVERYBODY = { uid: 0, name: "everybody" };
const named = (...names: string[]) => [EVERYBODY, ...names.map((name, at) => ({ uid: at + 1, name }))];
const offered = (names: string[], query: string) => suggest(named(...names), query).map((who) => who.name);

test("a bare @ offers a person first and everybody last", () =>
  expect(offered(["Ann", "Bob"], "")).toEqual(["Ann", "Bob", "everybody"]));

test("everybody has a place in a crowd", () => {
  const crowd = offered(["Ann", "Bob", "Cid", "Dan", "Eve", "Fay", "Gil"], "");
  expect(crowd).toHaveLength(6);
  expect(crowd.at(-1)).toBe("everybody");
});

test("names that begin with what was typed come first", () =>
  expect(offered(["Jacob", "Bob"], "b")).toEqual(["Bob", "Jacob", "everybody"]));

test("who does not match is not offered", () => expect(offered(["Ann", "Bob"], "an")).toEqual(["Ann"]));
