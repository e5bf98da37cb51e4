// A JSON message as people read it: its text first, then its other fields as key=value. Pure.
//
// In: a message. Out: a text and its coloured parts; null if the message has no JSON object. The level
// and the time of the message are left out, because the row has them in its columns. Fields of the
// process come last. `natstream tail` has the same rules (entries/readable.py).

import { stripAnsi } from './ansi.js';
import { membersOf, structureOf } from './structure.js';

/** @typedef {import('../types.js').Span} Span */
/** @typedef {import('./structure.js').Member} Member */

/** The names of a message's text, the usual ones first. */
export const TEXTS = [
  'msg', 'message', 'event', '@m', '@mt', 'body', 'text', 'log', 'short_message', 'error.message',
  'err.message', 'exception',
];
export const LEVELS = new Set([
  'level', 'lvl', 'severity', 'levelname', 'level_name', 'log.level', 'loglevel', 'LogLevel',
  '@level', '@l', 'severityText', 'severity_text',
]);
const TIMES = new Set(['time', 'ts', 'timestamp', '@timestamp', '@t']);
const LAST = new Set(['pid', 'hostname', 'host', 'v', 'logger', ...LEVELS, ...TIMES]);

/** The values that the service reads as levels and times. Others may mean something else. */
const LEVEL = new RegExp(`^(?:[1-6]0|[1-6]00|[25]50|(?:${[
  'trace|trc|trce|silly|finer|finest|vrb|debug|dbg|debu|verbose|verb|fine|config',
  'info|inf|information|informational|notice|note|log|success|system|warn|warning|wrn|warnin',
  'error|err|erro|eror|fail|failure|severe',
  'fatal|ftl|fata|critical|crit|alert|emerg|emergency|panic|pani|dpanic',
].join('|')})(?:[+-]\\d+)?)$`, 'i');
const TIME = /^(?:\d{10,19}(?:\.\d+)?|\d{4}-\d\d-\d\d[T ].*)$/;
// A longer value is cut here. The opened row and the details show it whole.
const LONGEST_VALUE = 200;

/**
 * @param {string} message @param {readonly string[]} [elsewhere] fields that are shown as columns
 * @returns {{text: string, spans: Span[]} | null}
 */
export function summaryOf(message, elsewhere = []) {
  const structure = structureOf(stripAnsi(message));
  if (!structure) return null;
  const members = membersOf(structure.json);
  let chosen = textOf(members);
  let others = members.filter((member) => member !== chosen);
  // The text may be JSON again, where one logger wraps the lines of another.
  const inner = chosen && structureOf(chosen.text);
  let { prefix } = structure;
  if (inner) {
    const wrapped = membersOf(inner.json);
    prefix += inner.prefix;
    chosen = textOf(wrapped);
    others = [...wrapped.filter((member) => member !== chosen), ...others];
  }
  others = others.filter(({ path, text }) => !elsewhere.includes(path)
    && !(LEVELS.has(path) && LEVEL.test(text)) && !(TIMES.has(path) && TIME.test(text)));
  const isLast = (/** @type {Member} */ { path }) => LAST.has(path);
  const summary = written(prefix + (chosen?.text ?? ''), [
    ...others.filter((member) => !isLast(member)), ...others.filter(isLast),
  ]);
  return summary.text ? summary : null;
}

/** @param {Member[]} members */
function textOf(members) {
  for (const name of TEXTS) {
    const found = members.find(({ path, isString, text }) => path === name && isString && text.trim());
    if (found) return found;
  }
  return undefined;
}

/** @param {string} start @param {Member[]} members @returns {{text: string, spans: Span[]}} */
function written(start, members) {
  /** @type {Span[]} */
  const spans = [];
  let text = stripAnsi(start).trimEnd();
  for (const { path, text: value, isString } of members) {
    if (text) text += ' ';
    const key = text.length;
    text += `${path}=`;
    const from = text.length;
    text += stripAnsi(shown(value, isString));
    spans.push({ start: key, end: from, className: 'q-key' });
    spans.push({ start: from, end: text.length, className: 'q-value' });
  }
  return { text, spans };
}

/** @param {string} value @param {boolean} isString */
function shown(value, isString) {
  const whole = isString && (value === '' || /[\s"=]/.test(value)) ? JSON.stringify(value) : value;
  return whole.length > LONGEST_VALUE ? `${whole.slice(0, LONGEST_VALUE)}…` : whole;
}
