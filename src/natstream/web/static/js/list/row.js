// One row of the list. In: an entry, and how rows look. Out: an element.
//
// A stranger may have written any part of an entry. So the row shows it as text, with names for
// control characters, and only as much of it as fits. The details show the whole entry.

import { h, icon } from '../dom.js';
import { parseAnsi } from '../text/ansi.js';
import { isJson, looksLikeJson, pretty, tokens } from '../text/json.js';
import {
  UNSEEN, countBreaks, firstLines, revealed, splitUnseen, trimEnd, visualLines,
} from '../text/readable.js';
import { CODE, KINDS, documentationOf } from '../text/fly.js';
import { groupOf, GROUPS } from '../panels/bins.js';
import { noticeText } from '../text/entry.js';
import { bytes, clockTime, count, fullTime } from '../text/time.js';

/** @typedef {import('../types.js').Entry} Entry */
/** @typedef {import('../types.js').Span} Span */

/**
 * @typedef {object} Look
 * @property {boolean} wrap
 * @property {import('../text/time.js').Clock} clock
 * @property {number} columns   the number of characters that fit on a line of a message
 * @property {import('../query/matching.js').Matcher | null} matcher
 */

// A wrapped row shows this many lines, and a click shows more. It also bounds the height of the
// list, because browsers cannot scroll more than some 17 million pixels: 100,000 such rows stay
// below.
const FOLDED_LINES = 8;
// An unwrapped line is cut after more characters than people scroll to.
const LONGEST_LINE = 2_000;
// An opened row is bounded as well, because it is still a row and not a document.
const OPENED_LINES = 400;
const OPENED_CHARACTERS = 40_000;
// The length of "12:34:56.789". A longer time has a date.
const CLOCK_LENGTH = 12;
// The most coloured parts of one row. A line with more is made to slow the page, and the rest of it
// has no colours.
const MOST_SPANS = 300;
const MOST_SPANS_OPENED = 3_000;
const MOST_UNSEEN = 100;
// Indenting larger JSON takes longer than a frame.
const LARGEST_JSON = 100_000;

/** Return how many lines high a row will be, without building it.
 * @param {Entry} entry @param {Look} look */
export const estimateLines = (entry, look) =>
  entry.note || !look.wrap ? 1 : visualLines(entry.message, look.columns, FOLDED_LINES);

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

/** @param {Entry} entry @param {Look} look @param {boolean} opened */
export function buildRow(entry, look, opened) {
  if (entry.note) return noticeRow(entry, look);
  const row = document.createElement('div');
  row.className = `row lv-${GROUPS[groupOf(entry.level)]}`;
  if (entry.type === 'system') row.classList.add('system');
  const time = cell('t', '');
  row.classList.toggle('dated', setTime(time, entry.time, look.clock));
  const level = cell('l', (entry.level || '·').slice(0, 8).toUpperCase());
  if (entry.level.length > 5) level.title = entry.level;
  const app = cell('a', entry.app || entry.source);
  app.classList.add(`hue${hueOf(entry.app)}`);
  row.append(time, level, app, cell('r', entry.region), cell('c', entry.machine));
  row.append(...messageCells(entry, look, opened));
  return row;
}

/** @param {HTMLElement} cell @param {number} ms @param {import('../text/time.js').Clock} clock
 * @returns {boolean} whether the cell shows the date as well */
