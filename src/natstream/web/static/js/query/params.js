// A query as the parameters of /api/logs, which are also those of the page's address. Pure.

import { addCondition, formatCondition, parseCondition } from './condition.js';
import { escapeRegex } from './expression.js';
import { FIELDS, addValue, emptyQuery, setLeastLevel } from './query.js';

/** @typedef {import('./query.js').Query} Query */

/**
 * Return the parameters that ask the service for a query.
 * @param {Query} query @param {{texts?: boolean}} [options] `texts: false` leaves out what
 *   the page can mark instead: texts and conditions
 */
export function toParams(query, { texts = true } = {}) {
  const params = new URLSearchParams();
  for (const field of FIELDS) {
    if (query.fields[field].length) params.set(field, query.fields[field].join(','));
  }
  for (const field of FIELDS) {
    if (query.excluded[field].length) params.set(`not_${field}`, query.excluded[field].join(','));
  }
  if (query.minLevel) params.set('min_level', query.minLevel);
  if (query.since) params.set('since', query.since);
  if (query.until) params.set('until', query.until);
  if (texts) {
    for (const { text, regex, not } of query.texts) {
      // The service reads a text between slashes as an expression, so such a text is sent as one.
      const plain = /^\/.+\/$/.test(text) ? `/${escapeRegex(text)}/` : text;
      params.append(not ? 'not' : 'q', regex ? `/${text}/` : plain);
    }
    for (const condition of query.conditions) params.append('field', formatCondition(condition));
  }
  return params;
}

/** The parameters that have values between commas → their fields.
 * @type {Map<string, import('./query.js').Field>} */
const LISTS = new Map([
  ...FIELDS.map((field) => /** @type {const} */ ([field, field])),
  ...FIELDS.map((field) => /** @type {const} */ ([`not_${field}`, field])),
]);
const FILTERS = [...LISTS.keys(), 'min_level', 'since', 'until', 'q', 'not', 'field'];
// The service understands these as well, but they only choose the form of its answer.
const PASSED_OVER = ['tail', 'follow', 'format', 'last_event_id'];
const ONCE = ['min_level', 'since', 'until'];

/**
 * Return the query that the service would read from these parameters. A parameter that the service
 * would refuse becomes the error of the query.
 * @param {URLSearchParams} params of the page's address
 * @param {string[]} [others] names that have a meaning for the page alone
 * @returns {Query}
 */
export function fromParams(params, others = []) {
  const query = emptyQuery();
  for (const [name, value] of params) {
    if (others.includes(name) || PASSED_OVER.includes(name)) continue;
    const field = LISTS.get(name);
    if (!FILTERS.includes(name)) {
      query.error = `The address has “${name.slice(0, 100)}”, which filters nothing. There are ${FILTERS.join(', ')}.`;
    } else if (!value.replaceAll(field ? ',' : '', '').trim()) {
      query.error = `The address has “${name}” without a value.`;
    } else if (ONCE.includes(name) && params.getAll(name).length > 1) {
      query.error = `The address has “${name}” twice.`;
    } else if (field) {
      for (const part of value.split(',')) addValue(query, field, part, { not: name !== field });
    } else if (name === 'min_level') {
      setLeastLevel(query, name, '=', value.trim());
    } else if (name === 'since' || name === 'until') {
      query[name] = value.trim();
    } else if (name === 'field') {
      const condition = parseCondition(value);
      if (condition) addCondition(query.conditions, condition);
      else query.error = `The address has “field=${value.slice(0, 100)}”. It takes status>=500, user.id=7, path!=/health, name or !name.`;
    } else {
      const regex = value.length > 2 && value.startsWith('/') && value.endsWith('/');
      query.texts.push({ text: regex ? value.slice(1, -1) : value, regex, not: name === 'not' });
    }
  }
  return query;
}

/**
 * Return a text that is the same for all addresses of a view, whatever the order and the form of their
 * parameters and values.
 * @param {URLSearchParams} params as `toParams` writes them, perhaps with others
 */
export function keyOf(params) {
  const pairs = [...params].flatMap(([name, value]) =>
    (LISTS.has(name) ? value.split(',') : [value]).map((one) => `${name}=${one}`));
  return [...new Set(pairs)].sort().join('\n');
}
