/** The engine of the web client. The user interface sees {@link Engine} only. */
import type { Engine } from "./api";
import { EngineClient } from "./client/engine";

export type * from "./api";
export { EngineError } from "./api";

export function startEngine(): Engine {
  return new EngineClient();
}
