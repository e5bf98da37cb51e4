// What a reader needs after a cut: its place, and to know a repeated line when it sees one. Pure.
//
// Ids are `<Unix ms of the arrival>-<process>-<number>`; of lines in a journal, all processes say the
// same, and the time is that of their storing. The same process resumes exactly, and so does each
// in the journal. Otherwise (a restart, a second machine, a journal that is back) it is replayed by
// time, a little more than is missing: what the page has already shown must not be shown again.

/** @typedef {import('../types.js').Entry} Entry */

// The service replays from 2 s before the place (OTHER_PROCESS_MARGIN_MS); clocks differ a little.
export const MARGIN_MS = 5_000;

/** @param {string} id @returns {{arrived: number, epoch: string} | null} */
export function parseId(id) {
  const match = /^(\d{1,15})-([0-9a-z]{1,32})-\d{1,18}$/.exec(id);
  return match && { arrived: Number(match[1]), epoch: match[2] };
}

/** @param {Entry} entry */
const likeness = (entry) => `${entry.time}\n${entry.machine}\n${entry.stream}\n${entry.message}`;

export class Doubles {
  /** The place before the cut. @type {ReturnType<typeof parseId>} */
  #last = null;
  /** @type {Iterable<Entry>} */
  #newestFirst = [];
  #opened = 0;
  /** The lines shown around the cut, and how often; null until a line comes. @type {Map<string, number> | null} */
  #shown = null;
  #until = -Infinity;

  /**
   * From here on, know what was shown shortly before `lastId`.
   * @param {string} lastId @param {Iterable<Entry>} newestFirst looked at once the first line comes
   * @param {number} [opened] when the stream goes on, by the service's clock
   */
  expect(lastId, newestFirst, opened = 0) {
    this.#last = parseId(lastId);
    this.#newestFirst = newestFirst;
    this.#opened = opened;
    this.#shown = null;
  }

  /** Whether it was shown before the cut; each shown line answers for one. @param {Entry} entry */
  has(entry) {
    const last = this.#last;
    if (!last) return false;
    const id = parseId(entry.id);
    // The same process repeats nothing: two lines that are alike are two lines.
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
      // What was shown in the journal's stead is stored when that is back, however late.
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
