// The selected text as positions in lines, because the browser knows only the rows that are drawn.
//
// In: what the reader selects in the document. Out: the selected lines, whether they are drawn or not.
// When a row at an end of the selection goes, that end moves to a mark before or after the rows, and it
// returns with the row. So the reader sees the lines selected wherever the list is scrolled to.

import { h } from '../dom.js';

/** @typedef {import('../types.js').Entry} Entry */
/**
 * @typedef {object} Point  a position in a line
 * @property {number} seq     of the line; of the head of its group if the list does not have it
 * @property {Entry} entry
 * @property {number} offset  in characters of the row's text
 */

export class LineSelection {
  /** Where the selection began, and where it ends. @type {[Point, Point] | null} */
  #ends = null;
  /** What the document was told to select. @type {Range4 | null} */
  #written = null;
  /** Whether the pointer is pressed, so that it may drag the selection. */
  #isPressed = false;
  /** Whether the row in which the pointer was pressed has gone meanwhile. The browser would begin a new
   * selection, in the row that is under the pointer now. */
  #isFixed = false;
  #before = mark();
  #after = mark();

  /** @param {import('./view.js').View} view */
  constructor(view) {
    this.view = view;
    view.elements.rows.before(this.#before);
    view.elements.rows.after(this.#after);
    for (const type of ['pointerdown', 'pointerup', 'pointercancel']) {
      document.addEventListener(type, () => {
        this.read();
        this.#isPressed = type === 'pointerdown';
        this.#isFixed = false;
      }, { capture: true });
    }
  }

  /** Whether nothing is selected. */
  get isEmpty() {
    return this.#ends === null || compare(this.#ends[0], this.#ends[1]) === 0;
  }

  /** The line that the whole selection is in; undefined if there are several. */
  get line() {
    const { start, end } = this.#ordered();
    return start && start.entry === end?.entry ? start.entry : undefined;
  }

  /** Take over what the reader has selected. */
  read() {
    const now = current();
    if (same(now, this.#written)) return;
    if (!now || !this.view.elements.content.contains(now[0])) {
      this.#ends = this.#written = null;
      return;
    }
    const [anchor, focus] = this.#isFixed && this.#ends
      ? [this.#ends[0], this.#pointOf(now[2], now[3])]
      : this.#endsOf(now);
    this.#ends = anchor && focus ? [anchor, focus] : null;
    this.#written = this.#ends && now;
    if (this.#isFixed) this.#write();
  }

  /** Return the anchor and the focus. An end in a row that was removed is the one before.
   * @param {Range4} now @returns {(Point | null)[]} */
  #endsOf([anchor, anchorOffset, focus, focusOffset]) {
    const [oldAnchor, oldAnchorOffset, oldFocus, oldFocusOffset] = this.#written ?? [];
    const isAt = (/** @type {Node} */ node, /** @type {number} */ offset) =>
      (node === oldAnchor && offset === oldAnchorOffset && this.#ends?.[0])
      || (node === oldFocus && offset === oldFocusOffset && this.#ends?.[1])
      || this.#pointOf(node, offset);
    // The browser has moved the end to the element around the row. It may have exchanged the two
    // ends as well: Chromium does, because for it a selection by the mouse has no direction.
    const isMoved = [anchor, focus].map((node) => node instanceof Element);
    const isLost = [oldAnchor, oldFocus].map((node) => node?.isConnected === false);
    if (!this.#ends || !isMoved.includes(true) || !isLost.includes(true)) {
      return [isAt(anchor, anchorOffset), isAt(focus, focusOffset)];
    }
    if (!isMoved.includes(false)) return this.#ends;
    const other = isMoved[0] ? isAt(focus, focusOffset) : isAt(anchor, anchorOffset);
    return isLost[0] ? [this.#ends[0], other] : [other, this.#ends[1]];
  }

  /** Other rows are drawn: select in the document what is selected in the lines. */
  restore() {
    if (!this.#ends) return;
    if (document.activeElement instanceof HTMLInputElement) {
      this.#ends = this.#written = null;
      return;
    }
    this.read(); // what the reader may have selected since
    this.#write();
  }

  #write() {
    if (!this.#ends) return;
    const [anchor, focus] = this.#ends.map((end) => this.#nodeOf(end));
    const wanted = /** @type {Range4} */ ([...anchor, ...focus]);
    this.#written = wanted;
    this.#isFixed = this.#isPressed && !this.#rowOf(this.#ends[0]);
    if (!same(current(), wanted)) document.getSelection()?.setBaseAndExtent(...wanted);
  }

  /** Select all lines of the list. */
  selectAll() {
    const { ring, groups } = this.view;
    let last = ring.end - 1;
    while (last > ring.first && groups.isMember(last)) last -= 1;
    const [first, final] = [ring.at(ring.first), ring.at(last)];
    if (!first || !final) return;
    this.#ends = [
      { seq: ring.first, entry: first, offset: 0 }, { seq: last, entry: final, offset: Infinity },
    ];
    this.#write();
  }

  /** Return the selected lines, whole, and as the list shows them: a group is in one piece.
   * @returns {Entry[]} */
  lines() {
    const { ring, groups, rows } = this.view;
    const { start, end } = this.#ordered();
    if (!start || !end) return [];
    /** @type {Entry[]} */
    const found = [];
    const from = Math.max(ring.first, groups.headOf(start.seq));
    const to = groups.headOf(end.seq);
    for (let seq = from; seq <= to; seq++) {
      const entry = ring.at(seq);
      if (!entry || groups.isMember(seq)) continue;
      const group = groups.of(seq);
      let lines = group ? rows.linesIn(group) : [entry];
      if (group && rows.isUnfolded(seq)) {
        if (seq === to && lines.includes(end.entry)) lines = lines.slice(0, lines.indexOf(end.entry) + 1);
        if (seq === from) lines = lines.slice(Math.max(0, lines.indexOf(start.entry)));
      }
      for (const line of lines) found.push(line);
    }
    return found;
  }

  /** The first and the last position, without lines of which no character is selected.
   * @returns {{start?: Point, end?: Point}} */
  #ordered() {
    if (!this.#ends || this.isEmpty) return {};
    const { ring, groups, rows } = this.view;
    let [start, end] = this.#ends;
    if (compare(start, end) > 0) [start, end] = [end, start];
    const row = this.#rowOf(start);
    if (row && row.nextElementSibling && start.entry !== end.entry && start.offset >= lengthOf(row)) {
      const next = this.#startOf(row.nextElementSibling);
      if (next && compare(next, end) <= 0) start = next;
    }
    if (end.offset === 0 && end.entry !== start.entry) {
      // After three clicks a selection ends before the first letter of the next row.
      const inGroup = groups.of(end.seq);
      const lines = inGroup && rows.isUnfolded(inGroup.head) ? rows.linesIn(inGroup) : [];
      const before = lines[lines.indexOf(end.entry) - 1];
      let seq = groups.headOf(end.seq);
      if (!before) do seq -= 1; while (seq > start.seq && groups.isMember(seq));
      const last = groups.of(seq);
      const entry = before ?? (last && rows.isUnfolded(seq) ? rows.linesIn(last).at(-1) : ring.at(seq));
      if (entry) end = { seq, entry, offset: Infinity };
    }
    return { start, end };
  }

  /** @param {Node} node @param {number} offset @returns {Point | null} */
  #pointOf(node, offset) {
    const { rows } = this.view.elements;
    const element = node instanceof Element ? node : node.parentElement;
    const row = element?.closest('.row');
    if (row && rows.contains(row)) {
      const start = this.#startOf(row);
      const range = document.createRange();
      range.selectNodeContents(row);
      range.setEnd(node, offset);
      return start && { ...start, offset: range.toString().length };
    }
    const child = element === rows ? rows.children[offset] : null;
    if (child) return this.#startOf(child);
    const isBefore = element !== rows
      && (node.compareDocumentPosition(rows) & Node.DOCUMENT_POSITION_FOLLOWING) !== 0;
    const edge = isBefore ? rows.firstElementChild : rows.lastElementChild;
    const point = edge && this.#startOf(edge, !isBefore);
    return point && (isBefore ? point : { ...point, offset: Infinity });
  }

  /** @param {Element} element a row or a block @param {boolean} [last] its last row
   * @returns {Point | null} */
  #startOf(element, last = false) {
    const rows = element.matches('.row') ? [element] : [...element.querySelectorAll('.row')];
    const row = /** @type {HTMLElement | undefined} */ (rows.at(last ? -1 : 0));
    const entry = row && this.view.rows.entryOf(row);
    const block = /** @type {HTMLElement | null | undefined} */ (row?.closest('.block'));
    return entry ? { seq: Number(row.dataset.seq ?? block?.dataset.block), entry, offset: 0 } : null;
  }

  /** @param {Point} point @returns {HTMLElement | null} its row, if it is drawn */
  #rowOf({ seq, entry }) {
    const { rows } = this.view;
    const row = rows.rowOf(seq);
    if (!row || rows.entryOf(row) === entry) return row;
    const inBlock = [.../** @type {HTMLElement} */ (row.closest('.block') ?? row).querySelectorAll('.row')];
    return /** @type {HTMLElement} */ (inBlock.find((one) => rows.entryOf(one) === entry) ?? row);
  }

  /** @param {Point} point @returns {[Node, number]} */
  #nodeOf(point) {
    const row = this.#rowOf(point);
    if (!row) {
      const { firstElementChild: first } = this.view.elements.rows;
      const isBefore = first && point.seq < (this.#startOf(first)?.seq ?? 0);
      const text = /** @type {Text} */ ((isBefore ? this.#before : this.#after).firstChild);
      return [text, isBefore ? 0 : text.length];
    }
    const texts = document.createTreeWalker(row, NodeFilter.SHOW_TEXT);
    let left = point.offset;
    let text = /** @type {Text | null} */ (texts.nextNode());
    if (!text) return [row, 0];
    for (let next; left > text.length && (next = /** @type {Text | null} */ (texts.nextNode())); text = next) {
      left -= text.length;
    }
    return [text, Math.min(left, text.length)];
  }
}

/** @typedef {[Node, number, Node, number]} Range4  anchor and focus */

/** @returns {Range4 | null} */
function current() {
  const selection = document.getSelection();
  const { anchorNode, focusNode } = selection ?? {};
  if (!selection || !anchorNode || !focusNode) return null;
  return [anchorNode, selection.anchorOffset, focusNode, selection.focusOffset];
}

/** @param {Range4 | null} one @param {Range4 | null} other */
const same = (one, other) => one !== null && other !== null && one.every((part, at) => part === other[at]);

/** @param {Point} a @param {Point} b */
const compare = (a, b) => a.seq - b.seq || (a.entry === b.entry ? a.offset - b.offset || 0 : -1);

/** @param {Element} row */
const lengthOf = (row) => row.textContent?.length ?? 0;

/** Make the mark that is selected for lines without rows. It has to have text. */
const mark = () => h('span', { class: 'unseen-label', 'aria-hidden': 'true' }, '…');
