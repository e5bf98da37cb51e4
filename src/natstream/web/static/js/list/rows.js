// The elements for a run of lines. In: which lines are wanted. Out: those and no others in the
// document, in order, each built once.

import { buildRow, setTime } from './row.js';

/** @typedef {import('../types.js').Entry} Entry */

// Far more than a screen holds; a bound on what a frame can cost.
const MOST_ROWS = 400;

export class Rows {
  /** The line that is chosen. @type {number | null} */
  #chosen = null;
  /** @type {Map<number, HTMLElement>} */
  #nodes = new Map();
  /** Those that have not been measured. @type {Set<number>} */
  #fresh = new Set();
  /** Lines that are opened, whether they have an element or not. @type {Set<number>} */
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

  /** Have elements for the lines from `from` up to `to`; the last ones, if they are too many.
   * @param {number} from @param {number} to @returns {number} the first that has one */
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

  /** The heights of the elements that are new. @param {(seq: number, height: number) => void} take */
  measure(take) {
    for (const seq of this.#fresh) {
      const node = this.#nodes.get(seq);
      if (node) take(seq, node.getBoundingClientRect().height);
    }
    this.#fresh.clear();
  }

  /** Build it anew when it is shown next. @param {number} seq */
  drop(seq) {
    this.#nodes.get(seq)?.remove();
    this.#nodes.delete(seq);
    this.#fresh.delete(seq);
  }

  /** The line is gone for good. @param {number} seq */
  forget(seq) {
    this.drop(seq);
    this.#opened.delete(seq);
  }

  /** Build all anew when they are shown next. */
  dropAll() {
    this.element.replaceChildren();
    this.#nodes.clear();
    this.#fresh.clear();
  }

  /** All lines are gone for good. */
  forgetAll() {
    this.dropAll();
    this.#opened.clear();
  }

  /** A line says something else now. @param {Entry} entry */
  refresh(entry) {
    for (const seq of this.#nodes.keys()) {
      if (this.entry(seq) === entry) this.drop(seq);
    }
  }

  /** The times have moved on. */
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
