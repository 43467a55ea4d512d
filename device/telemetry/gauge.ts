/** A value as it is now. */
export class Gauge {
  #value: number | null = null;

  /** null: not known now. */
  set(value: number | null): void {
    this.#value = value !== null && Number.isFinite(value) ? value : null;
  }

  get value(): number | null {
    return this.#value;
  }
}
