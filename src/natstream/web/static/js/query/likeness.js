// "Hide lines like this": a line's message → a text that excludes similar lines. Pure.
//
// Similar lines have the same first words, with anything in place of each word that varies: an id, a
// time, a duration, a count. Numbers that say what the line reports stay, wherever they stand: the
// status of a response, the code of an exit or an error, a numeric level. Of a JSON message, its text
// and such members are compared, because its first members are often a time and the names of the
// process.

import { stripAnsi } from '../text/ansi.js';
import { tokens } from '../text/json.js';
import { membersOf, structureOf } from '../text/structure.js';
import { LEVELS, TEXTS } from '../text/summary.js';
import { escapeRegex } from './expression.js';

// The service limits the total cost of a query's expressions. A dozen of this size are below it.
const MOST_BYTES = 56;
const MOST_GAPS = 3;
// Characters that are looked at: for the first words, and for the numbers that stay.
const FIRST = 100;
const FARTHEST = 1_000;
const MOST_STAYING = 2;
// The text of a JSON message stands between other members.
const OF_JSON = { room: 40, gaps: 2, isAnchored: true };

const GAP = '[\\w.:+-]*';
// White space, as both engines know it. `\s` means no-break spaces in the browser only.
const SPACE = '\\t\\n\\f\\r \\p{Z}';
const PIECES = new RegExp(`([${SPACE}]+|[\\w.:+-]*\\d[\\w.:+-]*)`, 'u');
const IS_SPACE = new RegExp(`^[${SPACE}]`, 'u');

// The registered codes of HTTP, and those of nginx and Cloudflare. Another number of three digits may
// be anything.
const HTTP_STATUS =
  /^(?:10[0-3]|20[0-8]|226|30[0-8]|4(?:0\d|1[0-8]|2[1-9]|31|44|51|9[4-9])|5(?:0[0-8]|1[01]|2[0-7]|30))$/;
