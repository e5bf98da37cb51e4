// The search field's language ↔ what it asks for ↔ the parameters of /api/logs. Pure.
//
//   timeout              the message holds it, in any case     "two words"   as one text
//   /time(d )?out/       a regular expression (RE2)            -health       must not hold it
//   app:web  app:web,api     region:  machine:  stream:  level:  type:  source:   exact values
//   level>=warn          that level or worse                   since:10m     what arrived from then on
//
// A query can be written back as text and as parameters, and both read again: what stands in
// the field, in the address and in the request always says the same.

import { stripAnsi } from '../text/ansi.js';
import { reachOf } from './expression.js';

export const FIELDS = /** @type {const} */ ([
  'app', 'region', 'machine', 'stream', 'level', 'type', 'source',
]);
export const LEVELS = ['debug', 'info', 'warn', 'error', 'fatal'];

/** As the service reads levels. @type {Record<string, string>} */
const LEVEL_ALIASES = { warning: 'warn', err: 'error', critical: 'fatal' };

/** @typedef {typeof FIELDS[number]} Field */
/** @typedef {{text: string, regex: boolean, not: boolean}} Text */
/**
 * @typedef {object} Query
 * @property {Record<Field, string[]>} fields
 * @property {string} minLevel
 * @property {Text[]} texts
 * @property {string} since
 * @property {string} error   what cannot be asked, as a sentence; empty if all can
 */

/** @returns {Query} */
export const emptyQuery = () => ({
  fields: { app: [], region: [], machine: [], stream: [], level: [], type: [], source: [] },
  minLevel: '',
  texts: [],
  since: '',
  error: '',
});

/** @param {Query} query */
export const isEmpty = (query) => formatQuery(query) === '';

/** @param {string} name @returns {name is Field} */
const isField = (name) => /** @type {readonly string[]} */ (FIELDS).includes(name);

// A word: `-`, then `/…/` up to a slash that ends the word, or a name and an operator, then
// pieces in quotes or without spaces.
const WORD =
  /(-?)(?:\/((?:[^/\\]|\\[^]|\/(?!\s|$))+)\/(?=\s|$)|(?:([a-z_]+)(:|[<>]=?|=))?((?:"(?:[^"\\]|\\[^])*"?|[^\s"])*))/gy;

/** @param {string} text @returns {Query} */
export function parseQuery(text) {
  const query = emptyQuery();
  let position = 0;
  for (;;) {
    while (position < text.length && /\s/.test(text[position])) position += 1;
    if (position >= text.length) return query;
    WORD.lastIndex = position;
    const match = /** @type {RegExpExecArray} */ (WORD.exec(text));
    position = WORD.lastIndex;
    takeWord(query, match);
  }
}

/** @param {Query} query @param {RegExpExecArray} match */
function takeWord(query, [whole, minus, regex, name, operator, value]) {
  if (regex !== undefined) {
    query.texts.push({ text: regex, regex: true, not: minus === '-' });
  } else if (name === 'min_level' || (name === 'level' && /[<>]/.test(operator))) {
    takeLeast(query, minus + name + operator, operator, unquote(value));
  } else if (isField(name) && (operator === ':' || operator === '=')) {
    if (minus) {
      query.error = `${name} cannot be excluded: name those you want, or exclude a text.`;
      return;
    }
    const values = splitValues(value);
    const unaskable = values.find((part) => !canAsk(part));
    if (unaskable !== undefined) query.error = cannotAsk(name, unaskable);
    else for (const part of values) addValue(query, name, part);
  } else if (name === 'since' && (operator === ':' || operator === '=') && !minus) {
    query.since = unquote(value);
  } else {
    const bare = unquote(whole.slice(minus.length));
    if (bare.trim()) query.texts.push({ text: bare, regex: false, not: minus === '-' });
    else if (whole === '-') query.texts.push({ text: '-', regex: false, not: false });
  }
}

/** @param {Query} query @param {string} asked @param {string} operator @param {string} value */
function takeLeast(query, asked, operator, value) {
  const level = levelOf(value);
  const index = LEVELS.indexOf(level) + (operator === '>' ? 1 : 0);
  if (asked.startsWith('-') || operator.startsWith('<')) {
    query.error = `${asked} cannot be asked: name the levels that you want, as in level:debug,info.`;
  } else if (value && (!LEVELS.includes(level) || index >= LEVELS.length)) {
    query.error = `${asked} takes one of ${LEVELS.join(', ')}.`;
  } else if (value) {
    query.minLevel = LEVELS[index];
  }
}

/** @param {string} level */
function levelOf(level) {
  const lower = level.toLowerCase();
  return LEVEL_ALIASES[lower] ?? lower;
}

