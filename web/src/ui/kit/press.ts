/** A finger that stays on something for a moment: opens its menu, where a mouse has its right button. */
const HOLD_MS = 450;
/** A finger that rests moves by this much all the same. */
const TREMBLE_PX = 10;

export class LongPress {
  private timer: ReturnType<typeof setTimeout> | undefined;
  private at = { x: 0, y: 0 };
  private isHeld = false;

  constructor(private readonly open: (x: number, y: number) => void) {}

  readonly down = ({ pointerType, clientX: x, clientY: y }: PointerEvent): void => {
    if (pointerType !== "touch") return;
    this.at = { x, y };
    this.isHeld = false;
    this.timer = setTimeout(() => {
      this.isHeld = true;
      this.open(x, y);
    }, HOLD_MS);
  };

  readonly move = ({ clientX, clientY }: PointerEvent): void => {
    if (Math.hypot(clientX - this.at.x, clientY - this.at.y) > TREMBLE_PX) this.up();
  };

  readonly up = (): void => clearTimeout(this.timer);

  /** The finger that opened the menu chooses nothing in it, and nothing else, by going up. */
  readonly lift = (event: TouchEvent): void => {
    if (this.isHeld) event.preventDefault();
  };
}
