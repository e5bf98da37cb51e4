// The watches that have fired, as marks of the histogram. A link's holder does not see watches, so its
// page does not ask for them.

import { revealed } from '../text/readable.js';
import { count } from '../text/time.js';

/** @typedef {import('./bins.js').Mark} Mark */
/** @typedef {{kind: string, at_ms: number, count: number, first_id: string}} Firing */
/** @typedef {{name: string, fired: Firing[]}} Watch */

/** @type {Record<string, string>} */
const WORDS = {
  absent: 'nothing matches any more', back: 'lines match again', unknown: 'it cannot be told, as a source is silent',
};

/** Return what a watch says when it fires. Pure. @param {string} name @param {Firing} firing */
export const firedText = (name, { kind, count: lines }) =>
  `watch ${revealed(name)}: ${kind === 'matched' ? `${count(lines, 'line')} matched` : WORDS[kind] ?? revealed(kind)}`;

/** Return the marks of an answer of /api/watches. Pure. @param {Watch[]} watches @returns {Mark[]} */
export const marksOf = (watches) => watches.flatMap(({ name, fired }) => fired.map((firing) => ({
  time: firing.at_ms, kind: 'watch', seq: -1, text: firedText(name, firing), id: firing.first_id,
})));

export class Fired {
  /** @type {Mark[]} */
  marks = [];

  /** @param {import('./neighbours.js').Neighbours} neighbours */
  constructor(neighbours) {
    this.neighbours = neighbours;
  }

  /** @param {Watch[]} watches as the service has them now */
  show(watches) {
    this.marks = marksOf(watches);
  }

  /** Show the first line of a watch that has fired. @param {Mark} mark
   * @returns {boolean} whether the mark is one of a watch, with a line */
  open({ kind, id }) {
    if (kind !== 'watch' || !id) return false;
    void this.neighbours.open(id);
    return true;
  }
}
