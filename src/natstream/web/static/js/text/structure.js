// The JSON in a message: where it begins, and its members as text. Pure.
//
// In: a message. Out: the JSON object in it, which may stand after a prefix (`api | {…}`) or within
// a JSON string. Members are pieces of the text itself and not of the values that it parses to. So
// large numbers keep their digits, and odd keys (`__proto__`) are only text.

import { tokens } from './json.js';

/** @typedef {{prefix: string, json: string}} Structure */
/** @typedef {{path: string, text: string, isString: boolean}} Member
 *   `text`: a string without its quotes, all else as it stands in the JSON */

// The service reads no fields of longer messages either. Parsing them takes a part of a frame.
const LARGEST = 64 * 1024;
const LONGEST_PREFIX = 300;
// `{` may stand in the prefix as well.
const MOST_STARTS = 4;
const OBJECT = /\{\s*["}]/g;
const NOT_FINITE = /^-?(?:NaN|Infinity)$/;
// More members fill more than a screen.
const MOST_MEMBERS = 200;
// Deeper objects are shown as their JSON.
const DEEPEST = 4;

/** @param {string} message @returns {Structure | null} */
export function structureOf(message) {
  const text = message.trim();
  const last = text[text.length - 1];
  if (text.length > LARGEST || (last !== '}' && last !== '"')) return null;
  if (last === '"') {
    const inner = text[0] === '"' ? parsed(text) : null;
    const json = typeof inner === 'string' ? inner.trim() : '';
    return isObject(json) ? { prefix: '', json } : null;
  }
  OBJECT.lastIndex = 0;
  for (let tries = 0; tries < MOST_STARTS; tries++) {
    const match = OBJECT.exec(text);
    if (!match || match.index >= LONGEST_PREFIX) return null;
    const json = text.slice(match.index);
    if (isObject(json)) return { prefix: text.slice(0, match.index), json };
    if (match[0].endsWith('"')) return null; // it was cut off, and the next one may be within it
  }
  return null;
}

/** Return the value of JSON, in which `NaN` and `Infinity` count as null, because Python writes them.
 * @param {string} text @returns {any} undefined if the text is not JSON */
export function parsed(text) {
  try {
    return JSON.parse(text);
  } catch {
    if (!/NaN|Infinity/.test(text)) return undefined;
  }
  try {
    return JSON.parse(tokens(text)
      .map(({ start, end }) => text.slice(start, end))
      .map((piece) => (NOT_FINITE.test(piece) ? 'null' : piece))
      .join(''));
  } catch {
    return undefined;
  }
}

/** @param {string} text */
const isObject = (text) => text[0] === '{' && parsed(text) !== undefined;

/**
 * Return the members of a JSON object, those of inner objects by their path.
 * @param {string} json a valid JSON object
 * @param {{deepest?: number, lists?: boolean}} [options] `deepest`: deeper objects are shown as their
 *   JSON; `lists`: return the items of lists as well, as in `items.0.sku`
 * @returns {Member[]}
 */
export function membersOf(json, { deepest = DEEPEST, lists = false } = {}) {
  const pieces = tokens(json).filter(({ kind }) => kind !== 'space');
  /** @type {Member[]} */
  const found = [];
  /** The open objects and lists: the path of each, and the index in a list (-1 in an object).
   * @type {{path: string, index: number}[]} */
  const open = [{ path: '', index: -1 }];
  let key = '';
  for (let at = 1; at < pieces.length && found.length < MOST_MEMBERS; at++) {
    const { kind, start, end } = pieces[at];
    const piece = json.slice(start, end);
    const holder = open[open.length - 1];
    if (piece === '}' || piece === ']') open.pop();
    else if (piece === ',') holder.index += holder.index < 0 ? 0 : 1;
    else if (kind === 'key') {
      key = textOf(piece);
      at += 1; // the colon
    } else {
      const name = holder.index < 0 ? key : String(holder.index);
      const path = holder.path ? `${holder.path}.${name}` : name;
      const isEmpty = /[}\]]/.test(json[pieces[at + 1].start]);
      const isOpened = piece === '{' || (lists && piece === '[');
      if (isOpened && !isEmpty && open.length <= deepest) {
        open.push({ path, index: piece === '[' ? 0 : -1 });
        continue;
      }
      const last = kind === 'mark' ? endOfValue(pieces, json, at) : at;
      const text = json.slice(start, pieces[last].end);
      found.push({ path, text: kind === 'string' ? textOf(text) : text, isString: kind === 'string' });
      at = last;
    }
  }
  return found;
}

/** @param {string} piece a string in JSON */
const textOf = (piece) => String(parsed(piece) ?? piece);

/** Return the index of the token that closes a list or an object.
 * @param {import('./json.js').Token[]} pieces @param {string} json @param {number} index */
function endOfValue(pieces, json, index) {
  let depth = 0;
  for (let at = index; at < pieces.length; at++) {
    if (pieces[at].kind !== 'mark') continue;
    const mark = json[pieces[at].start];
    if (mark === '{' || mark === '[') depth += 1;
    else if (mark === '}' || mark === ']') depth -= 1;
    if (!depth) return at;
  }
  return pieces.length - 1;
}
