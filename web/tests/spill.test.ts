import { expect, test } from "vitest";
import { Memory } from "../src/engine/store/memory";
import type { Loaded, Row, Write } from "../src/engine/store/rows";
import { Spill } from "../src/engine/store/spill";
import { CHAT, conversation, message } from "./make";

/** A disk that takes nothing more from a moment on. */
class Disk extends Memory {
  refuses: string | undefined;

  override async write(write: Write): Promise<void> {
    if (this.refuses) throw new DOMException("no", this.refuses);
    await super.write(write);
  }

  peek(): Promise<Loaded> {
    return this.open();
  }
}

const row = (from: number, position: number, draft = ""): Row => {
  const info = conversation();
  const me = info.me && { ...info.me, draft };
  const told = { readCount: 0, toldRead: 0, mention: 0, draftTold: true };
  return { id: CHAT, info: { ...info, ...(me ? { me } : {}) }, from, position, ...told };
};
const line = (seq: number) => ({ conversation: CHAT, seq, count: seq, event: message(seq) });
const place = (cursor: string) => ({ place: { epoch: "1", cursor } });

async function filled(): Promise<{ disk: Disk; spill: Spill; told: () => number }> {
  const disk = new Disk();
  await disk.write({ rows: [row(1, 2, "half a thought")], lines: [line(1), line(2)], facts: place("at 2") });
  const spill = new Spill(disk);
  let told = 0;
  spill.onFull = () => told++;
  await spill.open();
  return { disk, spill, told: () => told };
}

test("while there is room everything is on disk", async () => {
  const { disk, spill, told } = await filled();
  await spill.write({ rows: [row(1, 3)], lines: [line(3)] });
  expect((await disk.linesAbove(CHAT, 0, 9)).map(({ seq }) => seq)).toEqual([1, 2, 3]);
  expect([spill.isFull, told()]).toEqual([false, 0]);
});

test("a refused write is kept in memory but for the log, which comes again from where the disk was", async () => {
  const { disk, spill, told } = await filled();
  disk.refuses = "QuotaExceededError";
  const person = { uid: 9, nickname: "Cy", signature: "", askedAtMs: 1 };
  await spill.write({ rows: [row(1, 3)], lines: [line(3)], facts: place("at 3"), people: [person] });
  await spill.write({ lines: [line(4)], facts: place("at 4") });
  expect([spill.isFull, told()]).toEqual([true, 1]);
  const kept = await spill.open();
  expect(kept.facts).toEqual(place("at 2"));
  expect(kept.people).toEqual([person]);
  expect(kept.rows).toMatchObject([{ from: 3, position: 2, info: { me: { draft: "half a thought" } } }]);
  expect(await spill.linesAbove(CHAT, 0, 9)).toEqual([]);
  await spill.write({ rows: [row(3, 3)], lines: [line(3)], facts: place("at 3") });
  expect((await spill.linesAbove(CHAT, 0, 9)).map(({ seq }) => seq)).toEqual([3]);
  expect((await spill.open()).facts).toEqual(place("at 3"));
});

test("a disk that is full when it is opened is read all the same; other failures are failures", async () => {
  const disk = new Disk();
  await disk.write({ facts: place("at 2") });
  disk.open = async () => {
    throw new DOMException("no", "QuotaExceededError");
  };
  disk.peek = () => new Memory().open();
  expect((await new Spill(disk).open()).rows).toEqual([]);
  const { disk: broken, spill, told } = await filled();
  broken.refuses = "UnknownError";
  await expect(spill.write({ facts: {} })).rejects.toThrow("no");
  expect([spill.isFull, told()]).toEqual([false, 0]);
});
