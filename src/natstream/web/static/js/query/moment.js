// Times as a reader types them → Unix ms. Pure.
//
// `14:05` is the last time that the page's clock showed it. A date without a zone is in the zone of that
// clock, too. The service knows neither, so the page sends it a time of UTC.

/** @typedef {{now: number, utc: boolean}} Clock  Unix ms, and whether the page shows UTC */

const OF_DAY = /^([01]?\d|2[0-3]):([0-5]\d)(?::([0-5]\d)(?:[.,](\d{1,3})\d*)?)?$/;
const DATED =
  /^(\d{4}-\d\d-\d\d)(?:[Tt ](\d\d:\d\d)(?::(\d\d)(?:[.,](\d{1,3})\d*)?)?)?\s?(Z|z|[+-]\d\d:?\d\d)?$/;
const DURATION = /^(?:\d{1,9}(?:ms|s|m|h|d))+$/;
/** @type {Record<string, number>} */
const UNITS = { ms: 1, s: 1_000, m: 60_000, h: 3_600_000, d: 86_400_000 };
// A smaller number is seconds, as the service reads it (entries/times.py).
const LEAST_MS = 1e11;

/** Return whether a time depends on the page's clock. @param {string} text */
export const needsClock = (text) => OF_DAY.test(text) || (DATED.test(text) && !DATED.exec(text)?.[5]);

/**
 * Return the Unix ms of a time of day, a date with or without a time, a duration before now, or an
 * epoch time; null for any other text.
 * @param {string} text @param {Clock} clock @returns {number | null}
 */
export function momentOf(text, { now, utc }) {
  if (DURATION.test(text)) {
    const parts = [...text.matchAll(/(\d+)(ms|s|m|h|d)/g)];
    return now - parts.reduce((sum, [, n, unit]) => sum + Number(n) * UNITS[unit], 0);
  }
  if (/^\d{9,15}$/.test(text)) return Number(text) * (Number(text) < LEAST_MS ? 1_000 : 1);
  const ofDay = OF_DAY.exec(text);
  if (ofDay) {
    const [hours, minutes, seconds, ms] =
      [ofDay[1], ofDay[2], ofDay[3] ?? '0', (ofDay[4] ?? '0').padEnd(3, '0')].map(Number);
    const moment = new Date(now);
    const set = () => (utc
      ? moment.setUTCHours(hours, minutes, seconds, ms)
      : moment.setHours(hours, minutes, seconds, ms));
    if (set() <= now) return moment.getTime();
    if (utc) moment.setUTCDate(moment.getUTCDate() - 1);
    else moment.setDate(moment.getDate() - 1);
    return set();
  }
  const dated = DATED.exec(text);
  if (!dated) return null;
  const [, day, time = '00:00', seconds = '00', fraction = '0', zone] = dated;
  const shift = zone?.replace(/^z$/, 'Z').replace(/(\d\d)(\d\d)$/, '$1:$2') ?? (utc ? 'Z' : '');
  const ms = Date.parse(`${day}T${time}:${seconds}.${fraction.padEnd(3, '0')}${shift}`);
  return Number.isNaN(ms) ? null : ms;
}

/** Return a time as the service understands it. @param {string} text @param {Clock} clock */
export function forService(text, clock) {
  const ms = needsClock(text) ? momentOf(text, clock) : null;
  return ms === null ? text : new Date(ms).toISOString();
}
