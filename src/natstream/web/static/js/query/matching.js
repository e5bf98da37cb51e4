// The texts and conditions of a query, searched in the page: to mark matches, and to go from match to
// match. Pure.
//
// The page knows the fields of the message alone. Fields that came beside the message (`http.…` of
// Fly's proxy) are known to the service, so only the filter of the service finds them.

import { fieldOf } from '../text/fields.js';
import { meets } from './condition.js';
import { escapeRegex, reachOf } from './expression.js';

/** @typedef {import('./query.js').Query} Query */
/** @typedef {import('./query.js').Text} Text */
/**
 * @typedef {object} Matcher
 * @property {(text: string) => boolean} test   whether a message has all texts and no excluded
 *   one, and meets all conditions
 * @property {(text: string) => [number, number][]} ranges   the parts to mark, ascending
 */

// A search goes through many lines at once, and all of them may be slow for an expression. After
// this much time in one search, the expression is given up, because the page would hang.
const MOST_MS = 2_000;
// Further parts of one long text are searched for this long. A usual expression takes much less.
const PARTS_MS = 200;
// After a longer pause a new search has begun, because the page has been drawn since.
const PAUSE_MS = 30;
// The most marks in one text, for each expression.
const MOST_MARKS = 200;

/**
 * @param {Query} query
 * @param {boolean} marking whether lines are shown that do not meet the conditions
 * @returns {Matcher | null} null if there is nothing to search for
 */
export function matcherOf(query, marking) {
  const wanted = query.texts.filter((text) => !text.not).map(compile);
  const unwanted = query.texts.filter((text) => text.not).map(compile);
  const conditions = marking ? query.conditions : [];
  if (!wanted.length && !unwanted.length && !conditions.length) return null;
  const shownFields = conditions.map(({ name }) => new RegExp(
    `(?<=^|\\s)${escapeRegex(name)}=(?:"(?:[^"\\\\]|\\\\.)*"|\\S*)`, 'g'));
  return {
    // A text that the page cannot search for (null) still filters, because the service does that.
    test: (text) =>
      wanted.every((search) => search(text, holds) !== false) &&
      !unwanted.some((search) => search(text, holds)) &&
      conditions.every((condition) => meets(condition, fieldOf(text, condition.name))),
    ranges: (text) => merged([
      ...wanted.flatMap((search) => search(text, marksOf) ?? []),
      ...shownFields.flatMap((regex) => marksOf(regex, text)),
    ]),
  };
}

/** @typedef {[number, number][]} Ranges */

/** @param {RegExp} regex @param {string} text @param {number} start of the text in the whole one
 * @param {boolean} [found] before */
const holds = (regex, text, start, found = false) => {
  regex.lastIndex = 0;
  return found || regex.test(text);
};

/** @param {RegExp} regex @param {string} text @param {number} start of the text in the whole one
 * @param {Ranges} [found] before */
function marksOf(regex, text, start = 0, found = []) {
  regex.lastIndex = 0;
  for (let match; found.length < MOST_MARKS && (match = regex.exec(text)); ) {
    const at = start + match.index;
    if (match[0]) found.push([at, at + match[0].length]);
    else regex.lastIndex += 1;
  }
  return found;
}

/** @param {Text} text */
function compile({ text: pattern, regex: isRegex }) {
  const source = isRegex ? pattern : escapeRegex(pattern);
  // A plain text takes linear time.
  const reach = isRegex ? reachOf(source) : Infinity;
  const regex = reach ? regexOf(source) : null;
  // A longer text is searched in parts that overlap by a half. An anchor would match within it.
  const step = /[$^]/.test(source) ? Infinity : Math.ceil(reach / 2);
  let spent = 0;
  let ended = 0;
  /** @template T @param {string} text
   * @param {(regex: RegExp, text: string, start: number, found?: T) => T} search
   * @returns {T | null} null if the text cannot be searched for */
  return (text, search) => {
    if (!regex || spent > MOST_MS) return null;
    const started = performance.now();
    if (started - ended > PAUSE_MS) spent = 0;
    let found = search(regex, text.slice(0, reach), 0);
    for (let start = step; start + reach / 2 < text.length; start += step) {
      if (performance.now() - started > PARTS_MS) break;
      found = search(regex, text.slice(start, start + reach), start, found);
    }
    ended = performance.now();
    spent += ended - started;
    return found;
  };
}

/** @param {string} source */
function regexOf(source) {
  for (const flags of ['giu', 'gi']) {
    try {
      return new RegExp(source, flags);
    } catch {
      // RE2 accepts expressions that JavaScript does not.
    }
  }
  return null;
}

/** @param {[number, number][]} ranges @returns {[number, number][]} */
function merged(ranges) {
  ranges.sort((a, b) => a[0] - b[0]);
  /** @type {[number, number][]} */
  const result = [];
  for (const [start, end] of ranges) {
    const last = result[result.length - 1];
    if (last && start <= last[1]) last[1] = Math.max(last[1], end);
    else result.push([start, end]);
  }
  return result;
}
