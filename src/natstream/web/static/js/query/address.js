// The page's address ↔ the wish: a link shows the same view, and "back" returns to the view before.
//
// The parameters are those of /api/logs. The page adds `show=all` (all lines, with the matches only
// marked), `json=raw` (JSON messages as they came), `cols=status,path` (fields as columns),
// `#line=<id>` (a line to go to) and `#context=<id>` (a line to show among its neighbours).

import { fromParams, toParams } from './params.js';

/** @typedef {Omit<import('./exchange.js').Wish, 'depth'>} Asked */

// Changes that follow each other quickly, as when typing, are one step of the history.
const ONE_STEP_MS = 3_000;
// More columns leave no room for the message.
const MOST_COLUMNS = 8;

let lastWritten = 0;

/** @param {Asked} asked */
function paramsOf({ query, marking, raw, columns }) {
  const params = toParams(query);
  if (marking) params.set('show', 'all');
  if (raw) params.set('json', 'raw');
  if (columns.length) params.set('cols', columns.join(','));
  return params;
}

/** @param {Asked} asked */
export function writeAddress(asked) {
  const search = paramsOf(asked).toString();
  const address = `${location.pathname}${search ? `?${search}` : ''}`;
  if (address === location.pathname + location.search) return;
  const quick = Date.now() - lastWritten < ONE_STEP_MS;
  history[quick ? 'replaceState' : 'pushState'](null, '', address);
  lastWritten = Date.now();
}

/** @param {boolean} raw the choice for an address that has none
 * @returns {Asked & {line: string, context: string}} */
export function readAddress(raw) {
  const params = new URLSearchParams(location.search);
  return {
    query: fromParams(params, ['show', 'json', 'cols']),
    marking: params.get('show') === 'all',
    raw: params.has('json') ? params.get('json') === 'raw' : raw,
    columns: withColumns([], (params.get('cols') ?? '').split(',')),
    line: /^#line=([\w-]+)$/.exec(location.hash)?.[1] ?? '',
    context: /^#context=([\w-]+)$/.exec(location.hash)?.[1] ?? '',
  };
}

/** Return columns with some more, each once.
 * @param {string[]} columns @param {string[]} more */
export const withColumns = (columns, more) =>
  [...new Set([...columns, ...more.map((name) => name.trim()).filter(Boolean)])].slice(0, MOST_COLUMNS);

/** Return an address that shows the line with this id among its neighbours, over the lines of the
 * present filter. @param {Asked} asked @param {string} id */
export function linkTo(asked, id) {
  const search = paramsOf(asked).toString();
  return `${location.origin}${location.pathname}${search ? `?${search}` : ''}#context=${id}`;
}
