// Where the reader is: which line is being read when other lines are asked for, and what the address
// of the page asks for.

import { Reading } from '../list/reading.js';

/**
 * @typedef {object} Parts
 * @property {import('../list/view.js').View} view
 * @property {import('../list/lines.js').Lines} lines
 * @property {import('./details.js').Details} details
 * @property {import('./neighbours.js').Neighbours} neighbours
 * @property {import('../query/search.js').Search} search
 * @property {import('../stream/flow.js').Interruption} interruption
 */

export class Visit {
  /** What was being read in the context, if the reader has asked there for other lines.
   * @type {Reading | null} */
  #reading = null;

  /** @param {Parts} parts */
  constructor(parts) {
    this.parts = parts;
  }

  /** Leave the context, because the service is asked for other lines. */
  leaveContext() {
    const { neighbours } = this.parts;
    if (neighbours.isOpen) this.#reading = Reading.of(neighbours.view, true);
    neighbours.close();
  }

  /** Return what is being read, unless an address links to another line. The details stay open if they
   * are of the chosen line, until the new lines lack it. */
  takeReading() {
    const { view, lines, details, neighbours } = this.parts;
    const taken = lines.wanted ? null : this.#reading ?? Reading.of(view, lines.paused);
    this.#reading = null;
    const isChosen = details.id !== '' && details.id === taken?.chosen;
    if (!neighbours.isOpen && !isChosen) details.close();
    return taken;
  }

  /** Show what the address asks for.
   * @param {boolean} raw whether JSON messages are shown as they came, unless it says so */
  followAddress(raw) {
    const { lines, neighbours, search, interruption } = this.parts;
    if (neighbours.followAddress()) return;
    const { line, context, isAsked } = search.followAddress(raw);
    if (context) void neighbours.open(context).then(() => neighbours.openDetails());
    else neighbours.close();
    lines.wanted = line;
    if (isAsked) return;
    interruption.end();
    lines.begin();
  }
}
