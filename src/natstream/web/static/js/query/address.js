// The page's address ↔ the wish: a link shows the same view, and "back" returns to the view before.
//
// The parameters are those of /api/logs. The page adds `show=all` (all lines, with the matches only
// marked) and `#line=<id>` (a line to go to).

import { formatQuery } from './language.js';
import { fromParams, toParams } from './params.js';
import { parseId } from '../stream/resume.js';

/** @typedef {{query: import('./query.js').Query, marking: boolean}} Asked */

// Changes that follow each other quickly, as when typing, are one step of the history.
const ONE_STEP_MS = 3_000;
// A linked line should have some lines above it.
const BEFORE_MS = 2_000;

let lastWritten = 0;

/** @param {Asked} asked */
function paramsOf({ query, marking }) {
  const params = toParams(query);
  if (marking) params.set('show', 'all');
  return params;
}

/** @param {Asked} asked */
export function writeAddress(asked) {
  const search = paramsOf(asked).toString();
  const address = `${location.pathname}${search ? `?${search}` : ''}`;
  document.title = search ? `${formatQuery(asked.query)} · natstream` : 'natstream';
  if (address === location.pathname + location.search) return;
  const quick = Date.now() - lastWritten < ONE_STEP_MS;
  history[quick ? 'replaceState' : 'pushState'](null, '', address);
  lastWritten = Date.now();
}

/** @returns {Asked & {line: string}} */
export function readAddress() {
  const params = new URLSearchParams(location.search);
  return {
    query: fromParams(params, ['show']),
    marking: params.get('show') === 'all',
    line: /^#line=([\w-]+)$/.exec(location.hash)?.[1] ?? '',
  };
}

/** Return an address that shows the line with this id. @param {Asked} asked @param {string} id */
export function linkTo(asked, id) {
  const params = paramsOf(asked);
  const arrived = parseId(id)?.arrived;
  if (arrived) params.set('since', new Date(arrived - BEFORE_MS).toISOString());
  return `${location.origin}${location.pathname}?${params}#line=${id}`;
}
