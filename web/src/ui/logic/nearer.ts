/**
 * From the rows that are drawn to those that should be, in steps that each cost little. Pure.
 *
 * **Invariants:** rows keep their order on the way, none is there twice, and each step leads on: when nothing is left, the
 * result is `goal` itself. What is gone goes at twice the rate at which others come, so that on the way there are never more
 * rows than before or after.
 */
interface Keyed {
  readonly key: string;
}

/**
 * At most `most` rows are made or changed: those behind what is drawn first, then those before it, from near to far. What goes
 * does so from the outside.
 */
export function nearer<R extends Keyed>(drawn: readonly R[], goal: readonly R[], most: number): readonly R[] {
  const places = new Map(goal.map((row, at) => [row.key, at]));
  const gone = leaving(drawn, places);
  const going = new Set(gone.slice(0, 2 * most));
  const stays = drawn.filter((row) => !going.has(row));
  let changes = 0;
  const now = stays.map((row) => {
    const next = goal[places.get(row.key) ?? -1] ?? row;
    if (next !== row) changes++;
    return changes > most ? row : next;
  });
  const here = new Set(stays.map((row) => places.get(row.key)).filter((at) => at !== undefined));
  const coming = new Set(missing(here, goal.length).slice(0, Math.max(0, most - changes)));
  const isDone = going.size === gone.length && changes <= most && here.size + coming.size === goal.length;
  return isDone ? goal : merged(now, coming, places, goal);
}

/** Rows without a place, in the order in which they go: those at the beginning, then the others from the end on. */
function leaving<R extends Keyed>(drawn: readonly R[], places: ReadonlyMap<string, number>): R[] {
  const first = drawn.findIndex((row) => places.has(row.key));
  const isGone = (row: R) => !places.has(row.key);
  const [before, behind] = first < 0 ? [drawn, []] : [drawn.slice(0, first), drawn.slice(first)];
  return [...before, ...behind.filter(isGone).reverse()];
}

/** Places of `goal` that are not here, in the order in which they come. */
function missing(here: ReadonlySet<number>, length: number): number[] {
  const first = here.size > 0 ? Math.min(...here) : 0;
  const behind: number[] = [];
  for (let at = first; at < length; at++) if (!here.has(at)) behind.push(at);
  return behind.concat(Array.from({ length: first }, (_, at) => first - 1 - at));
}

function merged<R extends Keyed>(
  now: readonly R[],
  coming: ReadonlySet<number>,
  places: ReadonlyMap<string, number>,
  goal: readonly R[],
): R[] {
  const next: R[] = [];
  let at = 0;
  const comeUpTo = (end: number) => {
    for (; at < end; at++) if (coming.has(at)) next.push(goal[at] as R);
  };
  for (const row of now) {
    comeUpTo(places.get(row.key) ?? at);
    next.push(row);
  }
  comeUpTo(goal.length);
  return next;
}
