// Whether lines flow from the service to the list. The reader can pause them. The page closes its
// connection if too many lines wait for the list, or if the page is hidden for a long time.

import { HELD, HIDDEN } from './interruption.js';

// A tab that was hidden for this long closes its connection, because browsers allow six connections
// to a host over HTTP/1.1 and the service has a limit as well. The service replays the missed
// lines.
const HIDDEN_MS = 5 * 60_000;

/**
 * @typedef {object} Parts
 * @property {import('../list/view.js').View} view
 * @property {import('../list/lines.js').Lines} lines
 * @property {import('./log_stream.js').LogStream} stream
 * @property {import('../query/search.js').Search} search
 * @property {import('./interruption.js').Interruption} interruption
 */

export class Flow {
  /** @param {Parts} parts @param {{paused: () => void, shown: () => void}} handlers
   *   `paused`: the reader has paused or gone on; `shown`: a hidden page is shown again */
  constructor(parts, { paused, shown }) {
    this.parts = parts;
    this.#paused = paused;
    let timer = 0;
    document.addEventListener('visibilitychange', () => {
      clearTimeout(timer);
      if (document.hidden) timer = Number(setTimeout(() => this.release(HIDDEN), HIDDEN_MS));
      else {
        if (this.parts.interruption.released === HIDDEN) this.parts.stream.resume();
        shown();
      }
    });
  }

  #paused;

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
