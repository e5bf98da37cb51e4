// Where new lines go: to the list and the histogram, or into a queue.
//
// Lines wait in the queue while the reader has paused, and while the list would evict lines that
// are being read. The queue is bounded: `full` reports that it should get no more lines. When the
// list goes on, it shows the queue in order.
//
// A pause and a clearing hold until the reader ends them, whatever is asked meanwhile. A new query
// repeats earlier lines. Those from before the pause are shown, and the others wait; those from before
// the clearing are left out.

import { parseId } from '../stream/resume.js';
import { markText } from '../text/entry.js';

/** @typedef {import('../types.js').Entry} Entry */

// Above that the page closes its connection, because the service's backlog has the lines as well.
const MOST_HELD = 20_000;
const MOST_HELD_CHARACTERS = 20_000_000;
// A replay that brings no line for so long is complete.
const QUIET_MS = 2_000;

export class Lines {
  /** Unix ms of the service minus those of the page. */
  ahead = 0;
  /** Since when the list is paused, in Unix ms of the service; 0 if it is not. */
  #pausedAt = 0;
  /** When the reader has cleared lines away, likewise. */
  #clearedAt = 0;
  /** Whether the lines that arrive may be from before the pause. */
  #isRepeating = false;
  /** The line that was being read. @type {import('./reading.js').Reading | null} */
  #reading = null;
  /** The id of a line to go to when it arrives; empty if there is none. */
  wanted = '';
  /** @type {Entry[]} */
  #held = [];
  #heldCharacters = 0;
  #quietTimer = 0;

  /**
   * @param {{view: import('./view.js').View, bins: import('../panels/bins.js').Bins}} targets
   * @param {{full: () => void, found: (seq: number) => void, missing: () => void,
   *   kept: (id: string) => void}} handlers
   *   `full`: the queue should get no more lines; `found`: the list has the wanted line;
   *   `missing`: the wanted line will not arrive; `kept`: the chosen line is among the new ones,
   *   or will not arrive
   */
  constructor({ view, bins }, { full, found, missing, kept }) {
    this.view = view;
    this.bins = bins;
    this.#full = full;
    this.#found = found;
    this.#missing = missing;
    this.#kept = kept;
  }

  #full;
  #found;
  #missing;
  #kept;

  get paused() {
    return this.#pausedAt > 0;
  }

  set paused(isPaused) {
    this.#pausedAt = isPaused ? this.#now : 0;
    this.#isRepeating = false;
  }

  /** Whether the reader has cleared lines away. */
  get cleared() {
    return this.#clearedAt > 0;
  }

  /** The number of lines in the queue. */
  get waiting() {
    return this.#held.length;
  }

  /** Start again without lines.
   * @param {import('./reading.js').Reading | null} [reading] the line to keep in its position */
  begin(reading = null) {
    this.#reading = reading;
    this.#isRepeating = true;
    this.#held = [];
    this.#heldCharacters = 0;
    this.bins.clear();
    this.view.clear();
  }

  /** Remove the lines of the list and of the queue, but not those of the histogram. */
  clear() {
    if (this.view.ring.length + this.#held.length > 0) this.#clearedAt = this.#now;
    this.#held = [];
    this.#heldCharacters = 0;
    this.view.clear();
  }

  /** Show the cleared lines when they arrive again. */
  unclear() {
    this.#clearedAt = 0;
  }

  /** The reader has chosen another line. */
  forgetChosen() {
    this.wanted = '';
    if (this.#reading) this.#reading.chosen = '';
  }

  /** @param {Entry[]} entries */
  accept(entries) {
    let waiting = this.#clearedAt ? entries.filter((entry) => !this.#isCleared(entry)) : entries;
    if (this.paused && this.#isRepeating) {
      const later = waiting.findIndex((entry) => arrivalOf(entry) > this.#pausedAt);
      this.#isRepeating = later < 0;
      this.#show(later < 0 ? waiting : waiting.slice(0, later));
      waiting = later < 0 ? [] : waiting.slice(later);
    }
    const hold = this.paused || this.#held.length > 0 || this.view.wouldPushOut(waiting.length);
    if (!hold) {
      this.#show(waiting);
      return;
    }
    for (const entry of waiting) {
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
    if (!(this.wanted || this.#reading?.chosen) || stream === 'cut') return;
    if (stream === 'replay') {
      this.#quietTimer = Number(setTimeout(() => this.awaitWanted('live'), QUIET_MS));
    } else if (!this.#held.length) {
      const { wanted } = this;
      const chosen = this.#reading?.chosen;
      this.forgetChosen();
      if (wanted) this.#missing();
      if (chosen) this.#kept('');
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
    const kept = this.#reading?.seek(entries, this.view.ring.end);
    this.view.append(entries);
    if (kept && this.#reading) this.#keep(kept, this.#reading.y);
    if (found >= 0) {
      this.wanted = '';
      this.#found(found);
    }
  }

  /** Put the line that was being read where it was, and choose the line that was chosen.
   * @param {{place: number, chosen: number}} seqs -1 if a line is not there @param {number} y */
  #keep({ place, chosen }, y) {
    const { view } = this;
    // Otherwise the reader has scrolled meanwhile.
    if (place >= 0 && view.following) view.putAt(place, y);
    if (chosen < 0) return;
    view.select(chosen);
    this.#kept(/** @type {Entry} */ (view.ring.at(chosen)).id);
  }

  /** Whether a line is from before the clearing. Only the histogram shows it. @param {Entry} entry */
  #isCleared(entry) {
    if (!(arrivalOf(entry) <= this.#clearedAt)) return false;
    this.bins.add(entry.time, entry.level, this.view.ring.first - 1, Date.now());
    return true;
  }

  /** The time of the service, in Unix ms. */
  get #now() {
    return Date.now() + this.ahead;
  }
}

/** Return when the service received a line; NaN for notices. @param {Entry} entry */
const arrivalOf = ({ id }) => parseId(id)?.arrived ?? NaN;
