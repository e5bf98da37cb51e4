// What the browser remembers of queries: views that the reader has named, and the queries that were
// typed last. Pure, except for the browser's storage.
//
// A view is kept as the parameters of the page's address that mean something, so it never holds a
// token. The storage may be full or forbidden, and another release may have written to it.

import { fromParams, keyOf, toParams } from './params.js';
import { parseQuery } from './language.js';

/** @typedef {{name: string, search: string}} View  `search`: the query string of its address */

const VIEWS = 'natstream views';
const RECENT = 'natstream recent';
export const MOST_VIEWS = 50;
export const LONGEST_NAME = 60;
const MOST_RECENT = 20;
// The service refuses longer filters.
const LONGEST = 10_000;

/** @param {string} key @returns {unknown[]} */
function read(key) {
  try {
    const stored = JSON.parse(localStorage.getItem(key) ?? '[]');
    return Array.isArray(stored) ? stored : [];
  } catch {
    return [];
  }
}

/** @param {string} key @param {unknown[]} values @returns {boolean} whether the browser keeps them */
function write(key, values) {
  try {
    localStorage.setItem(key, JSON.stringify(values));
    return true;
  } catch {
    return false;
  }
}

/** Return the views that are in the storage, without what is none.
 * @param {unknown[]} stored @returns {View[]} */
export function saneViews(stored) {
  /** @type {Map<string, View>} */
  const views = new Map();
  for (const one of stored) {
    const { name, search } = /** @type {Record<string, unknown>} */ (one ?? {});
    if (typeof name !== 'string' || typeof search !== 'string' || search.length > LONGEST) continue;
    const clean = cleanName(name);
    const params = new URLSearchParams(search);
    if (clean && !fromParams(params, ['show', 'json', 'cols']).error) {
      views.set(clean, { name: clean, search: params.toString() });
    }
  }
  return [...views.values()].slice(0, MOST_VIEWS);
}

/** @param {string} name */
export const cleanName = (name) => name.replace(/\s+/g, ' ').trim().slice(0, LONGEST_NAME).trim();

export const views = () => saneViews(read(VIEWS));

/**
 * Keep a view, in place of one with the same name.
 * @param {string} name @param {string} search
 * @returns {string} why it cannot be kept, as a sentence; empty if it is kept
 */
export function keepView(name, search) {
  const clean = cleanName(name);
  if (!clean) return 'The view needs a name.';
  const kept = views();
  const same = kept.find((one) => one.name === clean);
  if (same) same.search = search;
  else if (kept.length >= MOST_VIEWS) {
    return `The browser keeps ${MOST_VIEWS} views at most. Delete one first.`;
  } else kept.push({ name: clean, search });
  kept.sort((a, b) => a.name.localeCompare(b.name));
  return write(VIEWS, kept) ? '' : 'This browser does not keep views, for example in a private window.';
}

/**
 * Give a view another name.
 * @param {string} from @param {string} to
 * @returns {string} why it cannot have it, as a sentence; empty if it has it
 */
export function renameView(from, to) {
  const clean = cleanName(to);
  const kept = views();
  const view = kept.find(({ name }) => name === from);
  if (!view || clean === from) return '';
  if (!clean) return 'The view needs a name.';
  if (kept.some(({ name }) => name === clean)) return `There is another view “${clean}”.`;
  view.name = clean;
  kept.sort((a, b) => a.name.localeCompare(b.name));
  return write(VIEWS, kept) ? '' : 'This browser does not keep views, for example in a private window.';
}

/** @param {string} name */
export function deleteView(name) {
  write(VIEWS, views().filter((one) => one.name !== name));
}

/** Return the queries that were typed last, the newest first. @returns {string[]} */
export const recentQueries = () => read(RECENT)
  .filter((one) => typeof one === 'string' && one.length <= LONGEST)
  .slice(0, MOST_RECENT).map(String);

/** Remember a query that was typed. Equal ones are one. @param {string} text */
export function rememberQuery(text) {
  const clean = text.trim();
  if (!clean || clean.length > LONGEST) return;
  const keyOfText = (/** @type {string} */ one) => keyOf(toParams(parseQuery(one)));
  const key = keyOfText(clean);
  if (!key) return;
  const others = recentQueries().filter((one) => keyOfText(one) !== key);
  write(RECENT, [clean, ...others].slice(0, MOST_RECENT));
}
