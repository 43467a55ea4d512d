/** Devices come and go seldom; looking for them costs more than reading them. */
const EVERY_MS = 30_000;

/** What was found on the board, looked for again every 30 s. */
export class Rescan<T> {
  #found: T | undefined;
  #at = 0;

  constructor(
    private readonly find: () => T,
    private readonly now: () => number,
  ) {}

  get(): T {
    const now = this.now();
    if (this.#found === undefined || now - this.#at >= EVERY_MS) {
      this.#found = this.find();
      this.#at = now;
    }
    return this.#found;
  }
}
