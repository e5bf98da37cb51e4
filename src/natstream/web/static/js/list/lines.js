// Where new lines go: to the list and the histogram, or into a queue.
//
// Lines wait in the queue while the reader has paused, and while the list would evict lines that
// are being read. The queue is bounded: `full` reports that it should get no more lines. When the
// list goes on, it shows the queue in order.

import { markText } from '../text/entry.js';

/** @typedef {import('../types.js').Entry} Entry */

// Above that the page closes its connection, because the service's backlog has the lines as well.
const MOST_HELD = 20_000;
const MOST_HELD_CHARACTERS = 20_000_000;
// A replay that brings no line for so long is complete.
const QUIET_MS = 2_000;

export class Lines {
  paused = false;
  /** Whether the reader has cleared lines away. */
  cleared = false;
  /** The id of a line to go to when it arrives; empty if there is none. */
  wanted = '';
  /** @type {Entry[]} */
  #held = [];
  #heldCharacters = 0;
  #quietTimer = 0;

  /**
   * @param {{view: import('./view.js').View, bins: import('../panels/bins.js').Bins}} targets
   * @param {{full: () => void, found: (seq: number) => void,
   *   missing: (id: string) => void}} handlers
   *   `full`: the queue should get no more lines; `found`: the list has the wanted line;
   *   `missing`: the wanted line will not arrive
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

  /** The number of lines in the queue. */
  get waiting() {
    return this.#held.length;
  }

  /** Start again without lines. */
  begin() {
    this.#held = [];
    this.#heldCharacters = 0;
    this.cleared = false;
    this.bins.clear();
    this.view.clear();
  }

  /** Remove the lines of the list and of the queue, but not those of the histogram. */
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

  /** Wait for the wanted line, until the replay is complete.
   * @param {'replay' | 'live' | 'cut'} stream which kind of lines has just arrived; `cut`:
   *   none will */
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

  /** Show the lines of the queue. */
  flush() {
    const waiting = this.#held;
    this.#held = [];
    this.#heldCharacters = 0;
    this.#show(waiting);
  }

  /** All lines, the oldest first, with the lines of groups that the filter had left out. */
  *all() {
    const { ring, groups, rows } = this.view;
    for (let seq = ring.first; seq < ring.end; seq++) {
      const group = groups.of(seq);
      if (!group?.all) yield /** @type {Entry} */ (ring.at(seq));
      else if (group.head === seq) yield* rows.linesIn(group);
    }
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
    let found = -1;
    for (const entry of entries) {
      if (!entry.note) {
        this.bins.add(entry.time, entry.level, seq, now);
        if (entry.kind) {
          this.bins.mark({ time: entry.time, kind: entry.kind, seq, text: markText(entry) });
        }
      }
      if (this.wanted && entry.id === this.wanted) found = seq;
      seq += 1;
    }
    this.view.append(entries);
    if (found >= 0) {
      this.wanted = '';
      this.#found(found);
    }
  }
}
