// Selected lines as plain text. The browser would copy each cell of a row as a line of its own, because
// the cells form a grid, and only the rows that are drawn.

import { hint } from '../dom.js';
import { stripAnsi } from '../text/ansi.js';
import { lineOf } from '../text/entry.js';
import { trimEnd } from '../text/readable.js';
import { count } from '../text/time.js';

// What the page adds to a message.
const ORNAMENTS = '.sign, .excerpt, .rest, .more-lines, .telling, .fold';

/** @typedef {import('../types.js').Entry} Entry */

/** @param {import('./view.js').View} view */
export function startCopying(view) {
  const { selection } = view;
  document.addEventListener('selectionchange', () => {
    selection.read();
    if (!selection.isEmpty) view.leaveEnd(); // because new lines would move the selected ones
  });
  document.addEventListener('copy', (event) => {
    if (selection.isEmpty || !event.clipboardData) return;
    if (document.activeElement instanceof HTMLInputElement) return;
    const text = partOfLine(view) ?? linesOf(view);
    if (!text) return;
    event.clipboardData.setData('text/plain', text);
    event.preventDefault();
  });
}

/** Return the selected lines, whole. A folded group is copied with all of its lines.
 * @param {import('./view.js').View} view */
function linesOf({ selection, look }) {
  const lines = selection.lines();
  hint(`${count(lines.length, 'line')} copied`);
  return lines.map((line) => lineOf(line, 'text', look.clock)).join('').trimEnd();
}

/** Return the selected part of one message, as it is.
 * @param {import('./view.js').View} view @returns {string | null} null if more is selected */
function partOfLine({ selection, rows, elements }) {
  const line = selection.line;
  const range = document.getSelection()?.getRangeAt(0);
  const row = [...elements.rows.querySelectorAll('.row')].find((one) => rows.entryOf(one) === line);
  const message = row?.lastElementChild;
  if (!line || !range || !row || !message) return null;
  if (textWithin(range, row) !== textWithin(range, message)) return null;
  const more = message.querySelector('.more-lines');
  if (more && textWithin(range, more)) return null;
  const part = within(range, message).cloneContents();
  const isCut = part.querySelector('.rest')?.textContent;
  const shown = /** @type {Element} */ (message.cloneNode(true));
  for (const added of [...part.querySelectorAll(ORNAMENTS), ...shown.querySelectorAll(ORNAMENTS)]) {
    added.remove();
  }
  const text = part.textContent ?? '';
  if (!isCut) return text;
  // What the row leaves out belongs to the selection as well.
  const whole = stripAnsi(trimEnd(line.message));
  const start = shown.textContent ?? '';
  return whole.startsWith(start) ? text + whole.slice(start.length) : whole;
}

/** @param {Range} range @param {Element} element */
const textWithin = (range, element) =>
  (range.intersectsNode(element) ? within(range, element).toString() : '');

/** Return the part of a range that is in an element. @param {Range} range @param {Element} element */
function within(range, element) {
  const part = document.createRange();
  part.selectNodeContents(element);
  if (range.compareBoundaryPoints(Range.START_TO_START, part) > 0) {
    part.setStart(range.startContainer, range.startOffset);
  }
  if (range.compareBoundaryPoints(Range.END_TO_END, part) < 0) {
    part.setEnd(range.endContainer, range.endOffset);
  }
  return part;
}
