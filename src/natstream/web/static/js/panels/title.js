// The title of the tab: the state of the connection, and what has arrived while the tab was hidden.

import { groupOf } from './bins.js';

// Titles are short, and a larger number says no more.
const MOST = 999;

/** @typedef {{stream: import('../stream/log_stream.js').StreamState['name'], paused: boolean,
 *   released: string, query: string, errors: number, lines: number}} Shown
 *   `released`: why the page has closed its connection, or empty; `errors`, `lines`: those that have
 *   arrived while the tab was hidden */

/** @param {Shown} shown @returns {string} */
export function titleOf({ stream, paused, released, query, errors, lines }) {
  const missed = errors ? counted(errors, 'error') : lines ? counted(lines, 'line') : '';
  const state = paused ? '⏸ Paused' : stateOf(stream, released);
  return [missed + state, query, 'natstream'].filter(Boolean).join(' · ');
}

/** @param {Shown['stream']} stream @param {string} released */
function stateOf(stream, released) {
  if (stream === 'live') return '● Live';
  if (stream === 'waiting') return '✕ Lost';
  if (stream === 'queued') return '○ Waiting';
  if (stream === 'denied') return '✕ Token needed';
  if (stream === 'refused') return '✕ Not understood';
  return released ? '○ At rest' : '○ Connecting';
}

/** @param {number} number @param {string} word */
const counted = (number, word) =>
  `(${number > MOST ? `${MOST}+` : number} ${word}${number === 1 ? '' : 's'}) `;

export class Title {
  #errors = 0;
  #lines = 0;
  #shown;

  /** @param {() => Omit<Shown, 'errors' | 'lines'>} shown */
  constructor(shown) {
    this.#shown = shown;
    document.addEventListener('visibilitychange', () => {
      this.#errors = this.#lines = 0;
      this.update();
    });
  }

  /** Count new lines. @param {import('../types.js').Entry[]} entries */
  hear(entries) {
    if (!document.hidden) return;
    for (const entry of entries) {
      if (entry.note) continue;
      this.#lines += 1;
      if (groupOf(entry.level) === 0) this.#errors += 1;
    }
    this.update();
  }

  update() {
    const title = titleOf({ ...this.#shown(), errors: this.#errors, lines: this.#lines });
    if (document.title !== title) document.title = title;
  }
}
