/**
 * A reader who goes through a conversation as fast as it is drawn, within the page: scrolls a little in each frame, and looks
 * in each at what is drawn. Messages are numbered by their first word.
 */
import type { Page } from "playwright-core";

export interface Journey {
  readonly towards: "top" | "end";
  readonly pxPerFrame: number;
  /** Ends there: the seq of the first or last message; or after so many frames. */
  readonly untilSeq: number;
  readonly framesMax: number;
}

export interface Seen {
  readonly frames: number;
  readonly arrived: boolean;
  /** Frames in which what is drawn was no run without gaps, or a message was another than before. */
  readonly disorders: readonly string[];
  /** Largest move of a line in view that nobody asked for. */
  readonly worstDriftPx: number;
  readonly linesMax: number;
  /** How many of the numbered messages were in some frame, on all journeys so far. */
  readonly met: number;
}

export function travel(page: Page, journey: Journey, messages: number): Promise<Seen> {
  return page.evaluate(
    ([journey, messages]) => {
      const view = document.querySelector("[role=log]") as HTMLElement;
      const kept = window as unknown as { seqOf?: Int32Array };
      kept.seqOf ??= new Int32Array(messages);
      const { seqOf } = kept;
      const disorders: string[] = [];
      let before = new Set<number>();
      let anchor: { element: Element; top: number } | undefined;
      let asked = 0;
      let worstDriftPx = 0;
      let linesMax = 0;

      const wrong = (what: string) => disorders.length < 20 && disorders.push(what);
      const look = () => {
        const lines = [...view.querySelectorAll<HTMLElement>("[data-seq]")];
        const now = new Set<number>();
        let last = 0;
        for (const line of lines) {
          const seq = Number(line.dataset.seq);
          if (last > 0 && seq !== last + 1) wrong(`${seq} after ${last}`);
          last = seq;
          now.add(seq);
          if (!before.has(seq)) meet(line, seq);
        }
        before = now;
        linesMax = Math.max(linesMax, lines.length);
        return lines;
      };
      const meet = (line: HTMLElement, seq: number) => {
        const text = line.querySelector(".text")?.textContent;
        if (!text) return;
        const number = Number.parseInt(text, 10);
        if (seqOf[number] !== 0 && seqOf[number] !== seq) wrong(`message ${number} at ${seqOf[number]} and ${seq}`);
        seqOf[number] = seq;
      };
      const measure = () => {
        if (!anchor) return;
        if (!anchor.element.isConnected) wrong("a line in view went");
        else
          worstDriftPx = Math.max(
            worstDriftPx,
            Math.abs(anchor.element.getBoundingClientRect().top - anchor.top - asked),
          );
      };
      const move = (lines: readonly HTMLElement[]) => {
        const from = view.scrollTop;
        const box = view.getBoundingClientRect();
        const middle = lines.find((line) => line.getBoundingClientRect().top > box.top + box.height / 2);
        const element = middle?.querySelector(".bubble") ?? middle;
        anchor = element && { element, top: element.getBoundingClientRect().top };
        view.scrollTop = from + (journey.towards === "top" ? -journey.pxPerFrame : journey.pxPerFrame);
        asked = from - view.scrollTop;
      };

      return new Promise<Seen>((done) => {
        let frames = 0;
        const frame = () => {
          frames++;
          measure();
          const lines = look();
          move(lines);
          const edge = lines.at(journey.towards === "top" ? 0 : -1)?.dataset.seq;
          const arrived = asked === 0 && Number(edge) === journey.untilSeq;
          if (!arrived && frames < journey.framesMax) return void requestAnimationFrame(frame);
          const met = seqOf.reduce((sum, seq) => sum + (seq > 0 ? 1 : 0), 0);
          done({ frames, arrived, disorders, worstDriftPx, linesMax, met });
        };
        requestAnimationFrame(frame);
      });
    },
    [journey, messages] as const,
  );
}
