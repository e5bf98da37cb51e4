// Fields as columns of the list: their names above it, and their widths.
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

export class Columns {
  /** The width of each column that was shown, in characters. @type {Map<string, number>} */
  #widths = new Map();

  /**
   * @param {{stage: HTMLElement, heads: HTMLElement, probe: HTMLElement}} elements
   * @param {{look: import('./row.js').Look, remove: (name: string) => void,
   *   changed: () => void}} options  `changed`: rows must be laid out again
   */
  constructor(elements, { look, remove, changed }) {
    this.elements = elements;
    this.look = look;
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

  /** Widen columns for the values of rows. @param {HTMLElement} rows */
  fit(rows) {
    let isWider = false;
    for (const cell of this.look.fields.length ? rows.querySelectorAll('.x') : []) {
      const name = /** @type {HTMLElement} */ (cell).dataset.column ?? '';
      const length = Math.min(WIDEST, cell.textContent?.length ?? 0);
      if (length <= this.#width(name)) continue;
      this.#widths.set(name, length);
      isWider = true;
    }
    if (!isWider) return;
    this.#apply();
    this.changed();
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
