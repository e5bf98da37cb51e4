// The lines that the list holds, with the heights of their rows: at most `capacity` lines, and a
// bounded number of characters. Pure.

import { Groups } from './groups.js';
import { Heights } from './heights.js';
import { Ring } from './ring.js';

/** @typedef {import('../types.js').Entry} Entry */

// At 300 bytes each some 30 MB, and twice as many as the service's backlog.
export const CAPACITY = 100_000;
// CAPACITY lines of usual length have a tenth of it. It bounds the memory to 64 to 128 MB when
// lines have megabytes.
const MOST_CHARACTERS = 64_000_000;

export class HeldLines {
  groups = new Groups();
  #characters = 0;
  #estimate;

  /** @param {number} capacity
   * @param {(entry: Entry, seq: number) => number} estimate the height of a row, in pixels */
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

  /** @param {Entry} entry
   * @returns {number} the head of its group; -1 if it has a row of its own */
  push(entry) {
    this.#characters += entry.message.length;
    const seq = this.ring.push(entry);
    const head = this.groups.push(seq, entry, this.ring.first);
    this.heights.push(head < 0 ? this.#estimate(entry, seq) : 0);
    return head;
  }

  /** Forget the oldest line.
   * @returns {{height: number, next: number}} `height` of its row; `next`: the line of its group that
   *   has a row now, or -1 */
  shift() {
    const next = this.groups.evict(this.ring.first);
    this.#characters -= this.ring.shift()?.message.length ?? 0;
    const height = this.heights.shift();
    if (next >= 0) this.heights.set(next, this.#estimateAt(next));
    return { height, next };
  }

  /** @param {number} seq */
  #estimateAt(seq) {
    const entry = /** @type {Entry} */ (this.ring.at(seq));
    return this.groups.isMember(seq) ? 0 : this.#estimate(entry, seq);
  }

  /** Estimate all heights again. */
  estimateAll() {
    this.heights.reset(this.ring.first);
    for (let seq = this.ring.first; seq < this.ring.end; seq++) {
      this.heights.push(this.#estimateAt(seq));
    }
  }

  clear() {
    this.#characters = 0;
    this.ring.clear();
    this.groups.clear();
    this.heights.reset(this.ring.end);
  }
}
