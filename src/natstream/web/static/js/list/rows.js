// The elements for a run of lines. In: the numbers of the lines. Out: the elements of exactly these
// lines in the document, in order. Each element is built once.

import { buildRow, setTime } from './row.js';

/** @typedef {import('../types.js').Entry} Entry */

// Far more than fit on a screen. It bounds the time that one frame can take.
const MOST_ROWS = 400;

export class Rows {
  /** The chosen line. @type {number | null} */
  #chosen = null;
  /** @type {Map<number, HTMLElement>} */
  #nodes = new Map();
  /** The elements that have not been measured. @type {Set<number>} */
  #fresh = new Set();
  /** The opened lines, with or without an element. @type {Set<number>} */
  #opened = new Set();

  /**
   * @param {HTMLElement} element
   * @param {{look: import('./row.js').Look, entry: (seq: number) => Entry | undefined}} options
   */
  constructor(element, { look, entry }) {
    this.element = element;
    this.look = look;
    this.entry = entry;
  }

  /** Build elements for the lines from `from` up to `to`, and remove all others. If that is too
   * many, the first lines get none.
   * @param {number} from @param {number} to @returns {number} the first line with an element */
  show(from, to) {
    const first = Math.max(from, to - MOST_ROWS);
    for (const seq of this.#nodes.keys()) {
      if (seq < first || seq >= to) this.drop(seq);
    }
    /** @type {ChildNode | null} */
    let next = this.element.firstChild;
    for (let seq = first; seq < to; seq++) {
      const known = this.#nodes.get(seq);
      if (known) {
        next = known.nextSibling;
        continue;
      }
      const entry = this.entry(seq);
      if (!entry) continue;
      const node = buildRow(entry, this.look, this.#opened.has(seq));
      node.dataset.seq = String(seq);
      if (seq === this.#chosen) node.classList.add('chosen');
      this.element.insertBefore(node, next);
      this.#nodes.set(seq, node);
      this.#fresh.add(seq);
    }
    return first;
  }

  /** Report the heights of new elements. @param {(seq: number, height: number) => void} report */
  measure(report) {
    for (const seq of this.#fresh) {
      const node = this.#nodes.get(seq);
      if (node) report(seq, node.getBoundingClientRect().height);
    }
    this.#fresh.clear();
  }

  /** Build the element of a line again when it is shown next. @param {number} seq */
  drop(seq) {
    this.#nodes.get(seq)?.remove();
    this.#nodes.delete(seq);
    this.#fresh.delete(seq);
  }

  /** The list has evicted a line. @param {number} seq */
  forget(seq) {
    this.drop(seq);
    this.#opened.delete(seq);
  }

  /** Build all elements again when they are shown next. */
  dropAll() {
    this.element.replaceChildren();
    this.#nodes.clear();
    this.#fresh.clear();
  }

  /** The list has evicted all lines. */
  forgetAll() {
    this.dropAll();
    this.#opened.clear();
  }

  /** The text of an entry has changed. @param {Entry} entry */
  refresh(entry) {
    for (const seq of this.#nodes.keys()) {
      if (this.entry(seq) === entry) this.drop(seq);
    }
  }

  /** Show relative times as they are now. */
  tick() {
    for (const [seq, node] of this.#nodes) {
      const entry = this.entry(seq);
      const time = node.firstElementChild;
      if (entry && time instanceof HTMLElement) setTime(time, entry.time, this.look.clock);
    }
  }

  /** @param {number | null} seq */
  choose(seq) {
    if (this.#chosen !== null) this.#nodes.get(this.#chosen)?.classList.remove('chosen');
    this.#chosen = seq;
    if (seq !== null) this.#nodes.get(seq)?.classList.add('chosen');
  }

  /** Open or fold a line. @param {number} seq @param {boolean} [opened] */
  toggle(seq, opened = !this.#opened.has(seq)) {
    if (opened) this.#opened.add(seq);
    else this.#opened.delete(seq);
    this.drop(seq);
  }
}