/** @param {Query} query @param {Field} field @param {string} value */
function addValue(query, field, value) {
  let clean = value.trim();
  if (field === 'level') clean = levelOf(clean);
  else if (field === 'stream' || field === 'type' || field === 'source') clean = clean.toLowerCase();
  if (clean && !query.fields[field].includes(clean)) query.fields[field].push(clean);
}

/** Whether the service can be asked for a value: a comma stands between two. @param {string} value */
export const canAsk = (value) => !value.includes(',');

/** @param {string} field @param {string} value */
export const cannotAsk = (field, value) =>
  `${field} "${value}" cannot be asked for: the comma would part it in two.`;

/** @param {string} value */
function splitValues(value) {
  return (value.match(/(?:"(?:[^"\\]|\\.)*"?|[^,"])+/g) ?? []).map(unquote);
}

/** @param {string} text */
function unquote(text) {
  return text.replace(/"((?:[^"\\]|\\.)*)"?/g, (_, inner) => inner.replace(/\\(["\\])/g, '$1'));
}

/** @param {string} text */
const quoted = (text) => `"${text.replace(/["\\]/g, '\\$&')}"`;

/** @param {Query} query @returns {string} what to type for it */
export function formatQuery(query) {
  const words = [];
  for (const field of FIELDS) {
    const values = query.fields[field];
    if (values.length) words.push(`${field}:${values.map(formatValue).join(',')}`);
  }
  if (query.minLevel) words.push(`level>=${query.minLevel}`);
  if (query.since) words.push(`since:${formatValue(query.since)}`);
  const plain = [...words, ...query.texts.map((text) => formatText(text, false))].join(' ');
  const back = parseQuery(plain).texts;
  // `/api` alone is a text, but with a `b/` somewhere after it, it would begin an expression.
  const same = back.length === query.texts.length
    && back.every((text, index) => text.text === query.texts[index].text);
  return same ? plain : [...words, ...query.texts.map((text) => formatText(text, true))].join(' ');
}

