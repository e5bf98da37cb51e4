// Event ids, and the lines that a service repeats after a cut. Pure.
//
// An event id is `<Unix ms of the arrival>-<epoch>-<number>`. The process that sent an id resumes
// exactly after it, and every process resumes exactly after an id of the journal. Otherwise (after
// a restart, on a second machine, when a journal is back) the service replays by time, and a little
// more than is missing. So the page must recognise the lines that it has shown already.

/** @typedef {import('../types.js').Entry} Entry */

// The service replays from 2 s before the event id (OTHER_PROCESS_MARGIN_MS), and clocks differ a
// little.
const MARGIN_MS = 5_000;

/** @param {string} id @returns {{arrived: number, epoch: string} | null} */
export function parseId(id) {
  const match = /^(\d{1,15})-([0-9a-z]{1,32})-\d{1,18}$/.exec(id);
  return match && { arrived: Number(match[1]), epoch: match[2] };
}

/** @param {Entry} entry */
const likeness = (entry) => `${entry.time}\n${entry.machine}\n${entry.stream}\n${entry.message}`;

export class Doubles {
  /** The event id before the cut. @type {ReturnType<typeof parseId>} */
  #last = null;
  /** @type {Iterable<Entry>} */
  #newestFirst = [];
  #opened = 0;
  /** How often each line around the cut was shown; null until a line arrives.
   * @type {Map<string, number> | null} */
  #shown = null;
  #until = -Infinity;

  /**
   * Expect that lines from shortly before `lastId` are repeated.
   * @param {string} lastId @param {Iterable<Entry>} newestFirst all entries shown, read at the
   *   first line
   * @param {number} [opened] when the stream resumed, by the service's clock
   */
  expect(lastId, newestFirst, opened = 0) {
    this.#last = parseId(lastId);
    this.#newestFirst = newestFirst;
    this.#opened = opened;
    this.#shown = null;
  }

  /** Whether a line was shown before the cut. Each shown line accounts for one repetition.
   * @param {Entry} entry */
  has(entry) {
    const last = this.#last;
    if (!last) return false;
    const id = parseId(entry.id);
    // The same process repeats no line, so two equal lines are two lines.
    if (!id || id.epoch === last.epoch) return this.#forget();
    const shown = this.#shown ??= this.#collect(last, entry.persistent);
    if (!shown.size || id.arrived > this.#until) return this.#forget();
    const key = likeness(entry);
    const left = shown.get(key) ?? 0;
    if (left > 1) shown.set(key, left - 1);
    else shown.delete(key);
    return left > 0;
  }

  /** @param {{arrived: number, epoch: string}} last @param {boolean} stored */
  #collect(last, stored) {
    const shown = new Map();
    this.#until = last.arrived + MARGIN_MS;
    for (const entry of this.#newestFirst) {
      const id = parseId(entry.id);
      if (!id) continue;
      // Lines of a process without its journal are stored when the journal is back, however late.
      const late = stored && !entry.persistent && id.epoch === last.epoch;
      if (late) this.#until = Math.max(last.arrived, this.#opened) + MARGIN_MS;
      else if (id.arrived < last.arrived - MARGIN_MS) break;
      const key = likeness(entry);
      shown.set(key, (shown.get(key) ?? 0) + 1);
    }
    this.#newestFirst = [];
    return shown;
  }

  #forget() {
    this.#last = this.#shown = null;
    this.#newestFirst = [];
    return false;
  }
}
