// From when on the page has all lines that pass the filter, and why it lacks the lines before. Pure.
//
// The list and the histogram show it, because otherwise lines that were not loaded look like lines
// that never were.

/**
 * @typedef {'let go' | 'unloaded' | 'forgotten' | 'unasked'} Reason
 *   `let go`: the page has dropped its oldest lines; `unloaded`: the service has earlier lines, which
 *   were not asked for yet; `forgotten`: the service no longer has them, or never had them;
 *   `unasked`: the filter begins here (since)
 * @typedef {{from: number, why: Reason}} Coverage  `from`: Unix ms
 */

/**
 * @param {{first: number | null, isFull: boolean, hasEarlier: boolean, since: number | null,
 *   reach: number | null}} known
 *   `first`: the time of the first line in the page; `isFull`: whether the page drops a line for each
 *   new one; `hasEarlier`: whether the service may have earlier lines; `since`: the start that the
 *   filter asks for; `reach`: the time of the oldest line of the service, if it is known
 * @returns {Coverage | null} null if nothing is known to be missing
 */
export function coverageOf({ first, isFull, hasEarlier, since, reach }) {
  if (first !== null && isFull) return { from: first, why: 'let go' };
  if (first !== null && hasEarlier) return { from: first, why: 'unloaded' };
  if (since !== null && since > (reach ?? -Infinity)) return { from: since, why: 'unasked' };
  return reach === null ? null : { from: reach, why: 'forgotten' };
}

/** Return a sentence about the lines before. @param {Coverage} coverage @param {string} time
 *   `from`, as people read it */
export function sentenceOf({ why }, time) {
  return {
    'let go': `This page has let go of the lines before ${time}.`,
    unloaded: `The lines before ${time} are not loaded.`,
    forgotten: `The service has no lines from before ${time}.`,
    unasked: `The filter asks for lines since ${time}.`,
  }[why];
}

const UNITS = new Map([['ms', 1], ['s', 1_000], ['m', 60_000], ['h', 3_600_000], ['d', 86_400_000]]);

/** Return the time that a filter begins with, in Unix ms; null if it has none that the page reads.
 * @param {string} since a duration such as `10m` or `2h30m`, or a time
 * @param {number} asked when the service was asked, in Unix ms */
export function startOf(since, asked) {
  if (/^(?:\d{1,9}(?:ms|s|m|h|d))+$/.test(since)) {
    const parts = [...since.matchAll(/(\d+)(ms|s|m|h|d)/g)];
    return asked - parts.reduce((sum, [, n, unit]) => sum + Number(n) * (UNITS.get(unit) ?? 0), 0);
  }
  const time = /^\d{9,10}$/.test(since) ? Number(since) * 1000 : Date.parse(since);
  return Number.isNaN(time) ? null : time;
}
