// A query: what the reader wants to see, as a value. Pure.
//
// `language.js` reads and writes it as the text of the search field, `params.js` as the parameters
// of /api/logs. The three forms always say the same.

/** The fields that each line has. */
export const LINE_FIELDS = /** @type {const} */ ([
  'app', 'region', 'machine', 'group', 'release', 'stream', 'level', 'type', 'source',
]);
/** All that a query names by exact values. A pattern is named by the id that the service gives it. */
export const FIELDS = /** @type {const} */ ([...LINE_FIELDS, 'pattern']);
export const LEVELS = ['trace', 'debug', 'info', 'warn', 'error', 'fatal'];

/** As the service reads levels (entries/level_names.py). */
const LEVEL_ALIASES = new Map([
  ['warning', 'warn'], ['wrn', 'warn'], ['err', 'error'], ['severe', 'error'], ['critical', 'fatal'],
  ['crit', 'fatal'], ['alert', 'fatal'], ['emerg', 'fatal'], ['emergency', 'fatal'],
  ['panic', 'fatal'], ['information', 'info'], ['notice', 'info'], ['verbose', 'debug'],
  ['fine', 'debug'],
]);

/** @typedef {typeof FIELDS[number]} Field */
/** @typedef {{text: string, regex: boolean, not: boolean}} Text */
/** @typedef {import('./condition.js').Condition} Condition */
/**
 * @typedef {object} Query
 * @property {Record<Field, string[]>} fields   the values that a line may have
 * @property {Record<Field, string[]>} excluded   the values that it must not have
 * @property {string} minLevel
 * @property {Text[]} texts
 * @property {Condition[]} conditions   on the fields of the message; all must hold
 * @property {string} since
 * @property {string} until
 * @property {string} at   a time to go to, which filters nothing; as it was typed
 * @property {string} error   the part that cannot be asked for, as a sentence; otherwise empty
 */

/** @returns {Query} */
export const emptyQuery = () => ({
  fields: noValues(),
  excluded: noValues(),
  minLevel: '',
  texts: [],
  conditions: [],
  since: '',
  until: '',
  at: '',
  error: '',
});

/** @returns {Record<Field, string[]>} */
const noValues = () => ({
  app: [], region: [], machine: [], group: [], release: [], stream: [], level: [], type: [], source: [],
  pattern: [],
});

/** Return whether the query lets every line pass. @param {Query} query */
export const isEmpty = ({ fields, excluded, minLevel, texts, conditions, since, until }) =>
  !minLevel && !since && !until && !texts.length && !conditions.length
  && FIELDS.every((field) => !fields[field].length && !excluded[field].length);

/** @param {string} name @returns {name is Field} */
export const isField = (name) => /** @type {readonly string[]} */ (FIELDS).includes(name);

/** Return whether the service can be asked for a value. It cannot if the value has a comma, because
 * a comma separates two values. @param {string} value */
export const canAsk = (value) => !value.includes(',');

/** @param {string} field @param {string} value @returns {string} a sentence for the reader */
export const cannotAsk = (field, value) =>
  `${field} "${value}" cannot be asked for, because a comma separates two values.`;

/** Add a value to a field, or to its excluded ones, spelled as the service spells it.
 * @param {Query} query @param {Field} field @param {string} value
 * @param {{not?: boolean}} [options] `not`: exclude it */
export function addValue(query, field, value, { not = false } = {}) {
  let clean = value.trim();
  if (field === 'level') clean = levelOf(clean);
  else if (['stream', 'type', 'source', 'pattern'].includes(field)) clean = clean.toLowerCase();
  else if (field === 'machine') clean = clean.replace(/[*…]+$/, '*'); // the chip has `668f…`
  const values = query[not ? 'excluded' : 'fields'][field];
  if (clean && !values.includes(clean)) values.push(clean);
}

/** Add a value to a field, or remove it if the field has it. An excluded value is removed from the
 * excluded ones.
 * @param {Query} query @param {Field} field @param {string} value */
export function toggleValue({ fields, excluded }, field, value) {
  const values = excluded[field].includes(value) ? excluded : fields;
  values[field] = values[field].includes(value)
    ? values[field].filter((other) => other !== value)
    : [...values[field], value];
}

/** Exclude a value of a field, and ask for it no longer.
 * @param {Query} query @param {Field} field @param {string} value */
export function excludeValue({ fields, excluded }, field, value) {
  fields[field] = fields[field].filter((other) => other !== value);
  if (!excluded[field].includes(value)) excluded[field].push(value);
}

/**
 * Set the least level from `level>=warn` or `min_level=warn`, or set the error of the query.
 * @param {Query} query @param {string} asked the name and operator as typed, for the error
 * @param {string} operator @param {string} value
 */
export function setLeastLevel(query, asked, operator, value) {
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

/** Return a level as the service calls it. @param {string} level */
export function levelOf(level) {
  const lower = level.toLowerCase();
  return LEVEL_ALIASES.get(lower) ?? lower;
}
