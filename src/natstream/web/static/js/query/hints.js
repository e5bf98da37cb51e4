// What to type here for a word that another product would understand in another way. Pure.
//
// In: the text of the search field. Out: a sentence for the reader, or an empty text. The words are
// searched all the same, because a log line may hold each of them.

import { isField } from './query.js';

// The names that other products have for ours.
/** @type {Record<string, string[]>} */
const OTHERS = {
  app: ['service', 'application', 'appname', 'app_name', 'job'],
  machine: ['host', 'hostname', 'instance', 'vm', 'machine_id', 'pod'],
  level: ['severity', 'lvl', 'loglevel', 'log.level', 'log_level'],
  since: ['after', 'from', 'start', 'last'],
  until: ['before', 'to', 'end'],
};
const NAMES = new Map(Object.entries(OTHERS).flatMap(([ours, names]) =>
  names.map((name) => /** @type {const} */ ([name, ours]))));
const TEXTS = new Set(['message', 'msg', 'text', 'body', 'log', 'line']);
const OWN = new Set(['since', 'until', 'at', 'field', 'min_level']);

const PIECE = /(?:"(?:[^"\\]|\\[^])*"?|[^\s"])+/g;
const NAMED = /^(-?)([\p{L}_@$][\p{L}\p{N}_@$.-]*)(:|!=|=~|!~|==|=)([^]*)$/u;

/** @typedef {(word: string, before: string, after: string) => string} Rule */

