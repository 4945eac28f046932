/** Work on the model, one piece after the other: a piece sees no half-done other one, though each waits for the store. */
export class Turns {
  private tail: Promise<unknown> = Promise.resolve();

  run<T>(work: () => Promise<T> | T): Promise<T> {
    const outcome = this.tail.then(work);
    this.tail = outcome.catch(() => undefined);
    return outcome;
  }
}