/** @param {string} value */
const formatValue = (value) => (/[\s",]/.test(value) ? quoted(value) : value);

/** @param {Text} text @param {boolean} quoteSlash */
function formatText({ text, regex, not }, quoteSlash) {
  const minus = not ? '-' : '';
  // A slash before a space would end the expression.
  const closed = (/** @type {string} */ piece) => (piece === '/' ? '\\/' : piece);
  if (regex) return `${minus}/${text.replace(/\\[^]|\/(?=\s)/g, closed)}/`;
  const [only, ...others] = parseQuery(text).texts;
  const same = only && !others.length && only.text === text && !only.regex && !only.not;
  const quote = !same || /["\\]/.test(text) || (quoteSlash && text.startsWith('/'));
  return minus + (quote ? quoted(text) : text);
}

/**
 * The parameters that ask the service for it.
 * @param {Query} query @param {{texts?: boolean}} [options] `texts: false` leaves texts out
 */
export function toParams(query, { texts = true } = {}) {
  const params = new URLSearchParams();
  for (const field of FIELDS) {
    if (query.fields[field].length) params.set(field, query.fields[field].join(','));
  }
  if (query.minLevel) params.set('min_level', query.minLevel);
  if (query.since) params.set('since', query.since);
  if (texts) {
    for (const { text, regex, not } of query.texts) {
      // A text between slashes would be taken for an expression.
      const plain = /^\/.+\/$/.test(text) ? `/${escapeRegex(text)}/` : text;
      params.append(not ? 'not' : 'q', regex ? `/${text}/` : plain);
    }
  }
  return params;
}

// What the service understands as well, and what only concerns the form of its answer.
const FILTERS = [...FIELDS, 'min_level', 'since', 'q', 'not'];
const PASSED_OVER = ['tail', 'follow', 'format', 'last_event_id'];
const ONCE = ['min_level', 'since'];

/**
 * @param {URLSearchParams} params as in the page's address
 * @param {string[]} [others] names that mean something to somebody else
 * @returns {Query} as the service reads it: what it would not understand is an error
 */
export function fromParams(params, others = []) {
  const query = emptyQuery();
  for (const [name, value] of params) {
    if (others.includes(name) || PASSED_OVER.includes(name)) continue;
    if (!FILTERS.includes(name)) {
      query.error = `The address has “${name.slice(0, 100)}”, which filters nothing. There are ${FILTERS.join(', ')}.`;
    } else if (!value.replaceAll(isField(name) ? ',' : '', '').trim()) {
      query.error = `The address has “${name}” without a value.`;
    } else if (ONCE.includes(name) && params.getAll(name).length > 1) {
      query.error = `The address has “${name}” twice.`;
    } else if (isField(name)) {
      for (const part of value.split(',')) addValue(query, name, part);
    } else if (name === 'min_level') {
      takeLeast(query, name, '=', value.trim());
    } else if (name === 'since') {
      query.since = value.trim();
    } else {
      const regex = value.length > 2 && value.startsWith('/') && value.endsWith('/');
      query.texts.push({ text: regex ? value.slice(1, -1) : value, regex, not: name === 'not' });
    }
  }
  return query;
}

/** @param {string} text */
export const escapeRegex = (text) => text.replace(/[\\^$.*+?()[\]{}|/]/g, '\\$&');

// The service bounds what all expressions of a query may cost together: a dozen like this pass.
const LIKENESS_BYTES = 56;
const LIKENESS_GAPS = 3;

/** What would hide lines like this one: the first words, anything in place of what has digits.
 * @param {string} message @returns {Text | null} null if it is too little to go by */
export function likenessOf(message) {
  const start = stripAnsi(message).trim().slice(0, 100).replace(/[\ud800-\udbff]$/, '').trim();
  if (start.replace(/[^\p{L}_]/gu, '').length < 3) return null;
  // A text costs nothing there.
  if (!/\d|[^\S ]/.test(start)) return { text: start, regex: false, not: true };
  let pattern = '';
  let between = ''; // what is not needed before the first word, nor after the last
  let gaps = 0;
  let room = LIKENESS_BYTES;
  for (const piece of start.split(/([\w.:+-]*\d[\w.:+-]*|\s+)/)) {
    if (/^\s/.test(piece)) {
      between += piece === ' ' ? ' ' : '\\s+';
    } else if (/\d/.test(piece)) {
      gaps += pattern ? 1 : 0;
      between += '[\\w.:+-]*';
    } else if (piece) {
      const words = beginningOf(piece, room);
      if (gaps > LIKENESS_GAPS || !words) break;
      pattern += (pattern && between) + escapeRegex(words);
      between = '';
      if (words !== piece) break;
      room -= bytesOf(piece);
    }
  }
  return /\p{L}/u.test(pattern) ? { text: pattern, regex: true, not: true } : null;
}

/** @param {string} text */
const bytesOf = (text) => new TextEncoder().encode(text).length;

/** @param {string} text @param {number} room in bytes */
function beginningOf(text, room) {
  const { read } = new TextEncoder().encodeInto(text, new Uint8Array(Math.max(0, room)));
  return text.slice(0, read);
}

/**
 * A query's texts as a search in the page: to mark, and to go from match to match.
 * @typedef {object} Matcher
 * @property {(text: string) => boolean} test            holds all, and none of what it must not
 * @property {(text: string) => [number, number][]} ranges  what to mark, ascending
 */

// Many lines are searched in one go, and all of them may be of the worst kind: an expression that
// has held up the page for this long is not searched for any more.
const MOST_MS = 2_000;
// What is longer ago was another go: the page has been drawn since.
const PAUSE_MS = 30;
// In a text, for each expression.
const MOST_MARKS = 200;

/** @param {Query} query @returns {Matcher | null} null if there is nothing to search for */
export function matcherOf(query) {
  const wanted = query.texts.filter((text) => !text.not).map(compile);
  const unwanted = query.texts.filter((text) => text.not).map(compile);
  if (!wanted.length && !unwanted.length) return null;
  return {
    // What cannot be searched for here (null) still filters, on the service.
    test: (text) =>
      wanted.every((search) => search(text, holds) !== false) &&
      !unwanted.some((search) => search(text, holds)),
    ranges: (text) => merged(wanted.flatMap((search) => search(text, marksOf) ?? [])),
  };
}

/** @param {RegExp} regex @param {string} text */
const holds = (regex, text) => regex.test(text);

/** @param {RegExp} regex @param {string} text */
function marksOf(regex, text) {
  /** @type {[number, number][]} */
  const found = [];
  for (let match; found.length < MOST_MARKS && (match = regex.exec(text)); ) {
    if (match[0]) found.push([match.index, match.index + match[0].length]);
    else regex.lastIndex += 1;
  }
  return found;
}

/** @param {Text} text */
function compile({ text: pattern, regex: isRegex }) {
  const source = isRegex ? pattern : escapeRegex(pattern);
  const reach = reachOf(source);
  const regex = reach ? regexOf(source) : null;
  let spent = 0;
  let ended = 0;
  /** @template T @param {string} text @param {(regex: RegExp, text: string) => T} search
   * @returns {T | null} null if it cannot be searched for */
  return (text, search) => {
    if (!regex || spent > MOST_MS) return null;
    const started = performance.now();
    if (started - ended > PAUSE_MS) spent = 0;
    regex.lastIndex = 0;
    const found = search(regex, text.slice(0, reach));
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
      // RE2's and JavaScript's expressions differ a little.
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
