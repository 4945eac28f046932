/** Whom the composer offers after an @. Pure. */
import { matches } from "./names";
import type { Picked } from "./text";

const SUGGESTIONS_MAX = 6;

/** Names that begin with what was typed come first; everybody (uid 0) comes last, so that nobody calls all by mistake. */
export function suggest(people: readonly Picked[], query: string): readonly Picked[] {
  const begins = (who: Picked) => Number(who.name.toLocaleLowerCase().startsWith(query.toLocaleLowerCase()));
  const found = people.filter((who) => matches(who.name, query)).sort((a, b) => begins(b) - begins(a));
  const everybody = found.filter((who) => who.uid === 0);
  return [...found.filter((who) => who.uid !== 0).slice(0, SUGGESTIONS_MAX - everybody.length), ...everybody];
}
