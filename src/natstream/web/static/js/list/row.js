// One row of the list. In: an entry, and how rows look. Out: an element.
//
// A stranger may have written any part of an entry. So the row shows it as text, with names for
// control characters, and only as much of it as fits. The details show the whole entry.

import { h, icon } from '../dom.js';
import { FOLDED_LINES, messageCells } from './message.js';
import { visible } from './paint.js';
import { stripAnsi } from '../text/ansi.js';
import { fieldOf, fieldsOf } from '../text/fields.js';
import { UNSEEN, revealed, visualLines } from '../text/readable.js';
import { groupOf, GROUPS } from '../panels/bins.js';
import { noticeText } from '../text/entry.js';
import { clockTime, count, fullTime } from '../text/time.js';
import { tellingLine } from '../text/trace.js';

/** @typedef {import('../types.js').Entry} Entry */

/**
 * @typedef {object} Look
 * @property {boolean} wrap
 * @property {import('../text/time.js').Clock} clock
 * @property {number} columns   the number of characters that fit on a line of a message
 * @property {import('../query/matching.js').Matcher | null} matcher
 * @property {boolean} raw   whether JSON messages are shown as they came
 * @property {boolean} fold   whether groups are folded, unless the reader unfolds one
 * @property {boolean} narrowed   whether the filter may leave out lines of a group
 * @property {string[]} fields   the fields that have a column
 * @property {Record<'a' | 'r' | 'c', import('../text/names.js').Names>} names   those of apps, regions
 *   and machines
 * @property {Record<'a' | 'r' | 'c', number>} widths   of their columns, in letters
 */

// The length of "12:34:56.789". A longer time has a date.
const CLOCK_LENGTH = 12;
// The part of a JSON message that its short form usually has.
const SHORTENED = 0.6;
// A column cuts longer values. Its tooltip and the details show more.
const LONGEST_FIELD = 500;
// A longer message is a dump, and is not searched for the line that says what happened.
const LONGEST_TRACE = 100_000;

/** Return how many lines high a row will be, without building it.
 * @param {Entry} entry @param {Look} look */
export function estimateLines(entry, look) {
  if (entry.note || !look.wrap) return 1;
  const isShortened = !look.raw && entry.message[0] === '{';
  const columns = isShortened ? look.columns / SHORTENED : look.columns;
  return visualLines(entry.message, columns, FOLDED_LINES);
}

/**
 * Measure an invisible row, to estimate the heights of rows that are not built yet.
 * @param {HTMLElement} probe
 * @returns {{oneLine: number, moreLines: number, columns: number}}
 *   `oneLine`: height of a row with one line, in pixels; `moreLines`: height of each further line;
 *   `columns`: characters that fit on a line of a message
 */
export function measureProbe(probe) {
  const message = /** @type {HTMLElement} */ (probe.querySelector('.m'));
  const ruler = /** @type {HTMLElement} */ (message.firstElementChild);
  const width = ruler.getBoundingClientRect().width / (ruler.textContent?.length ?? 1);
  const lineHeight = parseFloat(getComputedStyle(message).lineHeight);
  const oneLine = probe.getBoundingClientRect().height;
  // A message is as wide as its text or as the remaining width of the row, so the row is measured.
  const end = probe.getBoundingClientRect().right - parseFloat(getComputedStyle(probe).paddingRight);
  const room = end - message.getBoundingClientRect().left;
  return {
    oneLine,
    moreLines: lineHeight || oneLine,
    columns: Math.max(10, Math.floor(room / width) || 80),
  };
}

/**
 * @typedef {object} GroupLook  a line with its continuation lines
 * @property {number} more       how many there are besides the line
 * @property {boolean} unfolded
 * @property {string} telling    the line that says what happened, if the head does not say it
 * @property {boolean} partial   whether the service may have others
 */

/** @param {Entry} entry @param {Look} look @param {boolean} opened
 * @param {GroupLook | null} [group] */
