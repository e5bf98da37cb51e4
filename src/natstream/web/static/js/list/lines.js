// Where lines go: onto the list and into the histogram, or into a queue while the list is held.
//
// It is held by the reader (paused), or by itself while somebody reads lines that the next ones
// would push out. The queue is bounded: `full` is told, and should stop the stream; whatever is in
// the queue is shown, in order, when the list goes on.

/** @typedef {import('../types.js').Entry} Entry */

// Beyond that the connection is better released: the service's backlog remembers for us.
const MOST_HELD = 20_000;
const MOST_HELD_CHARACTERS = 20_000_000;
// A replay that brings nothing for so long is through.
const QUIET_MS = 2_000;
// Wider names of apps are cut, and whole in the tooltip.
const WIDEST_APP = 20;

export class Lines {
  paused = false;
  /** Whether there were lines that the reader has cleared away. */
  cleared = false;
  /** The id of a line to go to as soon as it comes; empty if there is none. */
  wanted = '';
  /** @type {Entry[]} */
  #held = [];
  #heldCharacters = 0;
  #appWidth = 3;
  #quietTimer = 0;

  /**
   * @param {{view: import('./view.js').View, bins: import('../panels/bins.js').Bins}} targets
   * @param {{full: () => void, found: (seq: number) => void,
   *   missing: (id: string) => void}} handlers
   *   `found`: the wanted line is there; `missing`: it is not, and will not come
   */
  constructor({ view, bins }, { full, found, missing }) {
    this.view = view;
    this.bins = bins;
    this.#full = full;
    this.#found = found;
    this.#missing = missing;
  }

  #full;
  #found;
  #missing;

  /** How many lines wait. */
  get waiting() {
    return this.#held.length;
  }

  /** Start over, with nothing. */
  begin() {
    this.#held = [];
    this.#heldCharacters = 0;
    this.cleared = false;
    this.bins.clear();
    this.view.clear();
  }

  /** Forget what is shown and what waits; the histogram stays. */
  clear() {
    this.cleared ||= this.view.ring.length + this.#held.length > 0;
    this.#held = [];
    this.#heldCharacters = 0;
    this.view.clear();
  }

  /** @param {Entry[]} entries */
  accept(entries) {
    const hold = this.paused || this.#held.length > 0 || this.view.wouldPushOut(entries.length);
    if (!hold) {
      this.#show(entries);
      return;
    }
    for (const entry of entries) {
      this.#held.push(entry);
      this.#heldCharacters += entry.message.length;
    }
    if (this.#held.length > MOST_HELD || this.#heldCharacters > MOST_HELD_CHARACTERS) this.#full();
  }

  /** Wait for the wanted line, until the replay is through.
   * @param {'replay' | 'live' | 'cut'} stream what comes just now: `live` is what has just happened */
  awaitWanted(stream) {
    clearTimeout(this.#quietTimer);
    if (!this.wanted || stream === 'cut') return;
    if (stream === 'replay') {
      this.#quietTimer = Number(setTimeout(() => this.awaitWanted('live'), QUIET_MS));
    } else if (!this.#held.length) {
      const id = this.wanted;
      this.wanted = '';
      this.#missing(id);
    }
  }

  /** Show what waits. */
  flush() {
    const waiting = this.#held;
    this.#held = [];
    this.#heldCharacters = 0;
    this.#show(waiting);
  }

  /** All lines, the oldest first. */
  *all() {
    const { ring } = this.view;
    for (let seq = ring.first; seq < ring.end; seq++) yield /** @type {Entry} */ (ring.at(seq));
    yield* this.#held;
  }

  /** All lines, the newest first. */
  *newestFirst() {
    const { ring } = this.view;
    yield* [...this.#held].reverse();
    for (let seq = ring.end - 1; seq >= ring.first; seq--) yield /** @type {Entry} */ (ring.at(seq));
  }

  /** @param {Entry[]} entries */
  #show(entries) {
    const now = Date.now();
    let seq = this.view.ring.end;
    let widest = this.#appWidth;
    let found = -1;
    for (const entry of entries) {
      if (!entry.note) {
        this.bins.add(entry.time, entry.level, seq, now);
        if (entry.kind) {
          this.bins.mark({ time: entry.time, kind: entry.kind, seq, text: entry.message });
        }
        const origin = entry.app || entry.source; // as the column has it
        if (origin.length > widest) widest = origin.length;
      }
      if (this.wanted && entry.id === this.wanted) found = seq;
      seq += 1;
    }
    this.view.append(entries);
    if (widest > this.#appWidth && this.#appWidth < WIDEST_APP) {
      this.#appWidth = Math.min(widest, WIDEST_APP);
      document.documentElement.style.setProperty('--app-width', `${this.#appWidth}ch`);
      this.view.relayout();
    }
    if (found >= 0) {
      this.wanted = '';
      this.#found(found);
    }
  }
}
