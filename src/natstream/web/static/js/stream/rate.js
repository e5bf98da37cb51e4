// How many lines a second arrive, as a mean over the last seconds. Pure.

const SECONDS = 5;

export class Rate {
  /** The lines of each second, the current one last. */
  #seconds = [0];

  /** @param {number} lines that have arrived */
  add(lines) {
    this.#seconds[this.#seconds.length - 1] += lines;
  }

  /** A second has passed. */
  tick() {
    this.#seconds.push(0);
    if (this.#seconds.length > SECONDS) this.#seconds.shift();
  }

  get perSecond() {
    return this.#seconds.reduce((sum, lines) => sum + lines, 0) / this.#seconds.length;
  }
}