export function setTime(cell, ms, clock) {
  const now = Date.now();
  cell.textContent = clockTime(ms, clock, now);
  cell.title = fullTime(ms, now);
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

/** @param {string} app */
function hueOf(app) {
  let hash = 7;
  for (let i = 0; i < app.length && i < 64; i++) hash = (hash * 31 + app.charCodeAt(i)) | 0;
  return (hash >>> 0) % 8;
}

/** Build the cells of the fold button and of the message.
 * @param {Entry} entry @param {Look} look @param {boolean} opened */
function messageCells(entry, look, opened) {
  const whole = trimEnd(entry.message);
  const json = whole.length <= LARGEST_JSON && looksLikeJson(whole.trim()) && isJson(whole.trim());
  let source = whole;
  if (opened) source = json ? pretty(whole.trim()) : whole;
  const most = opened
    ? OPENED_CHARACTERS
    : look.wrap ? FOLDED_LINES * look.columns + 1 : LONGEST_LINE;
  const parsed = parseAnsi(source, most);
  let { text } = parsed;
  if (opened) text = firstLines(text, OPENED_LINES, Infinity);
  else if (look.wrap) text = firstLines(text, FOLDED_LINES, look.columns);
  else if (text.includes('\n')) text = text.slice(0, text.indexOf('\n'));
  const more = parsed.rest || text.length < parsed.text.length;

  const message = document.createElement('span');
  message.className = json ? 'm json' : 'm';
  message.dir = 'auto';
  if (entry.kind) message.append(sign(entry.kind));
  const spans = json ? jsonSpans(text) : parsed.spans;
  paint(message, text, spans.slice(0, opened ? MOST_SPANS_OPENED : MOST_SPANS), look.matcher?.ranges(text) ?? [], entry.type === 'system');
  if (more) message.append(rest(source, text, opened));
  const fold = document.createElement('span');
  fold.className = 'f';
  if (json || more || opened) fold.append(foldButton(opened, json));
  return [fold, message];
}

/** @param {string} kind */
function sign(kind) {
  const { sign: text, name } = KINDS[kind];
  return h('span', { class: `sign ${kind}`, title: name, role: 'img', 'aria-label': name }, text);
}

/** @param {boolean} opened @param {boolean} json */
function foldButton(opened, json) {
  const label = `${opened ? 'Fold' : 'Open'} ${json ? 'JSON' : 'the whole line'}`;
  return h(
    'button',
    {
      type: 'button', class: 'fold', tabindex: '-1', title: label,
      'aria-label': label, 'aria-expanded': String(opened),
    },
    icon('chevron'),
  );
}

/** Say how much of the message the row does not show.
 * @param {string} source @param {string} shown @param {boolean} opened */
function rest(source, shown, opened) {
  const lines = countBreaks(source) - countBreaks(shown);
  const size = source.length - shown.length;
  const what = lines > 0 ? count(lines, 'more line') : `${bytes(size)} more`;
  return h('span', { class: 'rest' }, opened ? ` … ${what} in the details` : ` … ${what}`);
}

/** @param {string} text @returns {Span[]} */
function jsonSpans(text) {
  return tokens(text)
    .filter((token) => token.kind !== 'space')
    .map(({ kind, start, end }) => ({ start, end, className: `j-${kind}` }));
}

/**
 * Append text with its colours, marks and links.
 * @param {HTMLElement} element @param {string} text @param {Span[]} spans ascending
 * @param {[number, number][]} marks ascending @param {boolean} links whether Fly's error codes
 *   become links
 */
export function paint(element, text, spans, marks, links) {
  const code = links ? CODE.exec(text) : null;
  const link = code && { start: code.index + 1, end: code.index + 1 + code[1].length };
  if (!spans.length && !marks.length && !link) {
    element.append(...visible(text));
    return;
  }
  let s = 0;
  let m = 0;
  for (let position = 0; position < text.length; ) {
    while (s < spans.length && spans[s].end <= position) s += 1;
    while (m < marks.length && marks[m][1] <= position) m += 1;
    const span = spans[s];
    const mark = marks[m];
    let next = text.length;
    for (const edge of [span?.start, span?.end, mark?.[0], mark?.[1], link?.start, link?.end]) {
      if (edge !== undefined && edge > position && edge < next) next = edge;
    }
    /** @type {(Node | string)[]} */
    let nodes = visible(text.slice(position, next));
    if (span && span.start <= position) nodes = [styled(span, nodes)];
    if (mark && mark[0] <= position) nodes = [h('mark', {}, ...nodes)];
    if (code && link && link.start <= position && position < link.end) {
      nodes = [
        h('a', {
          href: documentationOf(code[1]), target: '_blank', rel: 'noopener noreferrer',
          title: `Fly.io on ${code[1]}`,
        }, ...nodes),
      ];
    }
    element.append(...nodes);
    position = next;
  }
}

/** @param {Span} span @param {(Node | string)[]} nodes */
function styled(span, nodes) {
  const element = h('span', { class: span.className }, ...nodes);
  // A line's colours are mixed with the text colour, so that they are readable in both themes.
  if (span.fg) {
    element.style.color = span.bg ? span.fg : `color-mix(in oklab, ${span.fg} 72%, var(--ink))`;
  }
  if (span.bg) element.style.backgroundColor = span.bg;
  return element;
}

/** @param {string} text @returns {(Node | string)[]} */
function visible(text) {
  if (!UNSEEN.test(text)) return [text];
  const parts = splitUnseen(text);
  if (parts.length > MOST_UNSEEN) return [revealed(text)];
  return parts.map((part) =>
    part.unseen ? h('span', { class: 'unseen', title: 'a control character' }, part.text) : part.text,
  );
}

/** @param {Entry} entry @param {Look} look */
function noticeRow(entry, look) {
  const note = /** @type {import('../types.js').Note} */ (entry.note);
  const time = cell('t', '');
  const dated = setTime(time, entry.time, look.clock) ? ' dated' : '';
  const words = cell('w', noticeText(entry));
  return h('div', { class: `row note ${note.tone}${dated}` }, time, words);
}
