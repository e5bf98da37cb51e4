// The columns of the list: the widths of those with names, and the fields of messages as columns, with
// their names above the list.
//
// Widths grow only while the newest lines are shown, because a reader who has stopped to read should
// not see the lines move.

import { h, icon } from '../dom.js';
import { revealed } from '../text/readable.js';

// Longer values are cut.
const WIDEST = 24;
// The other columns take about this many characters with a message that can be read. Beside the
// details, a list has less room, and cuts its fields more.
const OTHERS = 98;
const NARROWEST = 6;

/** The least and the greatest width of the columns with names, in letters. */
const NAMES = /** @type {const} */ ({
  a: { variable: '--app-width', least: 3, most: 20 },
  r: { variable: '--region-width', least: 3, most: 12 },
  c: { variable: '--machine-width', least: 14, most: 20 },
});
const KEYS = /** @type {const} */ (['a', 'r', 'c']);

/** The widths of the columns with names, in one list. */
export class NameWidths {
  /** @type {Record<'a' | 'r' | 'c', number>} */
  widths = { a: NAMES.a.least, r: NAMES.r.least, c: NAMES.c.least };

  /** @param {HTMLElement} element the list, or an element around it */
  constructor(element) {
    this.element = element;
    for (const key of KEYS) this.#set(key, this.widths[key]);
  }

  /** @param {'a' | 'r' | 'c'} key @param {number} width */
  #set(key, width) {
    this.widths[key] = width;
    // The parts of a name are rounded up one by one, so together they can be wider than their letters.
    this.element.style.setProperty(NAMES[key].variable, `calc(${width}ch + 1px)`);
  }

  /** Widen columns for the names of rows.
   * @param {HTMLElement} rows @returns {boolean} whether one is wider now */
  fit(rows) {
    let isWider = false;
    for (const key of KEYS) {
      const { most } = NAMES[key];
      if (this.widths[key] === most) continue;
      for (const cell of rows.querySelectorAll(`.${key}[data-wants]`)) {
        const wanted = Math.min(most, Number(/** @type {HTMLElement} */ (cell).dataset.wants));
        if (wanted <= this.widths[key]) continue;
        this.#set(key, wanted);
        isWider = true;
      }
    }
    return isWider;
  }
}

export class Columns {
  /** The parts of names that were shown last. */
  #version = 0;
  /** The width of each column that was shown, in characters. @type {Map<string, number>} */
  #widths = new Map();

  /**
   * @param {{stage: HTMLElement, heads: HTMLElement, probe: HTMLElement}} elements
   * @param {{look: import('./row.js').Look, names: NameWidths, remove: (name: string) => void,
   *   changed: () => void}} options  `changed`: rows must be laid out again
   */
  constructor(elements, { look, names, remove, changed }) {
    this.elements = elements;
    this.look = look;
    this.names = names;
    this.remove = remove;
    this.changed = changed;
  }

  /** Show these columns. @param {string[]} names @returns {boolean} whether they are others */
  show(names) {
    if (names.join() === this.look.fields.join()) return false;
    this.look.fields = names;
    const { heads, probe } = this.elements;
    heads.hidden = !names.length;
    heads.replaceChildren(
      ...['t', 'l', 'a', 'r', 'c'].map((column) => h('span', { class: column })),
      ...names.map((name) => h('button', {
        type: 'button', class: 'x', title: `Remove the column ${revealed(name)}`,
        'aria-label': `Remove the column ${revealed(name)}`, onclick: () => this.remove(name),
      }, h('span', {}, revealed(name)), icon('close'))),
    );
    for (const cell of probe.querySelectorAll('.x')) cell.remove();
    probe.querySelector('.f')?.before(...names.map(() => h('span', { class: 'x' })));
    this.#apply();
    return true;
  }

  /** Widen columns for the names and values of rows of the list. @param {HTMLElement} rows */
  fit(rows) {
    const isWider = this.names.fit(rows);
    const version = KEYS.reduce((sum, key) => sum + this.look.names[key].version, 0);
    const isOther = version !== this.#version;
    this.#version = version;
    if (!this.fitFields(rows) && (isWider || isOther)) this.changed();
  }

  /** Widen the columns of fields.
   * @param {HTMLElement} rows @returns {boolean} whether rows were laid out again */
  fitFields(rows) {
    let isWider = false;
    for (const cell of this.look.fields.length ? rows.querySelectorAll('.x') : []) {
      const name = /** @type {HTMLElement} */ (cell).dataset.column ?? '';
      const length = Math.min(WIDEST, cell.textContent?.length ?? 0);
      if (length <= this.#width(name)) continue;
      this.#widths.set(name, length);
      isWider = true;
    }
    if (!isWider) return false;
    this.#apply();
    this.changed();
    return true;
  }

  /** @param {string} name */
  #width(name) {
    return this.#widths.get(name) ?? Math.min(WIDEST, name.length + 3);
  }

  #apply() {
    const room = `max(${NARROWEST}ch, (100cqw - ${OTHERS}ch) / ${this.look.fields.length})`;
    const widths = this.look.fields.map((name) => `min(${this.#width(name)}ch, ${room})`);
    this.elements.stage.style.setProperty('--fields', widths.join(' '));
  }
}
