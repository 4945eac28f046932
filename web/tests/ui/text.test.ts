import { describe, expect, test } from "vitest";
import { asText, byteLength, compose, isBigEmoji, linkify, mentionQuery, safeHref } from "../../src/ui/logic/text";

const shape = (text: string) => linkify(text).map((part) => (part.kind === "link" ? `[${part.text}]` : part.text));

describe("links in text", () => {
  test.each([
    ["see https://example.org/a?b=c#d now", ["see ", "[https://example.org/a?b=c#d]", " now"]],
    ["(https://example.org/x).", ["(", "[https://example.org/x]", ")."]],
    ["https://en.wikipedia.org/wiki/Skein_(yarn), yes", ["[https://en.wikipedia.org/wiki/Skein_(yarn)]", ", yes"]],
    ["看 https://example.org/路，好吗", ["看 ", "[https://example.org/路]", "，好吗"]],
    ["www.example.org!", ["[www.example.org]", "!"]],
    ["javascript:alert(1) data:text/html,x file:///etc", ["javascript:alert(1) data:text/html,x file:///etc"]],
    ["https:// and http://", ["https:// and http://"]],
    ["", []],
  ])("%j", (text, parts) => expect(shape(text)).toEqual(parts));

  test("joined again, the parts are the text", () => {
    const text = "a https://x.example/)…https://y.example,, <b>&amp;</b> www.z.example";
    expect(
      linkify(text)
        .map((part) => part.text)
        .join(""),
    ).toBe(text);
  });

  test.each(["javascript:alert(1)", "data:text/html,x", "vbscript:x", "blob:x", "//example.org", "nonsense"])(
    "%s is not followed",
    (address) => expect(safeHref(address)).toBeUndefined(),
  );

  test("sixteen kilobytes of nearly-links are cut quickly", () => {
    const began = performance.now();
    linkify(`${"https://".repeat(2_000)}${")".repeat(4_000)}`);
    expect(performance.now() - began).toBeLessThan(200);
  });
});

describe("what is sent", () => {
  const ann = { uid: 7, name: "Ann" };
  const anna = { uid: 8, name: "Anna Lee" };

  test("picked names become mentions, the longest first", () => {
    expect(compose("@Anna Lee and @Ann, hi", [ann, anna])).toEqual([
      { kind: "mention", uid: 8 },
      { kind: "text", text: " and " },
      { kind: "mention", uid: 7 },
      { kind: "text", text: ", hi" },
    ]);
  });

  test("a name that was not picked stays text", () => {
    expect(compose("@Ann", [])).toEqual([{ kind: "text", text: "@Ann" }]);
  });

  test("links with a scheme become links, spaces around go, nothing is nothing", () => {
    expect(compose("  go https://x.example \n", [])).toEqual([
      { kind: "text", text: "go " },
      { kind: "link", url: "https://x.example" },
    ]);
    expect(compose(" \n\t", [])).toEqual([]);
  });

  test("to edit a message is to see what was typed", () => {
    const text = "@Anna Lee look: https://x.example/ now";
    const segments = compose(text, [anna]);
    expect(asText(segments, () => "Anna Lee")).toBe(text);
    expect(compose(text, [anna])).toEqual(segments);
  });

  test("the limit counts bytes", () => expect(byteLength("é中👍")).toBe(9));
});

test.each([
  ["👍", true],
  ["👨‍👩‍👧‍👦 👍🏽", true],
  ["❤️❤️❤️", true],
  ["👍👍👍👍", false],
  ["1 2", false],
  ["ok 👍", false],
  ["", false],
])("large emoji: %s → %s", (text, big) => expect(isBigEmoji(text)).toBe(big));

test.each([
  ["hello @an", 9, { from: 6, query: "an" }],
  ["@", 1, { from: 0, query: "" }],
  ["你好@张", 4, { from: 2, query: "张" }],
  ["mail ann@example", 16, undefined],
  ["@ann hi", 7, undefined],
  ["@ann hi", 3, { from: 0, query: "an" }],
])("mention being typed: %s at %d", (text, caret, expected) => expect(mentionQuery(text, caret)).toEqual(expected));
