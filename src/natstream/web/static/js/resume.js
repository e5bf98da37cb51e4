// What a reader needs after a cut: its place, and to know a repeated line when it sees one. Pure.
//
// Ids are `<Unix ms of the arrival>-<process>-<number>`. The same process resumes exactly.
// Another one (a restart, a second machine) replays by time, a little more than is missing: what
// the page has already shown must not be shown again.

/** @typedef {import('./types.js').Entry} Entry */

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
  /** The lines shown around the cut, and how often. @type {Map<string, number>} */
  #shown = new Map();
  #until = -Infinity;
  #epoch = '';

  /**
   * From here on, know what was shown shortly before `lastId`.
   * @param {string} lastId @param {Iterable<Entry>} newestFirst
   */
  expect(lastId, newestFirst) {
    this.#shown.clear();
    const last = parseId(lastId);
    this.#until = last ? last.arrived + MARGIN_MS : -Infinity;
    if (!last) return;
    this.#epoch = last.epoch;
    for (const entry of newestFirst) {
      const id = parseId(entry.id);
      if (!id) continue;
      if (id.arrived < last.arrived - MARGIN_MS) break;
      const key = likeness(entry);
      this.#shown.set(key, (this.#shown.get(key) ?? 0) + 1);
    }
  }

  /** Whether it was shown before the cut; each shown line answers for one. @param {Entry} entry */
  has(entry) {
    if (!this.#shown.size) return false;
    const id = parseId(entry.id);
    // The same process repeats nothing: two lines that are alike are two lines.
    if (!id || id.arrived > this.#until || id.epoch === this.#epoch) {
      this.#shown.clear();
      return false;
    }
    const key = likeness(entry);
    const left = this.#shown.get(key) ?? 0;
    if (left > 1) this.#shown.set(key, left - 1);
    else this.#shown.delete(key);
    return left > 0;
  }
}
