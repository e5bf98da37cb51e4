// The message in a row. In: an entry, and how rows look. Out: the cells of the fold button and of the
// message, which shows as much as fits.

import { h, icon } from '../dom.js';
import { excerpt, paint } from './paint.js';
import { parseAnsi, stripAnsi } from '../text/ansi.js';
import { KINDS } from '../text/fly.js';
import { isJson, looksLikeJson, pretty, tokens } from '../text/json.js';
import { countBreaks, firstLines, revealed, trimEnd } from '../text/readable.js';
import { structureOf } from '../text/structure.js';
import { summaryOf } from '../text/summary.js';
import { bytes, count } from '../text/time.js';

/** @typedef {import('../types.js').Entry} Entry */
/** @typedef {import('../types.js').Span} Span */
/** @typedef {import('./row.js').Look} Look */

// A wrapped row shows this many lines, and a click shows more. It also bounds the height of the
// list, because browsers cannot scroll more than some 17 million pixels: 100,000 such rows stay
// below.
export const FOLDED_LINES = 8;
// An unwrapped line is cut after more characters than people scroll to.
const LONGEST_LINE = 2_000;
// An opened row is bounded as well, because it is still a row and not a document.
const OPENED_LINES = 400;
const OPENED_CHARACTERS = 40_000;
// The most coloured parts of one row. A line with more is made to slow the page, and the rest of it
// has no colours.
const MOST_SPANS = 300;
const MOST_SPANS_OPENED = 3_000;
// Indenting larger JSON takes longer than a frame.
const LARGEST_JSON = 100_000;

/** Build the cells of the fold button and of the message.
 * @param {Entry} entry @param {Look} look @param {boolean} opened */
export function messageCells(entry, look, opened) {
  const { source, spans, json } = contentOf(trimEnd(entry.message), look, opened);
  const most = opened
    ? OPENED_CHARACTERS
    : look.wrap ? FOLDED_LINES * look.columns + 1 : LONGEST_LINE;
  const parsed = spans
    ? { text: source.slice(0, most), spans, rest: source.length > most }
    : parseAnsi(source, most);
  let { text } = parsed;
  if (opened) text = firstLines(text, OPENED_LINES, Infinity);
  else if (look.wrap) text = firstLines(text, FOLDED_LINES, look.columns);
  else if (text.includes('\n')) text = text.slice(0, text.indexOf('\n'));
  const more = parsed.rest || text.length < parsed.text.length;

  const message = document.createElement('span');
  message.className = json && (opened || look.raw) ? 'm json' : 'm';
  message.dir = 'auto';
  if (entry.kind) message.append(sign(entry));
  const marks = look.matcher?.ranges(text) ?? [];
  paint(message, text, parsed.spans.slice(0, opened ? MOST_SPANS_OPENED : MOST_SPANS), marks,
    entry.type === 'system');
  if (more) {
    const whole = spans ? source : stripAnsi(source);
    const hidden = marks.length ? null : excerpt(whole, text.length, look.matcher);
    message.append(...(hidden ? [hidden] : []), rest(source, text, opened));
  }
  const fold = document.createElement('span');
  fold.className = 'f';
  if (json || more || opened) fold.append(foldButton(opened, json));
  return [fold, message];
}

/**
 * Return what a row says: the message as it came, or a JSON message in the form that is wanted.
 * @param {string} whole the message @param {Look} look @param {boolean} opened
 * @returns {{source: string, spans: Span[] | null, json: boolean}} `spans`: null if the colours are
 *   those of the message's own escapes
 */
function contentOf(whole, look, opened) {
  const structure = structureOf(stripAnsi(whole));
  if (!structure) {
    const text = whole.trim();
    const json = whole.length <= LARGEST_JSON && looksLikeJson(text) && isJson(text);
    if (!json) return { source: whole, spans: null, json };
    return coloured('', opened ? pretty(text) : text);
  }
  if (opened) return coloured(structure.prefix, pretty(structure.json));
  const summary = look.raw ? null : summaryOf(whole, look.fields);
  // The service searches the message as it came. A match that the short form lacks is shown so.
  const isHidden = summary && look.matcher
    && !look.matcher.ranges(summary.text).length && look.matcher.ranges(whole).length;
  if (!summary || isHidden) return coloured('', whole);
  return { source: summary.text, spans: summary.spans, json: true };
}

/** @param {string} prefix @param {string} json */
function coloured(prefix, json) {
  const spans = tokens(json)
    .filter((token) => token.kind !== 'space')
    .map(({ kind, start, end }) => ({
      start: prefix.length + start, end: prefix.length + end, className: `j-${kind}`,
    }));
  return { source: prefix + json, spans, json: true };
}

/** @param {Entry} entry */
function sign({ kind, release, app }) {
  const { sign: text, name } = KINDS[kind];
  if (kind === 'release') {
    const title = `The first line of release ${revealed(release)} of ${revealed(app)}: show what has changed`;
    return h('button', { type: 'button', class: 'sign release', tabindex: '-1', title }, `${text} release ${revealed(release)}`);
  }
  if (kind === 'deploy') {
    const label = `${name}: show what has changed`;
    return h('button', { type: 'button', class: 'sign deploy', tabindex: '-1', title: label, 'aria-label': label }, text);
  }
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
