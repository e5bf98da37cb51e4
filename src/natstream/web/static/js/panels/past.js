// Lines from before the service's memory, by /api/earlier: Fly keeps them for some days. They are put
// before the list, with a note behind them, because no stream resumes from them.

import { hint } from '../dom.js';
import { toParams } from '../query/params.js';
import { notice } from '../stream/intake.js';

/** @typedef {import('../types.js').Entry} Entry */

const LINES = '500';
const NOTE = 'The lines above are earlier ones from Fly’s logs. Lines that natstream never had may be missing here.';

export class Past {
  #parts;
  /** Unix ms before which the next question asks; 0 before the first answer. */
  #before = 0;
  #isComplete = false;
  #isAsking = false;
  #isNoted = false;

  /**
   * @param {{lines: import('../list/lines.js').Lines, view: import('../list/view.js').View,
   *   intake: import('../stream/intake.js').Intake,
   *   search: import('../query/search.js').Search,
   *   service: import('./service.js').Service}} parts
   */
  constructor(parts) {
    this.#parts = parts;
  }

  /** Whether there may be earlier lines, and the service can be asked for them. */
  get canAsk() {
    const { lines, search, service, view } = this.#parts;
    const interfaces = /** @type {any} */ (service.status)?.interfaces;
    return Boolean(interfaces?.fly_logs) && search.wish.query.fields.app.length === 1
      && (!search.wish.query.until || view.ring.length > 0) && !this.#isComplete && !this.#isAsking && !lines.paused && !lines.waiting && !view.ring.full;
  }

  /** The list starts again. */
  begin() {
    this.#before = 0;
    this.#isComplete = false;
    this.#isNoted = false;
  }

  /** Ask for earlier lines, and put them before the list. */
  async load() {
    this.#isAsking = true;
    try {
      await this.#load();
    } catch {
      hint('The service did not give the earlier lines');
    } finally {
      this.#isAsking = false;
    }
  }

  async #load() {
    const { intake, lines, view } = this.#parts;
    const asked = this.#params;
    const params = new URLSearchParams(asked);
    const first = [...lines.all()].find((entry) => !entry.note);
    params.set('before', String(this.#before || (first?.time ?? Date.now())));
    params.set('lines', LINES);
    const response = await fetch(`api/earlier?${params}`);
    const answer = await response.json();
    if (this.#params !== asked) return; // the reader wants other lines by now
    if (!response.ok) {
      hint(answer.error);
      return;
    }
    /** @type {Entry[]} */
    const earlier = answer.lines.map((/** @type {any} */ event) => intake.entryOf('', event));
    if (earlier.length) {
      const shown = [...lines.all()];
      if (!this.#isNoted) shown.unshift(notice(NOTE, 'notice', first?.time ?? Date.now()));
      this.#isNoted = true;
      // The line that is being read stays where it is.
      const { firstVisible, selected, ring } = view;
      const y = view.yOf(firstVisible);
      const fromEnd = [firstVisible, selected].map((seq) =>
        shown.length - shown.indexOf(/** @type {Entry} */ (ring.at(seq ?? -1))));
      lines.begin();
      lines.accept([...earlier, ...shown]);
      view.putAt(ring.end - fromEnd[0], y);
      if (selected !== null) view.select(ring.end - fromEnd[1]);
    } else {
      hint(answer.complete ? 'Fly has no earlier lines' : 'No earlier lines found yet');
    }
    this.#before = answer.from_ms;
    this.#isComplete = answer.complete;
  }

  /** The filter of the question. @returns {string} */
  get #params() {
    const { query, marking } = this.#parts.search.wish;
    const params = toParams(query, { texts: !marking });
    params.delete('since');
    params.delete('until');
    return params.toString();
  }
}
