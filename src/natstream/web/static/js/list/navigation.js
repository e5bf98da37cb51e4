// Moving through the lines: by a click, line by line, from match to match, and to a moment.

import { announce, hint } from '../dom.js';
import { AfterClick, Press } from './clicks.js';
import { groupOf } from '../panels/bins.js';
import { stripAnsi } from '../text/ansi.js';
import { askGroup } from '../stream/around.js';
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
    // Lines that arrive must not move the row away before the click is complete.
    this.#press = new Press(view.elements.rows, () => view.leaveEnd(true));
    view.elements.rows.addEventListener('click', (event) => this.#clicked(event));
  }

  #press;
  #afterClick = new AfterClick();

  /** Choose the next or previous line, and scroll it onto the screen. @param {1 | -1} step */
  step(step) {
    const { view } = this;
    const { ring } = view;
    if (ring.length) {
      const seq = Math.min(Math.max(this.#next(step), ring.first), ring.end - 1);
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
    const { ring, groups, look: { matcher, narrowed } } = this.view;
    // The service lets only matches pass, and it finds some that the page would not.
    // A stack trace is one error, so only its head is one to go to.
    const isWanted = (/** @type {Entry} */ entry, /** @type {number} */ at) => matcher
      ? !entry.note && (narrowed || matcher.test(stripAnsi(entry.message)))
      : (groupOf(entry.level) === 0 && !groups.isMember(at)) || entry.kind !== '' || entry.note !== null;
    let seq = this.#start(step) + step;
    for (let entry; (entry = ring.at(seq)) && !isWanted(entry, seq); ) seq += step;
    if (ring.at(seq)) {
      this.view.show(seq);
      if (this.details.isOpen) this.openDetails();
      showMark(this.view, seq);
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
    this.view.show(this.view.groups.headOf(seq));
    if (this.details.isOpen) this.openDetails();
  }

  /** Show the details of the chosen line. */
  openDetails() {
    const entry = this.#chosen;
    if (entry) this.details.open(entry);
  }

  /** Show the chosen line among its neighbours. */
  openContext() {
    const entry = this.#chosen;
    if (entry?.id) this.details.actions.context(entry);
  }

  /** Open the chosen line or fold it: a group first shows its lines, and is folded last.
   * @param {boolean} opened */
  unfold(opened) {
    const { view } = this;
    const seq = view.selected;
    if (seq === null) return;
    const group = view.groups.of(seq);
    const isUnfolded = group !== undefined && view.rows.isUnfolded(group.head);
    if (group && opened !== isUnfolded && (opened || !view.rows.isOpened(seq))) {
      view.folding.toggleGroup(seq, opened);
    } else view.folding.toggle(seq, opened);
  }

  /** Tell screen readers which line is chosen. */
  announceChosen() {
    const entry = this.#chosen;
    if (!entry) return;
    const origin = `${entry.level} ${entry.app} ${entry.region}`;
    announce(entry.note ? noticeText(entry, this.view.look.clock) : `${origin}: ${stripAnsi(entry.message).slice(0, 200)}`);
  }

  /** @param {MouseEvent} event */
  #clicked(event) {
    const { view } = this;
    const target = /** @type {Element} */ (event.target);
    const row = target.closest('.row');
    if (!(row instanceof HTMLElement) || target.closest('a')) return;
    const entry = view.rows.entryOf(row);
    const block = /** @type {HTMLElement | null} */ (row.closest('.block'));
    const seq = Number(row.dataset.seq ?? block?.dataset.block);
    const more = /** @type {HTMLElement | null} */ (target.closest('.more-lines'));
    if (more && entry && more.dataset.ask === 'true') void this.#askGroup(seq, entry);
    else if (more) {
      view.select(seq);
      view.folding.toggleGroup(seq);
    } else if (target.closest('button.sign')) this.details.actions.changes();
    else if (target.closest('.fold')) view.folding.toggle(seq);
    else if (!this.#press.isClick(event)) this.#afterClick.cancel();
    else if (row.dataset.seq === undefined) {
      // A line of a group that the list does not have.
      if (entry) this.#open(() => this.details.open(entry));
    } else {
      view.leaveEnd(true);
      view.select(seq);
      this.#open(() => { if (view.selected === seq) this.openDetails(); });
    }
  }

  /** The panel takes room from the rows, so it opens when no second click can follow, which would
   * meet something else. @param {() => void} open */
  #open(open) {
    if (this.details.isOpen) open();
    else this.#afterClick.run(open);
  }

  /** Show all lines of a line's group, those that the filter leaves out as well.
   * @param {number} seq @param {Entry} entry */
  async #askGroup(seq, entry) {
    const answer = await askGroup(entry);
    if (typeof answer === 'string') hint(answer);
    else if (this.view.ring.at(seq) === entry) this.view.folding.fillGroup(seq, answer);
  }

  /** Return the next line as it stands on the page, where a group is in one piece.
   * @param {1 | -1} step */
  #next(step) {
    const { ring, groups, rows, selected } = this.view;
    const start = this.#start(step);
    const group = selected === null ? undefined : groups.of(start);
    if (group && rows.isUnfolded(group.head)) {
      const run = [group.head, ...group.members];
      const inner = run[run.indexOf(start) + step];
      if (inner !== undefined) return inner;
    }
    let at = groups.headOf(start) + step;
    while (ring.at(at) && groups.isMember(at)) at += step;
    if (!ring.at(at)) return groups.headOf(start);
    const entered = step < 0 && rows.isUnfolded(at) ? groups.of(at) : undefined;
    return entered?.members.at(-1) ?? at;
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

/** Scroll to the first match in a line, which may be below the screen or beside it.
 * @param {import('./view.js').View} view @param {number} seq */
function showMark({ rows, elements: { scroller } }, seq) {
  const mark = rows.rowOf(seq)?.querySelector('mark')?.getBoundingClientRect();
  if (!mark) return;
  const { left, top, bottom } = scroller.getBoundingClientRect();
  const x = mark.left - left + scroller.scrollLeft;
  const isAtStart = x + mark.width < scroller.clientWidth;
  const isBeside = mark.left < left || mark.right > left + scroller.clientWidth;
  if (isBeside) scroller.scrollLeft = isAtStart ? 0 : x - scroller.clientWidth / 2;
  if (mark.top < top || mark.bottom > bottom) {
    scroller.scrollTop += mark.top - top - scroller.clientHeight / 3;
  }
}
