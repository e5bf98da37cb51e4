// Selected rows as plain text: their cells are a grid, which would be copied a cell a line.

import { lineOf } from '../panels/download.js';

/** @typedef {import('../types.js').Entry} Entry */

/** @param {HTMLElement} rows @param {(seq: number) => Entry | undefined} entry */
export function startCopying(rows, entry) {
  document.addEventListener('copy', (event) => {
    const selection = document.getSelection();
    if (!selection || selection.isCollapsed || !rows.contains(selection.anchorNode)) return;
    const text = copiedText(selection.getRangeAt(0), rows, entry);
    if (!text || !event.clipboardData) return;
    event.clipboardData.setData('text/plain', text);
    event.preventDefault();
  });
}

/**
 * What to copy: a part of one message as it is, else the selected lines, whole.
 * @param {Range} range @param {HTMLElement} rows @param {(seq: number) => Entry | undefined} entry
 */
function copiedText(range, rows, entry) {
  // One that ends before another row's first letter, as after three clicks, has none of that row.
  const selected = [...rows.children].filter((row) => textWithin(range, row) !== '');
  if (selected.length === 1) {
    const message = selected[0].lastElementChild;
    const text = message && textWithin(range, message);
    if (text === textWithin(range, selected[0])) return text;
  }
  return selected
    .map((row) => entry(Number(/** @type {HTMLElement} */ (row).dataset.seq)))
    .map((line) => (line ? lineOf(line, 'text') : ''))
    .join('')
    .trimEnd();
}

/** @param {Range} range @param {Element} element */
function textWithin(range, element) {
  if (!range.intersectsNode(element)) return '';
  const part = document.createRange();
  part.selectNodeContents(element);
  if (range.compareBoundaryPoints(Range.START_TO_START, part) > 0) {
    part.setStart(range.startContainer, range.startOffset);
  }
  if (range.compareBoundaryPoints(Range.END_TO_END, part) < 0) {
    part.setEnd(range.endContainer, range.endOffset);
  }
  return part.toString();
}
