// How lines flow from the service to the list: whether they do, why not, and how fast.
//
// The reader can pause the list. The page closes its connection if too many lines wait for the list,
// or if the page is hidden for a long time.

import { span } from '../text/time.js';

// The reasons for which the page closes the connection itself, as the reader sees them.
const HIDDEN = 'the page was hidden';
const HELD = 'the list was held';
// A tab that was hidden for this long gives its stream up, because a browser opens few of them (see
// shared_streams.js). The service replays the missed lines when the tab is shown.
const HIDDEN_MS = 10_000;
// The rate is a mean over this many seconds.
const RATE_SECONDS = 5;

/**
 * @typedef {object} Parts
 * @property {import('../list/view.js').View} view
 * @property {import('../list/lines.js').Lines} lines
 * @property {import('./log_stream.js').LogStream} stream
 * @property {import('../query/search.js').Search} search
 * @property {Interruption} interruption
 */

export class Flow {
  /** @param {Parts} parts @param {{paused: () => void, shown: () => void}} handlers
   *   `paused`: the reader has paused or gone on; `shown`: a hidden page is shown again */
  constructor(parts, { paused, shown }) {
    this.parts = parts;
    this.#paused = paused;
    document.addEventListener('visibilitychange', () => {
      if (!document.hidden) {
        if (this.parts.interruption.isHidden) this.parts.stream.resume();
        shown();
      }
      this.#watch();
    });
    this.#watch();
  }

  #paused;
  #timer = 0;
  #isKept = false;

  /** Keep the stream while the tab is hidden, or no longer: somebody waits for its lines, for
   * example a bell. @param {boolean} isKept */
  keepWhileHidden(isKept) {
    this.#isKept = isKept;
    this.#watch();
  }

  /** Give the stream up in a while, if the tab is hidden. */
  #watch() {
    clearTimeout(this.#timer);
    if (!document.hidden || this.#isKept) return;
    this.#timer = Number(setTimeout(() => this.release(HIDDEN), HIDDEN_MS));
  }

  /** Show the lines that wait, and read on. */
  goOn() {
    const { lines, interruption, stream } = this.parts;
    lines.flush();
    if (interruption.released === HELD) stream.resume();
  }

  togglePause() {
    const { lines } = this.parts;
    lines.paused = !lines.paused;
    if (!lines.paused) this.goOn();
    this.#paused();
  }

  /** Go to the newest line, and show each new one. */
  goToNewest() {
    if (this.parts.lines.paused) this.togglePause();
    else this.goOn();
    this.parts.view.follow();
  }

  /** The list cannot take more lines. */
  hold() {
    this.release(HELD);
  }

  /** Close the connection until it is needed. @param {string} why */
  release(why) {
    const { interruption, stream: { state: { name } }, search } = this.parts;
    if (interruption.released || name === 'denied' || name === 'refused') return;
    interruption.release(why);
    search.release();
  }
}

/** Why and since when the stream is interrupted, so that the page can say it afterwards. */
export class Interruption {
  /** Why the page has closed the connection; empty if it has not. */
  released = '';
  #releasedAt = 0;
  #cutAt = 0;

  /** The page closes the connection. @param {string} why */
  release(why) {
    this.released = why;
    this.#releasedAt = Date.now();
  }

  /** The connection has broken, or a try to connect has failed. */
  cut() {
    this.#cutAt ||= Date.now();
  }

  /** The stream goes on. */
  end() {
    this.released = '';
    this.#cutAt = 0;
  }

  /** Whether the page has given up its stream because it was hidden. */
  get isHidden() {
    return this.released === HIDDEN;
  }

  /** Return the beginning of a sentence about the interruption, which its counts complete. */
  describe() {
    const now = Date.now();
    return this.released
      ? `Connection taken up again after ${span((now - this.#releasedAt) / 1000)} (${this.released}):`
      : `Reconnected after ${span((now - (this.#cutAt || now)) / 1000)}:`;
  }
}

/** How many lines a second arrive. */
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
    if (this.#seconds.length > RATE_SECONDS) this.#seconds.shift();
  }

  get perSecond() {
    return this.#seconds.reduce((sum, lines) => sum + lines, 0) / this.#seconds.length;
  }
}
