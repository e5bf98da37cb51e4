// Selected rows as plain text. The browser would copy each cell of a row as a line of its own,
// because the cells form a grid.

import { lineOf } from '../text/entry.js';

/** @param {import('./view.js').View} view */
export function startCopying(view) {
  const { rows, scroller } = view.elements;
  document.addEventListener('selectionchange', () => {
    const selection = document.getSelection();
    if (selection && !selection.isCollapsed && scroller.contains(selection.anchorNode)) {
      view.leaveEnd(); // because rows that move away would take the selection with them
    }
  });
  document.addEventListener('copy', (event) => {
    const selection = document.getSelection();
    if (!selection || selection.isCollapsed || !rows.contains(selection.anchorNode)) return;
    const text = copiedText(selection.getRangeAt(0), view);
    if (!text || !event.clipboardData) return;
    event.clipboardData.setData('text/plain', text);
    event.preventDefault();
  });
}

/**
 * Return the text to copy: a selected part of one message as it is, otherwise the selected
 * lines, whole. A folded group is copied with all of its lines.
 * @param {Range} range @param {import('./view.js').View} view
 */
function copiedText(range, view) {
  // After three clicks a selection ends before the first letter of the next row, which then adds no
  // text.
  const selected = [...view.elements.rows.querySelectorAll('.row')].filter((row) => textWithin(range, row) !== '');
  if (selected.length === 1) {
    const message = selected[0].lastElementChild;
    const text = message && textWithin(range, message);
    const more = message?.querySelector('.more-lines');
    const isGroup = more && textWithin(range, more) !== '';
    if (!isGroup && text === textWithin(range, selected[0])) return text;
  }
  return selected
    .flatMap((row) => view.rows.linesOf(row))
    .map((line) => lineOf(line, 'text'))
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