const CODE_NAME = '(?:[a-z]+[_.-]?)?(?:status(?:[_ -]?code)?|code|errno|signal|level|severity|exit(?:ed)?(?: with)?|error)';
// What stands before a number that is a code, whatever the number is.
const BEFORE_CODE = new RegExp(`(?<![a-z])${CODE_NAME}["']?\\s{0,3}[=:]?\\s{0,3}["'(\\[]?$`, 'i');
const IS_CODE_NAME = new RegExp(`^${CODE_NAME}$`, 'i');
const BEFORE_STATUS = /(?:^|[\s"'([{|>=:,])$/;
const AFTER_STATUS = /^(?:$|[\s"'\])}|;,])/;
// Words around a number that is an amount, or the name of something.
const BEFORE_AMOUNT = /(?:\b(?:in|after|took|of|port|id|pid|user|order|job|line|count|total|size|len|length|bytes|worker|attempt|retry)|#)["']?\s*[=:]?\s*["']?$/i;
const AFTER_AMOUNT = /^\s+(?:[kmg]?i?b\b|[mnuµ]?s\b|%|of\b|(?!(?:is|was|has|this|its|us)\b)[a-z]+s\b)/i;

/** @typedef {import('./query.js').Text} Text */

/**
 * Return a text that matches messages like this one.
 * @param {string} message
 * @returns {Text | null} null if the message has too few words
 */
export function likenessOf(message) {
  const text = stripAnsi(message).trim();
  const structure = structureOf(text);
  // JSON within a JSON string has escapes before its quotes.
  const ofJson = structure && text.endsWith(structure.json) ? likenessOfJson(structure.json) : '';
  if (ofJson) return { text: ofJson, regex: true, not: true };
  const start = cut(text);
  if (start.replace(/[^\p{L}_]/gu, '').length < 3) return null;
  const { pattern, isPlain } = patternOf(text);
  // A plain text costs the service nothing.
  if (isPlain) return { text: start, regex: false, not: true };
  return /\p{L}/u.test(pattern) ? { text: pattern, regex: true, not: true } : null;
}

/** @param {string} text */
const cut = (text) => text.slice(0, FIRST).replace(/[\ud800-\udbff]$/, '').trim();

/**
 * Return an expression for the first words of a text and the numbers in it that stay.
 * @param {string} text
 * @param {{room?: number, gaps?: number, isAnchored?: boolean}} [options] `room`: bytes for the words;
 *   `gaps`: the most words that are left open; `isAnchored`: the expression begins where the text does
 * @returns {{pattern: string, isPlain: boolean, isWhole: boolean}} `isPlain`: the text itself will do;
 *   `isWhole`: the expression reaches the end of the text
 */
function patternOf(text, { room = MOST_BYTES, gaps = MOST_GAPS, isAnchored = false } = {}) {
  const start = cut(text);
  let pattern = '';
  let between = ''; // not needed after the last word, nor before the first one without an anchor
  let isOpen = true; // whether more words are taken
  let isPlain = true;
  let staying = 0;
  let end = 0; // of the part that the expression covers
  let at = 0;
  let afterStatus = -1;
  const hasStart = () => isAnchored || pattern !== '';
  for (const piece of text.slice(0, FARTHEST).split(PIECES)) {
    const from = at;
    at += piece.length;
    if (isOpen && from >= start.length) isOpen = false;
    if (!piece) continue;
    const digits = /\d/.test(piece) ? numberThatStays(text, from, piece, afterStatus) : '';
    if (digits && staying < MOST_STAYING) {
      const first = at - digits.length;
      const before = isOpen ? piece.slice(0, -digits.length) : contextOf(text.slice(end, first));
      const skipped = text.slice(end, first - before.length);
      const join = isOpen ? between : skipped && (skipped.includes('\n') ? '[\\s\\S]*' : '.*');
      pattern += (hasStart() ? join : '') + written(before) + digits + '\\b';
      [staying, end, between, isPlain] = [staying + 1, at, '', false];
      afterStatus = at;
    } else if (!isOpen) {
      continue;
    } else if (IS_SPACE.test(piece)) {
      between += written(piece);
      isPlain &&= piece === ' ' || from + piece.length > start.length;
    } else if (/\d/.test(piece)) {
      isPlain = false;
      between += GAP;
      if (hasStart() && gaps-- <= 0) isOpen = false;
    } else {
      const words = beginningOf(piece.slice(0, start.length - from), room);
      if (!words) {
        isOpen = false;
        continue;
      }
      pattern += (hasStart() ? between : '') + escapeRegex(words);
      between = '';
      end = from + words.length;
      room -= bytesOf(words);
      if (words !== piece) {
        isOpen = false;
        isPlain &&= end >= start.length;
      }
    }
  }
  return { pattern, isPlain, isWhole: end === text.length };
}

/**
 * Return the digits at the end of a piece, if they say what the line reports; else an empty text.
 * @param {string} text @param {number} from start of the piece @param {string} piece
 * @param {number} afterStatus where the last such number ended
 */
function numberThatStays(text, from, piece, afterStatus) {
  const bracketed = text[from - 1] === '[' && text[from + piece.length] === ']';
  if (bracketed && /^[A-Z]{1,4}\d{1,4}$/.test(piece)) return piece; // an error code, as in [PC01]
  const digits = /(?:^|:)(\d{1,6})$/.exec(piece)?.[1] ?? '';
  if (!digits) return '';
  const first = from + piece.length - digits.length;
  const before = text.slice(Math.max(0, first - 40), first);
  const after = text.slice(from + piece.length, from + piece.length + 40);
  if (!AFTER_STATUS.test(after)) return '';
  if (BEFORE_CODE.test(before)) return digits;
  // In an access log, the size of the response follows its status.
  const isSize = afterStatus >= 0 && /^\s+$/.test(text.slice(afterStatus, first));
  return HTTP_STATUS.test(digits) && BEFORE_STATUS.test(before) && !isSize
    && !BEFORE_AMOUNT.test(before) && !AFTER_AMOUNT.test(after) ? digits : '';
}

/** Return the few characters before a number that tell it from another one. @param {string} text */
const contextOf = (text) => /[^\d]{0,12}$/.exec(text)?.[0].replace(/^[\udc00-\udfff]/, '') ?? '';

/** Return the members of a JSON object that tell what it reports, as an expression.
 * @param {string} json @returns {string} empty if there are none */
function likenessOfJson(json) {
  const paths = new Map(membersOf(json).map((member) => [member.path, member]));
  const name = TEXTS.find((one) => paths.get(one)?.isString && paths.get(one)?.text.trim());
  if (!name) return '';
  const pieces = tokens(json).filter(({ kind }) => kind !== 'space');
  const parts = [];
  let staying = 0;
  let hasText = false;
  for (const [index, { kind, start, end }] of pieces.entries()) {
    const value = pieces[index + 2];
    if (kind !== 'key' || !value) continue;
    const key = json.slice(start + 1, end - 1);
    const raw = json.slice(value.start, value.end);
    const before = written(json.slice(start, value.start));
    if (key === name && value.kind === 'string' && !hasText) {
      const { pattern, isWhole } = patternOf(raw.slice(1, -1), OF_JSON);
      if (!/\p{L}/u.test(pattern)) return '';
      parts.push(`${before}"${pattern}${isWhole ? '"' : ''}`);
      hasText = true;
    } else if (staying < MOST_STAYING && (LEVELS.has(key) || IS_CODE_NAME.test(key))
      && /^"?[\w-]{1,12}"?$/.test(raw)) {
      parts.push(`${before}${escapeRegex(raw)}${raw.endsWith('"') ? '' : '\\b'}`);
      staying += 1;
    }
  }
  return hasText ? parts.join(json.includes('\n') ? '[\\s\\S]*' : '.*') : '';
}

/** Return a short text as an expression, with any white space in place of its own.
 * @param {string} text */
function written(text) {
  return text.split(new RegExp(`([${SPACE}]+)`, 'u')).map((piece) => {
    if (!IS_SPACE.test(piece)) return escapeRegex(piece);
    if (piece === ' ') return piece;
    return /^[\t\n\f\r ]+$/.test(piece) ? '\\s+' : '[\\s\\p{Z}]+';
  }).join('');
}

/** @param {string} text */
const bytesOf = (text) => new TextEncoder().encode(text).length;

/** @param {string} text @param {number} room in bytes */
function beginningOf(text, room) {
  const { read } = new TextEncoder().encodeInto(text, new Uint8Array(Math.max(0, room)));
  return text.slice(0, read);
}
