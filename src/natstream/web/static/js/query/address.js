// The page's address ↔ the wish: a link shows the same view, and "back" returns to the view before.
//
// The parameters are those of /api/logs. The page adds `show=all` (all lines, with the matches only
// marked), `json=raw` (JSON messages as they came), `cols=status,path` (fields as columns),
// `#line=<id>` (a line to go to) and `#context=<id>` (a line to show among its neighbours).
//
// Each view is one entry of the browser's history. An address that was loaded or gone back to is only
// rewritten in its place, since a new entry would hide the entries before it from "back".

import { fromParams, keyOf, toParams } from './params.js';

/** @typedef {Omit<import('./exchange.js').Wish, 'depth'>} Asked */

// Changes that follow each other quickly, as when typing, are one step of the history.
const ONE_STEP_MS = 3_000;
// More columns leave no room for the message.
const MOST_COLUMNS = 8;

// The last entry that was made, in ms since 1970; 0 if another view was loaded or gone back to since.
let lastWritten = 0;
/** Whether the present entry was made for the view that was asked for last. */
let isNew = false;
/** Whether the page goes back by itself. */
let isReturning = false;

/** @param {Asked} asked */
function paramsOf({ query, marking, raw, columns }) {
  const params = toParams(query);
  if (marking) params.set('show', 'all');
  if (raw) params.set('json', 'raw');
  if (columns.length) params.set('cols', columns.join(','));
  return params;
}

/**
 * Show a view in the address.
 * @param {Asked} asked
 * @param {'asks' | 'follows' | 'restores'} [why] `follows`: the address asks for the view; `restores`: the
 *   service has refused the view of the address, so that it is the view before again
 */
export function writeAddress(asked, why = 'asks') {
  const params = paramsOf(asked);
  const search = params.toString();
  const address = `${location.pathname}${search ? `?${search}` : ''}`;
  const wasNew = isNew;
  isNew = false;
  if (why !== 'asks') lastWritten = 0;
  if (why === 'restores' && wasNew) {
    isReturning = true;
    history.back();
    return;
  }
  if (address === location.pathname + location.search) return;
  const isSame = keyOf(params) === keyOf(paramsOf(readAddress(false)));
  if (why !== 'asks' || isSame) {
    history.replaceState(history.state, '', address + location.hash);
    return;
  }
  const quick = Date.now() - lastWritten < ONE_STEP_MS;
  history[quick ? 'replaceState' : 'pushState'](null, '', address);
  isNew = !quick;
  lastWritten = Date.now();
}

/** Return whether the page has just gone back to the entry of the view that it shows. */
export function hasReturned() {
  const was = isReturning;
  isReturning = false;
  return was;
}

/** Return the view of a query string.
 * @param {string} search @param {boolean} raw the choice for a query string that has none
 * @returns {Asked} */
export function readSearch(search, raw) {
  const params = new URLSearchParams(search);
  return {
    query: fromParams(params, ['show', 'json', 'cols']),
    marking: params.get('show') === 'all',
    raw: params.has('json') ? params.get('json') === 'raw' : raw,
    columns: withColumns([], (params.get('cols') ?? '').split(',')),
  };
}

/** @param {boolean} raw the choice for an address that has none
 * @returns {Asked & {line: string, context: string}} */
export function readAddress(raw) {
  return {
    ...readSearch(location.search, raw),
    line: /^#line=([\w-]+)$/.exec(location.hash)?.[1] ?? '',
    context: /^#context=([\w-]+)$/.exec(location.hash)?.[1] ?? '',
  };
}

/** Return columns with some more, each once.
 * @param {string[]} columns @param {string[]} more */
export const withColumns = (columns, more) =>
  [...new Set([...columns, ...more.map((name) => name.trim()).filter(Boolean)])].slice(0, MOST_COLUMNS);

/** Return the query string of a view. @param {Asked} asked */
export const searchOf = (asked) => paramsOf(asked).toString();

/** Return an address that shows the line with this id among its neighbours, over the lines of the
 * present filter. @param {Asked} asked @param {string} id */
export function linkTo(asked, id) {
  const search = paramsOf(asked).toString();
  return `${location.origin}${location.pathname}${search ? `?${search}` : ''}#context=${id}`;
}
