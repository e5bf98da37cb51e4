// Moving through the lines: by a click, line by line, from match to match, and to a moment.

import { announce, hint } from '../dom.js';
import { groupOf } from '../panels/bins.js';
import { stripAnsi } from '../text/ansi.js';
import { noticeText } from '../text/entry.js';

/** @typedef {import('../types.js').Entry} Entry */

export class Navigation {
  /**
   * @param {import('./view.js').View} view
   * @param {import('../panels/details.js').Details} details  they follow the chosen line while open
   */
  constructor(view, details) {
    this.view = view;
    this.details = details;
    view.elements.rows.addEventListener('click', (event) => this.#clicked(event));
  }

  /** Choose the next or previous line, and scroll it onto the screen. @param {1 | -1} step */
  step(step) {
    const { view } = this;
    const { ring } = view;
    if (ring.length) {
      const seq = Math.min(Math.max(this.#start(step) + step, ring.first), ring.end - 1);
      if (!view.isWholeVisible(seq)) view.show(seq);
      else {
        if (seq < ring.end - 1) view.leaveEnd(true);
        view.select(seq);
      }
    }
    if (this.details.isOpen) this.openDetails();
  }

  /** Go to the next match; without a search, to the next error, marker or gap.
   * @param {1 | -1} step */
  find(step) {
    const { ring, look: { matcher } } = this.view;
    const isWanted = (/** @type {Entry} */ entry) => matcher
      ? !entry.note && matcher.test(stripAnsi(entry.message))
      : groupOf(entry.level) === 0 || entry.kind !== '' || entry.note !== null;
    let seq = this.#start(step) + step;
    for (let entry; (entry = ring.at(seq)) && !isWanted(entry); ) seq += step;
    if (ring.at(seq)) {
      this.view.show(seq);
      if (this.details.isOpen) this.openDetails();
      this.announceChosen();
    } else {
      hint(`No ${step > 0 ? 'later' : 'earlier'} ${matcher ? 'match' : 'error, marker or gap'}`);
    }
  }

  /** Go to the first line of a moment. @param {number} seq of the line; -1 if there is none */
  jump(seq) {
    if (seq < 0) {
      hint('No lines at that time');
      return;
    }
    if (seq < this.view.ring.first) {
      hint('The page no longer has those lines: this is its oldest line');
    }
    this.view.show(seq);
    if (this.details.isOpen) this.openDetails();
  }

  /** Show the details of the chosen line. */
  openDetails() {
    const entry = this.#chosen;
    if (entry) this.details.open(entry);
  }

  /** Open or fold the chosen line. @param {boolean} opened */
  unfold(opened) {
    if (this.view.selected !== null) this.view.toggle(this.view.selected, opened);
  }

  /** Tell screen readers which line is chosen. */
  announceChosen() {
    const entry = this.#chosen;
    if (!entry) return;
    const origin = `${entry.level} ${entry.app} ${entry.region}`;
    announce(entry.note ? noticeText(entry) : `${origin}: ${stripAnsi(entry.message).slice(0, 200)}`);
  }

  /** @param {MouseEvent} event */
  #clicked(event) {
    const { view } = this;
    const target = /** @type {Element} */ (event.target);
    const row = target.closest('.row');
    if (!(row instanceof HTMLElement) || target.closest('a')) return;
    const seq = Number(row.dataset.seq);
    if (target.closest('.fold')) view.toggle(seq);
    else if (document.getSelection()?.isCollapsed ?? true) {
      view.leaveEnd(true);
      view.select(seq);
      this.openDetails();
    }
  }

  get #chosen() {
    return this.view.selected === null ? undefined : this.view.ring.at(this.view.selected);
  }

  /** The line before the first step: the chosen one, or the one just outside the screen.
   * @param {1 | -1} step */
  #start(step) {
    const { selected, firstVisible, lastVisible } = this.view;
    return selected ?? (step > 0 ? firstVisible - 1 : lastVisible + 1);
  }
}
