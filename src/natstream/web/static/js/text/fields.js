// The fields of a message: the members of its JSON object, its logfmt pairs, or the parts of an
// access log's line. Pure. The service decides in the same way (entries/fields.py), but it also knows
// fields that came beside the message, for example those of Fly's proxy.

import { membersOf, parsed, structureOf } from './structure.js';

// A list of fields should fit into a panel.
const MOST_FIELDS = 200;
const DEEPEST = 20;

// key=value, with the value in quotes if it has spaces. A value without quotes may have commas, but the
// next pair does not belong to it.
const NAME = '(?:[\\p{L}_][\\p{L}\\p{N}_.@/-]*|@[\\p{L}\\p{N}_.@/-]+)';
const PAIR = new RegExp(
  `(?<=^|[\\s,;])(${NAME})=(?:"((?:[^"\\\\]|\\\\[^])*)"|'((?:[^'\\\\]|\\\\[^])*)'`
  + `|([^\\s",;]*(?:[,;](?!${NAME}=)[^\\s",;]*)*))(?=[\\s,;]|$)`, 'gu');
// More text or pairs are a dump, and were not written for people.
const LONGEST_PAIRS = 16_384;
const ESCAPES = new Map([['n', '\n'], ['t', '\t'], ['r', '\r']]);

// https://httpd.apache.org/docs/2.4/logs.html#accesslog , the common and the combined format.
const ACCESS =
  /^\S{1,300} \S{1,300} [^["]{1,300}\[[^\]"]{10,60}\] "(?:([A-Z]{3,10}) ([^\s"]{1,8000}) ([A-Z]+\/[\d.]+)|(?:[^"\\]|\\[^])*)" (\d{3}) (\d+|-)(?: "((?:[^"\\]|\\[^])*)" "((?:[^"\\]|\\[^])*)")?/;
const ACCESS_NAMES = ['method', 'path', 'protocol', 'status', 'bytes', 'referer', 'agent'];

/** @param {unknown} value @returns {string} as a text to compare and to show */
const textOf = (value) => (typeof value === 'string' ? value : JSON.stringify(value) ?? '');

/** Return one field of a message as text; null if the message has no such field.
 * @param {string} message @param {string} path */
export function fieldOf(message, path) {
  const structure = structureOf(message);
  if (!structure) return pairsOf(message).get(path) ?? null;
  const found = memberAt(parsed(structure.json), path.split('.'));
  if (found === undefined) return null;
  // JavaScript rounds large integers, for example ids.
  const isRounded = Number.isInteger(found) && !Number.isSafeInteger(found);
  return (isRounded && fieldsOf(message).get(path)) || textOf(found);
}

/** Return the value at a path. A key may have dots itself, as in `{"log.level": "info"}`.
 * @param {any} value @param {string[]} steps @returns {unknown} */
function memberAt(value, steps) {
  if (!steps.length) return value;
  if (value === null || typeof value !== 'object' || steps.length > DEEPEST) return undefined;
  for (let length = steps.length; length > 0; length--) {
    const key = steps.slice(0, length).join('.');
    if (!Object.hasOwn(value, key) || (Array.isArray(value) && !/^(?:0|[1-9]\d{0,8})$/.test(key))) continue;
    const found = memberAt(value[key], steps.slice(length));
    if (found !== undefined) return found;
  }
  return undefined;
}

/** Return all fields of a message with their values as text.
 * @param {string} message @returns {Map<string, string>} */
export function fieldsOf(message) {
  const structure = structureOf(message);
  if (!structure) return pairsOf(message);
  const members = membersOf(structure.json, { deepest: DEEPEST, lists: true });
  return new Map(members.map(({ path, text }) => [path, text]));
}

/** @param {string} message @returns {Map<string, string>} */
function pairsOf(message) {
  /** @type {Map<string, string>} */
  const found = new Map();
  const text = message.trim();
  if (/^\{\s*["}]/.test(text)) return found; // an object that goes on in another line, or was cut
  const access = ACCESS.exec(text);
  if (access) {
    ACCESS_NAMES.forEach((name, index) => {
      const value = access[index + 1];
      if (value !== undefined && value !== '-') found.set(name, value);
    });
    return found;
  }
  if (!text.includes('=')) return found;
  for (const [, name, double, single, plain] of text.slice(0, LONGEST_PAIRS).matchAll(PAIR)) {
    if (found.size >= MOST_FIELDS) break;
    const quoted = double ?? single;
    const value = quoted === undefined
      ? plain.replace(/[,;]+$/, '')
      : quoted.replace(/\\([^])/g, (_, one) => ESCAPES.get(one) ?? one);
    if (!found.has(name)) found.set(name, value);
  }
  return found;
}
