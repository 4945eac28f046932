import { expect, test } from "vitest";
import { BURST_MS, Follow, NEAR_END_PX } from "../../src/ui/logic/follow";

test("fifty messages in 300 ms are one scroll; one 600 ms later is a second", () => {
  const follow = new Follow();
  for (let i = 0; i < 50; i++) {
    follow.appended(i * 6);
    expect(follow.atEnd).toBe(true);
  }
  expect(follow.scrolls).toBe(1);
  follow.appended(294 + 600);
  expect(follow.scrolls).toBe(2);
});

test("a burst lasts from its first message", () => {
  const follow = new Follow();
  expect(follow.appended(0)).toBe(true);
  expect(follow.appended(BURST_MS - 1)).toBe(false);
  expect(follow.appended(BURST_MS)).toBe(true);
});

test("a reader who scrolled up is left where they are", () => {
  const follow = new Follow();
  follow.scrolled(NEAR_END_PX + 1, true);
  expect(follow.appended(0)).toBe(false);
  expect(follow.atEnd).toBe(false);
  expect(follow.scrolls).toBe(0);
  follow.scrolled(NEAR_END_PX, false);
  expect(follow.appended(1)).toBe(true);
});

test("a small move upwards lets go, and a move downwards takes hold again", () => {
  const follow = new Follow();
  follow.scrolled(20, true);
  expect(follow.atEnd).toBe(false);
  follow.scrolled(12, false);
  expect(follow.atEnd).toBe(true);
});

test("content growing below is no scroll upwards", () => {
  const follow = new Follow();
  follow.scrolled(400, false);
  expect(follow.atEnd).toBe(true);
});

test("placing the list begins anew", () => {
  const follow = new Follow();
  follow.appended(0);
  follow.placed(false);
  expect(follow.appended(1)).toBe(false);
  follow.placed(true);
  expect(follow.appended(2)).toBe(true);
});
