// The elements for a run of lines. In: the numbers of the lines. Out: the elements of exactly these
// lines in the document, in order. Each element is built once.
//
// The continuation lines of a group have no elements of their own. While the group is folded, the
// row of its head counts them; otherwise they stand below it, in the element of the head.

import { GROUPS, groupOf } from '../panels/bins.js';
import { buildRow, setTime } from './row.js';
import { tellingLine } from '../text/trace.js';

/** @typedef {import('../types.js').Entry} Entry */
/** @typedef {import('./row.js').GroupLook} GroupLook */

// Far more than fit on a screen. It bounds the time that one frame can take.
const MOST_ROWS = 400;
// An opened group is a row and not a document. The surroundings of its head show all of it.
const MOST_SHOWN = 400;

export class Rows {
  /** The chosen line. @type {number | null} */
  #chosen = null;
  /** @type {Map<number, HTMLElement>} */
  #nodes = new Map();
  /** The elements that have not been measured. @type {Set<number>} */
  #fresh = new Set();
  /** The opened lines, with or without an element. @type {Set<number>} */
  #opened = new Set();
  /** The groups that are not as `look.fold` says, by their heads. @type {Set<number>} */
  #turned = new Set();
  /** The entry of each row. @type {WeakMap<Element, Entry>} */
  #entries = new WeakMap();

  /**
   * @param {HTMLElement} element
   * @param {{look: import('./row.js').Look, held: import('./held.js').HeldLines}} options
   */
  constructor(element, { look, held }) {
    this.element = element;
    this.look = look;
    this.held = held;
  }

  /** Build elements for the lines from `from` up to `to`, and remove all others. If that is too
   * many, the first lines get none.
   * @param {number} from @param {number} to @returns {number} the first line with an element */
  show(from, to) {
    const { groups, ring } = this.held;
    let first = to;
    for (let rows = 0; first > from && rows < MOST_ROWS; ) {
      first -= 1;
      if (!groups.isMember(first)) rows += 1;
    }
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
      const entry = ring.at(seq);
      if (!entry || groups.isMember(seq)) continue;
      const node = this.#build(seq, entry);
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

  /** Return the element of a line; null if it has none. @param {number} seq
   * @returns {HTMLElement | null} */
  rowOf(seq) {
    const node = this.#nodes.get(this.held.groups.headOf(seq));
    if (!node || node.dataset.seq === String(seq)) return node ?? null;
    return node.querySelector(`.row[data-seq="${seq}"]`);
  }

  /** @param {Element} row */
  entryOf(row) {
    return this.#entries.get(row);
  }

  /** Return the lines that an element shows or counts. @param {Element} row @returns {Entry[]} */
  linesOf(row) {
    const entry = this.#entries.get(row);
    const seq = Number(/** @type {HTMLElement} */ (row).dataset.seq);
    const group = this.held.groups.of(seq);
    if (group && group.head === seq && !this.isUnfolded(seq)) return this.linesIn(group);
    return entry ? [entry] : [];
  }

  /** Build the element of a line again when it is shown next. @param {number} seq */
  drop(seq) {
    this.#nodes.get(seq)?.remove();
    this.#nodes.delete(seq);
    this.#fresh.delete(seq);
  }

  /** The list has evicted a line. @param {number} seq
   * @param {number} next the head of its group now; -1 if there is none */
  forget(seq, next) {
    this.drop(seq);
    this.#opened.delete(seq);
    if (this.#turned.delete(seq) && next >= 0) this.#turned.add(next);
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
    this.#turned.clear();
  }

  /** The text of an entry has changed. @param {Entry} entry */
  refresh(entry) {
    for (const seq of this.#nodes.keys()) {
      if (this.held.ring.at(seq) === entry) this.drop(seq);
    }
  }

  /** Show relative times as they are now. */
  tick() {
    for (const row of this.element.querySelectorAll('.row')) {
      const entry = this.#entries.get(row);
      const time = row.firstElementChild;
      if (entry && time instanceof HTMLElement) setTime(time, entry.time, this.look.clock);
    }
  }

  /** @param {number | null} seq */
  choose(seq) {
    if (this.#chosen !== null) this.rowOf(this.#chosen)?.classList.remove('chosen');
    this.#chosen = seq;
    if (seq !== null) this.rowOf(seq)?.classList.add('chosen');
  }

  /** Open or fold a line. @param {number} seq @param {boolean} [opened] */
  toggle(seq, opened = !this.#opened.has(seq)) {
    if (opened) this.#opened.add(seq);
    else this.#opened.delete(seq);
    this.drop(this.held.groups.headOf(seq));
  }

  /** Whether a line is shown whole. @param {number} seq */
  isOpened(seq) {
    return this.#opened.has(seq);
  }

  /** Whether a group shows all of its lines. @param {number} head */
  isUnfolded(head) {
    return this.#turned.has(head) === this.look.fold;
  }

  /** Show all groups as `look.fold` says. */
  foldAsWished() {
    this.#turned.clear();
  }

  /** Unfold or fold a group. @param {number} head @param {boolean} [unfolded] */
  toggleGroup(head, unfolded = !this.isUnfolded(head)) {
    if (unfolded === this.look.fold) this.#turned.add(head);
    else this.#turned.delete(head);
    this.drop(head);
  }

  /** @param {number} seq @param {Entry} entry @returns {HTMLElement} */
  #build(seq, entry) {
    const group = this.held.groups.of(seq);
    const unfolded = group !== undefined && this.isUnfolded(seq);
    const lines = group ? this.linesIn(group) : [entry];
    const telling = unfolded ? '' : tellingLine(lines);
    /** @type {GroupLook} */
    const state = { more: lines.length - 1, unfolded, telling, partial: !group?.all && this.#isPartial(entry) };
    if (!unfolded || lines.length < 2) return this.#row(seq, entry, state);
    const block = document.createElement('div');
    block.className = 'block';
    block.dataset.block = String(seq);
    const seqs = new Map([seq, ...group.members].map((one) => [this.held.ring.at(one)?.id, one]));
    lines.slice(0, MOST_SHOWN).forEach((line, index) => {
      const row = this.#row(seqs.get(line.id), line, index ? null : state);
      if (index) row.classList.add('member');
      block.append(row);
    });
    return block;
  }

  /** @param {number | undefined} seq undefined if the list does not have the line
   * @param {Entry} entry @param {GroupLook | null} state */
  #row(seq, entry, state) {
    const row = buildRow(entry, this.look, seq !== undefined && this.#opened.has(seq), state);
    this.#entries.set(row, entry);
    if (seq !== undefined) row.dataset.seq = String(seq);
    if (seq !== undefined && seq === this.#chosen) row.classList.add('chosen');
    return row;
  }

  /** Return all lines of a group. @param {import('./groups.js').Group} group @returns {Entry[]} */
  linesIn({ head, members, all }) {
    const held = [head, ...members].flatMap((seq) => this.held.ring.at(seq) ?? []);
    if (!all) return held;
    const known = new Set(all.map(({ id }) => id));
    return [...all, ...held.filter(({ id }) => !known.has(id))];
  }

  /** Whether the filter may have left out lines of this line's group. @param {Entry} entry */
  #isPartial(entry) {
    const isSerious = ['error', 'warn'].includes(GROUPS[groupOf(entry.level)]);
    return this.look.narrowed && entry.machine !== '' && (entry.continues || isSerious);
  }
}
