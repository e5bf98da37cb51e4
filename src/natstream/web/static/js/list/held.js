// The lines that the list holds, with the heights of their rows: at most `capacity` lines, and a
// bounded number of characters. Pure.

import { Heights } from './heights.js';
import { Ring } from './ring.js';

/** @typedef {import('../types.js').Entry} Entry */

// At 300 bytes each some 30 MB, and twice as many as the service's backlog.
export const CAPACITY = 100_000;
// CAPACITY lines of usual length have a tenth of it. It bounds the memory to 64 to 128 MB when
// lines have megabytes.
const MOST_CHARACTERS = 64_000_000;

export class HeldLines {
  #characters = 0;
  #estimate;

  /** @param {number} capacity
   * @param {(entry: Entry) => number} estimate the height of a row, in pixels */
  constructor(capacity, estimate) {
    /** @type {Ring<Entry>} */
    this.ring = new Ring(capacity);
    this.heights = new Heights(capacity);
    this.#estimate = estimate;
  }

  /** Whether the oldest line must go before this one can be added. @param {Entry} entry */
  isFullFor(entry) {
    if (this.ring.full) return true;
    const characters = this.#characters + entry.message.length;
    return characters > MOST_CHARACTERS && this.ring.length > 0;
  }

  /** @param {Entry} entry */
  push(entry) {
    this.#characters += entry.message.length;
    this.ring.push(entry);
    this.heights.push(this.#estimate(entry));
  }

  /** Forget the oldest line. @returns {number} the height of its row */
  shift() {
    this.#characters -= this.ring.shift()?.message.length ?? 0;
    return this.heights.shift();
  }

  /** Estimate all heights again. */
  estimateAll() {
    this.heights.reset(this.ring.first);
    for (let seq = this.ring.first; seq < this.ring.end; seq++) {
      this.heights.push(this.#estimate(/** @type {Entry} */ (this.ring.at(seq))));
    }
  }

  clear() {
    this.#characters = 0;
    this.ring.clear();
    this.heights.reset(this.ring.end);
  }
}
