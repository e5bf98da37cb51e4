// The language of the search field: text → query, and query → text. Pure.
//
//   timeout              the message contains it, in any case   "two words"   as one text
//   /time(d )?out/       a regular expression (RE2)             -health       must not contain it
//   timeout|refused      one of these texts: in quotes, a text may have a | itself
//   app:web  app:web,api     exact values; so are region:  machine:  group:  release:  stream:
//                        level:  type:  source:  pattern:
//   -app:web             none of these values                   machine:668f*  IDs that begin so
//   level>=warn          that level or worse
//   since:10m  until:14:05   lines that arrived since then, and until then
//   at:14:05             filters nothing: the page goes to that time
//   status>=500  user.id=7  path!=/health   a field of the message     !name  without that field
//   field:type=login     the same, for a field whose name has another meaning; field:name  it exists
//
// `parseQuery(formatQuery(query))` is the same query.

import { addCondition, formatCondition, parseCondition } from './condition.js';
import { escapeRegex, literalsOf } from './expression.js';
import { forService } from './moment.js';
import { FIELDS, addValue, canAsk, cannotAsk, emptyQuery, isField, setLeastLevel } from './query.js';

/** @typedef {import('./moment.js').Clock} Clock */
/** @typedef {import('./query.js').Query} Query */
/** @typedef {import('./query.js').Text} Text */

// A word: `-`, then `/…/` up to a slash that ends the word, or a name and an operator, then
// pieces in quotes or without spaces.
const WORD =
  /(-?)(?:\/((?:[^/\\]|\\[^]|\/(?!\s|$))+)\/(?=\s|$)|(?:([\p{L}_@$][\p{L}\p{N}_@$.-]*)(:|!=|[<>]=?|=))?((?:"(?:[^"\\]|\\[^])*"?|[^\s"])*))/guy;
const WITHOUT = /^!([\p{L}_@$][\p{L}\p{N}_@$.-]*)$/u;

/** @param {string} text @param {Clock} [clock] for times that depend on the page's clock
 * @returns {Query} */
export function parseQuery(text, clock = { now: Date.now(), utc: false }) {
  const query = emptyQuery();
  let position = 0;
  for (;;) {
    while (position < text.length && /\s/.test(text[position])) position += 1;
    if (position >= text.length) return query;
    WORD.lastIndex = position;
    const match = /** @type {RegExpExecArray} */ (WORD.exec(text));
    position = WORD.lastIndex;
    addWord(query, match, clock);
  }
}

/** @param {Query} query @param {RegExpExecArray} match @param {Clock} clock */
function addWord(query, [whole, minus, regex, name, operator, value], clock) {
  const isTime = (name === 'since' || name === 'until') && (operator === ':' || operator === '=');
  if (regex !== undefined) {
    query.texts.push({ text: regex, regex: true, not: minus === '-' });
  } else if (name === 'min_level' || (name === 'level' && /[<>]/.test(operator))) {
    setLeastLevel(query, minus + name + operator, operator, unquote(value));
  } else if (isField(name) && (operator === ':' || operator === '=' || operator === '!=')) {
    const not = (minus === '-') !== (operator === '!=');
    const values = splitValues(value);
    const unaskable = values.find((part) => !canAsk(part));
    if (unaskable !== undefined) query.error = cannotAsk(name, unaskable);
    else for (const part of values) addValue(query, name, part, { not });
  } else if (isTime && !minus) {
    query[name] = forService(unquote(value), clock);
  } else if (name === 'at' && operator === ':' && !minus) {
    query.at = unquote(value);
  } else if (name === 'field' && operator === ':') {
    addTyped(query, minus, unquote(value), whole);
  } else if (operator && operator !== ':' && name !== 'since' && name !== 'until') {
    addTyped(query, minus, name + operator + unquote(value), whole);
  } else if (WITHOUT.test(whole)) {
    addTyped(query, minus, whole, whole);
  } else {
    const typed = whole.slice(minus.length);
    const parts = partsOf(typed);
    const bare = parts[0] ?? unquote(typed);
    if (parts.length > 1) {
      query.texts.push({ text: parts.map(escapeRegex).join('|'), regex: true, not: minus === '-' });
    } else if (bare.trim()) query.texts.push({ text: bare, regex: false, not: minus === '-' });
    else if (whole === '-') query.texts.push({ text: '-', regex: false, not: false });
  }
}