export function buildRow(entry, look, opened, group = null) {
  if (entry.note) return noticeRow(entry, look);
  const row = document.createElement('div');
  row.className = `row lv-${GROUPS[groupOf(entry.level)]}`;
  if (entry.type === 'system') row.classList.add('system');
  const time = cell('t', '');
  row.classList.toggle('dated', setTime(time, entry.time, look.clock));
  const level = cell('l', (entry.level || '·').slice(0, 8).toUpperCase());
  if (entry.level.length > 5) level.title = entry.level;
  row.append(time, level, nameCell('a', entry.app || entry.source, look),
    nameCell('r', entry.region, look), nameCell('c', entry.machine, look));
  row.append(...look.fields.map((name) => fieldCell(entry, name)));
  row.append(...messageCells(entry, look, opened));
  const message = row.lastElementChild;
  if (group && (group.more || group.partial)) message?.append(...groupParts(group));
  else if (message?.querySelector('.rest')) message.append(...cutParts(entry.message, message));
  return row;
}

/** Return what a cut message says at its end, for example a traceback in one line.
 * @param {string} whole @param {Element} shown */
function cutParts(whole, shown) {
  if (whole.length > LONGEST_TRACE || !whole.includes('Traceback (')) return [];
  const telling = tellingLine(whole.split('\n').map((message) => ({ message })));
  return telling && !shown.textContent?.includes(telling) ? [tellingPart(telling)] : [];
}

/** @param {string} telling */
const tellingPart = (telling) =>
  h('span', { class: 'telling' }, revealed(stripAnsi(telling).slice(0, LONGEST_FIELD)));

/** Return the button that unfolds and folds a group, and what the folded lines say.
 * @param {GroupLook} group */
function groupParts({ more, unfolded, telling, partial }) {
  const label = `${unfolded ? 'Fold' : 'Show'} the lines that belong to this one`;
  const button = h('button', {
    type: 'button', class: 'more-lines', tabindex: '-1', 'aria-expanded': String(unfolded),
    'data-ask': String(partial), title: partial ? `${label}, whatever the filter is` : label,
    ...(!more && { 'aria-label': label }),
  }, icon('chevron'), more ? count(more, 'more line') : '');
  return telling ? [button, tellingPart(telling)] : [button];
}

/** @param {Entry} entry @param {string} name */
function fieldCell(entry, name) {
  const message = stripAnsi(entry.message);
  const value = stripAnsi(fieldsOf(message).get(name) ?? fieldOf(message, name) ?? '');
  const shown = cell('x', value.slice(0, LONGEST_FIELD).replace(/\s+/g, ' '));
  shown.dataset.column = name;
  return shown;
}

/** @param {HTMLElement} cell @param {number} ms @param {import('../text/time.js').Clock} clock
 * @returns {boolean} whether the cell shows the date as well */
export function setTime(cell, ms, clock) {
  const now = Date.now();
  cell.textContent = clockTime(ms, clock, now);
  cell.title = fullTime(ms, now);
  cell.onpointerenter = () => { cell.title = fullTime(ms, Date.now()); }; // it says how long ago
  return clock !== 'relative' && cell.textContent.length > CLOCK_LENGTH;
}

/** @param {string} className @param {string} text */
function cell(className, text) {
  const span = document.createElement('span');
  span.className = className;
  if (UNSEEN.test(text)) span.append(...visible(text));
  else span.textContent = text;
  if (text.length > 14) span.title = revealed(text.slice(0, 500));
  return span;
}

/** Build the cell of a name, which is cut if its column is narrower.
 * @param {'a' | 'r' | 'c'} column @param {string} name @param {Look} look */
function nameCell(column, name, look) {
  const { parts, hue, isCut } = look.names[column].shown(name, look.widths[column]);
  const span = h('span', { class: column === 'a' ? `a hue${hue}` : column },
    ...parts.flatMap(({ text, shared, cut }) => {
      const looks = [shared && 'shared', cut && 'cut'].filter(Boolean).join(' ');
      return looks ? h('span', { class: looks }, ...visible(text)) : visible(text);
    }));
  if (isCut) {
    span.title = revealed(name.slice(0, LONGEST_FIELD));
    span.dataset.wants = String(name.length);
  }
  return span;
}

/** @param {Entry} entry @param {Look} look */
function noticeRow(entry, look) {
  const note = /** @type {import('../types.js').Note} */ (entry.note);
  const time = cell('t', '');
  const dated = setTime(time, entry.time, look.clock) ? ' dated' : '';
  const words = cell('w', noticeText(entry, look.clock));
  return h('div', { class: `row note ${note.tone}${dated}` }, time, words);
}
