import { expect, test } from "vitest";
import { buckets, hueOf, initials, isolate, letterOf, matches } from "../../src/ui/logic/names";

test.each([
  ["张三", "Z"],
  ["李雷", "L"],
  ["欧阳娜娜", "O"],
  ["安娜", "A"],
  ["曾小贤", "Z"],
  ["émile", "E"],
  ["Ann", "A"],
  ["ａｎｎ", "A"],
  ["#room", "#"],
  ["7", "#"],
  ["👻", "#"],
  ["Ωmega", "#"],
  ["  ", "#"],
])("%s stands under %s", (name, letter) => expect(letterOf(name)).toBe(letter));

test("the index has letters in order, # last, and names in order within", () => {
  const people = ["王五", "Bob", "7up", "阿强", "ann", "白云", "Zoë"].map((name) => ({ name }));
  expect(buckets(people).map(({ letter, entries }) => [letter, ...entries.map((p) => p.name)])).toEqual([
    ["A", "阿强", "ann"],
    ["B", "白云", "Bob"],
    ["W", "王五"],
    ["Z", "Zoë"],
    ["#", "7up"],
  ]);
});

test.each([
  ["张三", "zs", true],
  ["张三", "三", true],
  ["欧阳娜娜", "oyn", true],
  ["Ann Miller", "mil", true],
  ["Ann Miller", "am", false],
  ["张三", "x", false],
  ["whoever", " ", true],
])("%s is found by %s: %s", (name, query, found) => expect(matches(name, query)).toBe(found));

test.each([
  ["张伟", "张伟"],
  ["欧阳娜娜", "娜娜"],
  ["Ann Miller", "AM"],
  ["bob", "B"],
  ["👨‍👩‍👧 Family", "👨‍👩‍👧"],
  ["", "?"],
])("initials of %s", (name, letters) => expect(initials(name)).toBe(letters));

test("colours are stable and many", () => {
  expect(hueOf(42)).toBe(hueOf(42));
  expect(new Set(Array.from({ length: 200 }, (_, id) => hueOf(id))).size).toBe(12);
});

test("a name within a sentence is isolated", () => expect(isolate("\u202eevil")).toBe("\u2068\u202eevil\u2069"));