// What `-` before a condition makes of its operator. Of the others, no operator is the opposite,
// because they need a number.
const OPPOSITES = /** @type {const} */ ({ '=': '!=', '!=': '=', exists: 'absent', absent: 'exists' });

/** Add a condition as it was typed; a half-typed one adds nothing.
 * @param {Query} query @param {string} minus @param {string} text @param {string} word whole */
function addTyped(query, minus, text, word) {
  const condition = parseCondition(text);
  if (!condition) return;
  if (minus) {
    const { operator } = condition;
    if (operator === '<' || operator === '<=' || operator === '>' || operator === '>=') {
      query.error = `${word} cannot be asked: turn the comparison round, as in status<500.`;
      return;
    }
    condition.operator = OPPOSITES[operator];
  }
  addCondition(query.conditions, condition);
}

/** Return the texts between the bars of `a|b`, of which the line has one. A bar in quotes is a part of
 * its text, and a bar at an end belongs to a word that is not complete.
 * @param {string} word */
const partsOf = (word) =>
  (word.match(/(?:"(?:[^"\\]|\\[^])*"?|[^"|])+/g) ?? []).map(unquote).filter((part) => part.trim());

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

/** @param {Query} query @returns {string} the text to type for it */
export function formatQuery(query) {
  const words = [];
  for (const field of FIELDS) {
    const values = query.fields[field];
    if (values.length) words.push(`${field}:${values.map(formatValue).join(',')}`);
  }
  for (const field of FIELDS) {
    const values = query.excluded[field];
    if (values.length) words.push(`-${field}:${values.map(formatValue).join(',')}`);
  }
  if (query.minLevel) words.push(`level>=${query.minLevel}`);
  if (query.since) words.push(`since:${formatValue(query.since)}`);
  if (query.until) words.push(`until:${formatValue(query.until)}`);
  for (const condition of query.conditions) words.push(formatTyped(condition));
  const plain = [...words, ...query.texts.map((text) => formatText(text, false))].join(' ');
  const back = parseQuery(plain).texts;
  // Alone, `/api` is a text. Before a later word that ends in `/`, it would begin an expression.
  const same = back.length === query.texts.length
    && back.every((text, index) => text.text === query.texts[index].text);
  return same ? plain : [...words, ...query.texts.map((text) => formatText(text, true))].join(' ');
}

/** @param {string} value */
const formatValue = (value) => (/[\s",]/.test(value) ? quoted(value) : value);

/** Return a condition as text to type: as short as possible, without another meaning.
 * @param {import('./condition.js').Condition} condition */
function formatTyped(condition) {
  const text = formatCondition(condition);
  const { name, operator, value } = condition;
  const short = operator === 'absent' || operator === 'exists'
    ? text
    : name + operator + (/[\s"\\]/.test(value) ? quoted(value) : value);
  const { texts, conditions, error } = parseQuery(short);
  const same = !error && !texts.length && conditions.length === 1
    && formatCondition(conditions[0]) === text;
  return same ? short : `field:${/[\s"\\]/.test(text) ? quoted(text) : text}`;
}

/** @param {Text} text @param {boolean} quoteSlash */
function formatText({ text, regex, not }, quoteSlash) {
  const minus = not ? '-' : '';
  // Escape a slash before a space, because it would end the expression.
  const closed = (/** @type {string} */ piece) => (piece === '/' ? '\\/' : piece);
  if (regex) {
    return minus + (formatParts(text, quoteSlash) || `/${text.replace(/\\[^]|\/(?=\s)/g, closed)}/`);
  }
  const [only, ...others] = parseQuery(text).texts;
  const same = only && !others.length && only.text === text && !only.regex && !only.not;
  const quote = !same || /["\\]/.test(text) || (quoteSlash && text.startsWith('/'));
  return minus + (quote ? quoted(text) : text);
}

/** Return an expression as `a|b`; an empty text if it is another one.
 * @param {string} pattern @param {boolean} quoteSlash */
function formatParts(pattern, quoteSlash) {
  const parts = literalsOf(pattern);
  if (parts.length < 2) return '';
  const forms = [parts.map((part) => (/[\s"\\|]/.test(part) ? quoted(part) : part)), parts.map(quoted)];
  return forms.map((form) => form.join('|')).find((word) => {
    const [only, ...others] = parseQuery(word).texts;
    return !(quoteSlash && word.startsWith('/'))
      && only?.regex && only.text === pattern && !only.not && !others.length;
  }) ?? '';
}
