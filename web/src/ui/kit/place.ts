/** Puts a floating box near a point or an element, within the window. Sets style properties, which a strict policy allows. */
export interface Anchor {
  readonly left: number;
  readonly top: number;
  readonly right: number;
  readonly bottom: number;
}

const MARGIN_PX = 8;
const BELOW_PX = 4;
const ABOVE_PX = 8;

export const atPoint = (x: number, y: number): Anchor => ({ left: x, right: x, top: y, bottom: y });

/** Below the anchor when there is room, else above; its side of the anchor that keeps it within the window. */
export function place(
  box: HTMLElement,
  anchor: Anchor,
  align: "start" | "end" = "start",
  prefer: "below" | "above" = "below",
): void {
  const { offsetWidth: width, offsetHeight: height } = box;
  const below = anchor.bottom + BELOW_PX;
  const above = anchor.top - ABOVE_PX - height;
  const fitsBelow = below + height + MARGIN_PX <= innerHeight;
  const top = prefer === "below" ? (fitsBelow ? below : above) : above >= MARGIN_PX ? above : below;
  const left = align === "start" ? anchor.left : anchor.right - width;
  box.style.top = `${clamp(top, innerHeight - height)}px`;
  box.style.left = `${clamp(left, innerWidth - width)}px`;
}

const clamp = (at: number, most: number) => Math.max(MARGIN_PX, Math.min(at, most - MARGIN_PX));
