/** A count that only grows. */
export class Counter {
  #value = 0;
  #base = 0;
  #followed = 0;
  #said = false;

  /** Negative amounts and what is no number are ignored: a counter never goes down. */
  add(amount = 1): void {
    this.#said = true;
    if (amount > 0 && Number.isFinite(amount)) this.#value += amount;
  }

  /**
   * Takes over a count that is kept elsewhere. When that one began again from zero (a model was opened anew), this one
   * goes on from where it was.
   */
  follow(total: number): void {
    if (!Number.isFinite(total)) return;
    this.#said = true;
    if (total < this.#followed) this.#base += this.#followed;
    this.#followed = total;
  }

  /** null until something was counted or said to be zero. */
  get value(): number | null {
    return this.#said ? this.#value + this.#base + this.#followed : null;
  }
}
