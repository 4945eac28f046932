import { describe, expect, test } from "vitest";
import { dayLabel, dayOf, listTime } from "../../src/ui/logic/time";

const now = new Date(2026, 10, 21, 9, 30).getTime();
const words = { today: "Today", yesterday: "Yesterday" };
const at = (...when: [number, number, number, number, number]) => new Date(...when).getTime();

describe("times in lists", () => {
  test.each([
    ["today", at(2026, 10, 21, 0, 5), "00:05"],
    ["a device whose clock is ahead", at(2026, 10, 21, 9, 59), "09:59"],
    ["late yesterday", at(2026, 10, 20, 23, 59), "Yesterday"],
    ["this week", at(2026, 10, 17, 12, 0), "Tue"],
    ["this year", at(2026, 2, 4, 12, 0), "4 Mar"],
    ["before", at(2025, 10, 21, 12, 0), "21/11/2025"],
  ])("%s", (_, when, text) => expect(listTime(when, now, "en-GB", words)).toBe(text));

  test("in Chinese", () => expect(listTime(at(2026, 2, 4, 12, 0), now, "zh-CN", words)).toBe("3月4日"));
});

test("day separators", () => {
  expect(dayLabel(now, now, "en-GB", words)).toBe("Today");
  expect(dayLabel(at(2026, 10, 20, 1, 0), now, "en-GB", words)).toBe("Yesterday");
  expect(dayLabel(at(2026, 2, 4, 1, 0), now, "en-GB", words)).toBe("Wednesday 4 March");
  expect(dayLabel(at(2025, 2, 4, 1, 0), now, "en-GB", words)).toBe("4 March 2025");
});

test("two moments of one day have one midnight", () => {
  expect(dayOf(at(2026, 10, 21, 0, 0))).toBe(dayOf(at(2026, 10, 21, 23, 59)));
  expect(dayOf(at(2026, 10, 20, 23, 59))).not.toBe(dayOf(at(2026, 10, 21, 0, 0)));
});
