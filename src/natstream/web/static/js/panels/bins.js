// Lines a second by level over the last hour, for the histogram. Pure.
//
// In: the time and the level of each line, as it arrives. Out: bars over a span, each with the
// number of its first line. Lines with a time outside of the hour are left out, because their time
// is forged or old.

/** Level → its row in the counts. A map, because a line may call its level `constructor`. */
const LEVEL_GROUPS = new Map([
  ['fatal', 0], ['error', 0], ['panic', 0], ['alert', 0], ['emerg', 0], ['emergency', 0],
  ['warn', 1], ['warning', 1],
  ['info', 2], ['notice', 2],
  ['debug', 3], ['verbose', 3],
  ['trace', 4],
]);
export const GROUPS = ['error', 'warn', 'info', 'debug', 'trace', 'other'];
const OTHER = 5;

const SECONDS = 3600;
// The clocks of machines differ a little, so a line may have a time in the future.
const AHEAD = 10;
// Enough for an hour of restarts. Older marks are outside of the histogram.
const MAX_MARKS = 300;

/** @param {string} level */
export const groupOf = (level) => LEVEL_GROUPS.get(level) ?? OTHER;

/** @typedef {{time: number, kind: string, seq: number, text: string, id?: string}} Mark
 *   `id`: the event id of a line that the list may not have */
/** @typedef {{start: number, seconds: number, counts: number[], total: number, first: number}}
 * Bar */

export class Bins {
  constructor() {
    this.counts = new Uint32Array(SECONDS * GROUPS.length);
    /** The second that each slot counts at present, since slots are used again. */
    this.second = new Float64Array(SECONDS).fill(-1);
    /** The first line (its seq) of each second. */
    this.first = new Float64Array(SECONDS);
    /** @type {Mark[]} */
    this.marks = [];
  }

  /** @param {number} time Unix ms @param {string} level @param {number} seq @param {number} now */
  add(time, level, seq, now) {
    const second = Math.floor(time / 1000);
    const current = Math.floor(now / 1000);
    if (second <= current - SECONDS || second > current + AHEAD) return;
    const slot = second % SECONDS;
    if (this.second[slot] !== second) {
      this.second[slot] = second;
      this.first[slot] = seq;
      this.counts.fill(0, slot * GROUPS.length, (slot + 1) * GROUPS.length);
    }
    this.counts[slot * GROUPS.length + groupOf(level)] += 1;
  }

  /** @param {Mark} mark */
  mark(mark) {
    this.marks.push(mark);
    if (this.marks.length > MAX_MARKS) this.marks.shift();
  }

  clear() {
    this.second.fill(-1);
    this.marks = [];
  }

  /**
   * Return bars of `seconds` each that cover the `count` × `seconds` up to now, the oldest
   * first. They start at multiples of `seconds`, so that a bar keeps its lines as time goes on.
   * @param {number} now Unix ms @param {number} count @param {number} seconds @returns {Bar[]}
   */
  bars(now, count, seconds) {
    const last = Math.floor(now / 1000 / seconds);
    const bars = [];
    for (let index = last - count + 1; index <= last; index++) {
      const counts = new Array(GROUPS.length).fill(0);
      let first = -1;
      for (let second = index * seconds; second < (index + 1) * seconds; second++) {
        const slot = second % SECONDS;
        if (second < 0 || this.second[slot] !== second) continue;
        if (first < 0 || this.first[slot] < first) first = this.first[slot];
        for (let g = 0; g < GROUPS.length; g++) counts[g] += this.counts[slot * GROUPS.length + g];
      }
      const total = counts.reduce((sum, n) => sum + n, 0);
      bars.push({ start: index * seconds * 1000, seconds, counts, total, first });
    }
    return bars;
  }
}