/** @param {string} text */
const bare = (text) => text.replace(/^[({]+|[)},]+$/g, '').replace(/^(["'])([^]*)\1$/, '$2');

/** @type {Rule[]} */
const RULES = [
  (word, before, after) => {
    if (!/^(?:OR|\|\|?)$/.test(word)) return '';
    const [a, b] = before && after ? [bare(before), bare(after)] : ['a', 'b'];
    const values = [a, b].map((one) => /^([a-z]+):(.+)$/.exec(one));
    const field = values[0]?.[1] ?? '';
    const typed = isField(field) && values[1]?.[1] === field
      ? `${field}:${values[0]?.[2]},${values[1]?.[2]}` : `${a}|${b}`;
    return `${word} is searched as a text. For lines with either, type ${typed}`;
  },
  (word, before, after) => (/^(?:AND|&&)$/.test(word)
    ? `${word} is searched as a text. Every word must be in a line anyway: type ${bare(before) || 'a'} ${bare(after) || 'b'}`
    : ''),
  (word, before, after) => (word === 'NOT'
    ? `NOT is searched as a text. For lines without a text, type -${bare(after) || 'text'}` : ''),
  (word) => {
    const [, rest = ''] = /^!([^=!\s][^]*)$/.exec(word) ?? [];
    if (!rest) return '';
    return /^[\p{L}_@$][\p{L}\p{N}_@$.-]*$/u.test(rest)
      ? `${word} finds lines without a field ${rest}. For lines without the text, type -${rest}`
      : `${word} is searched as a text. For lines without it, type -${rest}`;
  },
  (word) => {
    const [, text = ''] = /^\+([\p{L}"][^]*)$/u.exec(word) ?? [];
    return text && `The + is searched as a character. Every word must be in a line anyway: type ${text}`;
  },
  (word) => {
    const [, pattern = ''] = /^-?(\/.+\/)[a-z]+$/.exec(word) ?? [];
    return pattern.length > 2 && !/^\/[\w./-]*$/.test(pattern)
      ? `Letters behind an expression have no meaning, and upper and lower case are equal: type ${pattern}` : '';
  },
  (word, before, after) => {
    const [, text = ''] = /^'([^']+)'?$/.exec(word) ?? [];
    return text && `The ' is searched as a character. For a text with spaces, type "${after.endsWith("'") ? `${text} ${after.slice(0, -1)}` : text}"`;
  },
  (word, before, after) => {
    const [, name = '', value = ''] = /^[{,]*"([\w@.-]+)"\s*:([^]*)$/.exec(word) ?? [];
    const wanted = bare(value || after) || 'value';
    if (!name) return '';
    return NAMES.get(name) === 'level' || name === 'level'
      ? `JSON is searched as a text. For the level of a line, type level:${wanted}`
      : `JSON is searched as a text. For a field of the message, type ${name}=${wanted}`;
  },
  (word, before, after) => {
    const [, minus, name, operator, value] = NAMED.exec(bare(word)) ?? [];
    return name === undefined ? '' : named(minus, name, operator, value, after);
  },
  (word) => {
    if (!/^-?(?:\*[^*]+\*?|[^*/:=<>"]+\*)$/.test(word)) return '';
    const text = word.replace(/^-?\*?|\*$/g, '');
    return /^[\p{L}\p{N}]/u.test(text)
      ? `The * is searched as a character. Parts of words are found anyway: type ${word.startsWith('-') ? '-' : ''}${text}` : '';
  },
  (word) => {
    const [, start = '', end = ''] = /^([\p{L}\p{N}_]+)\*([\p{L}\p{N}_]+)$/u.exec(word) ?? [];
    return start && `The * is searched as a character. For anything in its place, type /${start}.*${end}/`;
  },
];

/** @param {string} minus @param {string} name @param {string} operator @param {string} value
 * @param {string} after the next word @returns {string} */
function named(minus, name, operator, value, after) {
  const ours = isField(name) ? name : NAMES.get(name.toLowerCase()) ?? '';
  const comparison = /^([<>]=?)(.+)$/.exec(value);
  if (OWN.has(name)) return '';
  if (operator === '=~' || operator === '!~') {
    const sign = operator === '!~' ? '-' : '';
    return `A field takes no expression. For one on the message, type ${sign}/${bare(value) || 'time(d )?out'}/`;
  }
  if (operator === '==') return `== is no comparison here: type ${name}${isField(name) ? ':' : '='}${bare(value)}`;
  if (isField(name)) {
    if (operator === ':' && !value) return after && `The value stands directly behind the colon: type ${name}:${bare(after)}`;
    if (comparison) {
      return name === 'level' ? `For a level or worse, type level${value}` : `${name} takes exact values, such as ${name}:a,b`;
    }
    if (value.startsWith('-')) return `${minus}${name}:${value} is that value. To exclude it, type -${name}:${value.slice(1)}`;
    if (/[|]/.test(value) && !value.includes('"')) return `For one of several values, type ${minus}${name}:${value.replaceAll('|', ',')}`;
    if (value.includes('*') && !(name === 'machine' && /^[^*]+\*$/.test(value))) {
      return `${name} takes exact values, such as ${name}:a,b. Only machine takes a beginning: machine:668f*`;
    }
    if (operator === '!=') return `${name}!=${value} is read as -${name}:${value}`;
    return operator === '=' && value
      ? `${name}=${value} is read as ${name}:${value}. For a field of the message, type field:${name}=${value}` : '';
  }
  if (operator !== ':') {
    return /[|]/.test(value) ? `For one of several values, type ${name}${operator}${value.replaceAll('|', ',')}` : '';
  }
  if (!value || /^[:/\\]/.test(value)) return ''; // as in `panic:`, `http://` and `Foo::bar`
  const text = bare(value);
  if (ours) return `${name}: has no meaning here. Type ${minus}${ours}:${text}`;
  if (TEXTS.has(name)) return `Texts are searched in the message anyway: type ${minus}${text}`;
  const range = /^\[(\S+)/.exec(value);
  if (range) return `For a range, type ${name}>=${range[1]} ${name}<=…`;
  return `${name}:${value} is searched as a text. For a field of the message, type ${name}${comparison ? value : `=${text}`}`;
}

/** @param {string} text @returns {string} a sentence; empty if all is read as people mean it */
export function hintOf(text) {
  const words = text.match(PIECE) ?? [];
  for (const [index, word] of words.entries()) {
    for (const rule of RULES) {
      const hint = rule(word, words[index - 1] ?? '', words[index + 1] ?? '');
      if (hint) return hint.length > 300 ? `${hint.slice(0, 299)}…` : hint;
    }
  }
  return '';
}
