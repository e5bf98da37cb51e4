// Why and since when the stream is interrupted, so that the page can say it when the stream
// resumes. Pure.

import { span } from '../text/time.js';

// The reasons for which the page closes the connection itself, as the reader sees them.
export const HIDDEN = 'the page was hidden';
export const HELD = 'the list was held';

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

  /** Return the beginning of a sentence about the interruption, which its counts complete. */
  describe() {
    const now = Date.now();
    return this.released
      ? `Connection taken up again after ${span((now - this.#releasedAt) / 1000)} (${this.released}):`
      : `Reconnected after ${span((now - (this.#cutAt || now)) / 1000)}:`;
  }
}
