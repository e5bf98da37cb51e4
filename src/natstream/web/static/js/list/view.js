// The list: a window of rows on up to 100,000 lines. In: entries. Out: a scroll that stays put.
//
// Rows may differ in height. The view estimates each height from the length of the text, and
// measures it once the row has been shown. `base` of the scroll area keeps the picture still. It
// absorbs the heights of evicted lines and the corrections of estimates above the screen, so that the
// view need not write the scroll position while a finger or a wheel moves it. The view brings it
// back when the scrolling has ended.

import { Folding } from './folding.js';
import { CAPACITY, HeldLines } from './held.js';
import { Leaving } from './leaving.js';
import { Pace } from './pace.js';
import { estimateLines, measureProbe } from './row.js';
import { Rows } from './rows.js';
import { ScrollArea } from './scroll_area.js';
import { LineSelection } from './selection.js';
import { dayOf } from '../text/time.js';

/** @typedef {import('../types.js').Entry} Entry */

// The height of the rows that are ready above and below the screen, in pixels: a turn of the wheel.
const MARGIN = 400;
// While the reader is not at the end, this many lines stay above the screen, to scroll back to.
const KEPT_ABOVE = 1_000;
// A scroll position this close to the end counts as the end, in pixels.
const AT_END = 4;
// Without scroll events for this long, the scrolling has ended.
const CALM_MS = 150;

export class View {
  /** Whether the newest line stays on the screen. */
  following = true;
  /** The chosen line. @type {number | null} */
  selected = null;
  /** The first line that arrived after the reader left the end. */
  #unseenFrom = 0;
  /** The first line that has a row. */
  #from = 0;
  #probe = { oneLine: 20, moreLines: 18, columns: 80 };
  #pace = new Pace(() => this.#draw());
  #calmTimer = 0;
  #width = 0;
  /** Where the list begins in the window. */
  #lastY = 0;

  /**
   * @param {{scroller: HTMLElement, content: HTMLElement, rows: HTMLElement, probe:
   *   HTMLElement}} elements
   * @param {{look: import('./row.js').Look, changed: () => void}} options
   *   `changed`: the view shows other lines, or starts or stops to follow.
   *   Call `relayout` before the first `append`.
   */
  constructor(elements, { look, changed }) {
    this.elements = elements;
    this.look = look;
    this.#today = dayOf(Date.now(), look.clock);
    this.#area = new ScrollArea(elements);
    this.#changed = changed;
    /** @type {HeldLines} */
    this.#held = new HeldLines(CAPACITY, (entry, seq) => this.#estimate(entry, seq));
    this.ring = this.#held.ring;
    this.heights = this.#held.heights;
    /** @type {Rows} */
    this.rows = new Rows(elements.rows, { look, held: this.#held });
    this.groups = this.#held.groups;
    this.folding = new Folding(this);
    this.selection = new LineSelection(this);
    const { scroller } = elements;
    scroller.addEventListener('scroll', () => this.#scrolled(), { passive: true });
    this.#leaving = new Leaving(scroller, () => this.leaveEnd());
    new ResizeObserver(() => {
      if (scroller.clientWidth !== this.#width) this.relayout();
      else this.#resized();
    }).observe(scroller);
  }

  #area;
  #changed;
  #held;
  #leaving;
  #today;

  /** The number of lines below that have not been on the screen. */
  get unseen() {
    return this.following ? 0 : this.ring.end - Math.max(this.#unseenFrom, this.ring.first);
  }

  /** Whether more lines would evict lines that are being read.
   * @param {number} count of new lines */
  wouldPushOut(count) {
    if (this.following) return false;
    const pushedOut = this.ring.length + count - this.ring.capacity;
    return pushedOut > 0 && this.firstVisible - this.ring.first < pushedOut + KEPT_ABOVE;
  }

  /** @param {Entry[]} entries */
  append(entries) {
    const isFirst = this.ring.length === 0;
    for (const entry of entries) {
      while (this.#held.isFullFor(entry)) this.#evictFirst();
      const head = this.#held.push(entry);
      if (head >= 0) this.rows.drop(head);
    }
    // An empty list has nothing to keep still, and a reader waits for its first lines.
    if (isFirst) this.#pace.now();
    else this.schedule();
  }

  clear() {
    this.#held.clear();
    this.selection.clear();
    this.rows.forgetAll();
    this.select(null);
    this.#area.reset();
    this.#area.moveTo(0, 0);
    this.#unseenFrom = this.ring.end;
    this.following = true;
    this.schedule();
    this.#changed();
  }

  /** Show the new text of a line. @param {Entry} entry */
  refresh(entry) {
    this.rows.refresh(entry);
    this.schedule();
  }

  /** Build all rows again, because they look different. Their heights must not change. */
  repaint() {
    this.rows.dropAll();
    this.schedule();
  }

  /** A second has passed: show the times as they are now. */
  tick() {
    const { clock } = this.look;
    const today = dayOf(Date.now(), clock);
    if (clock === 'relative') this.rows.tick();
    else if (today !== this.#today) this.relayout(); // rows of the old day show their date now
    this.#today = today;
  }

  /** Lay out all rows again, because their width or their wrapping has changed. The same line
   * stays at the top. */
  relayout() {
    const { scroller, rows } = this.elements;
    this.#width = scroller.clientWidth;
    this.#lastY = this.#y;
    // The line that stays in its position: the chosen one if it is on the screen, otherwise the
    // first.
    const chosen = this.selected === null ? -1 : this.groups.headOf(this.selected);
    const isSeen = chosen >= this.firstVisible && chosen <= this.lastVisible;
    const anchor = isSeen ? chosen : this.firstVisible;
    const below = this.heights.offset(anchor) - this.#area.top;
    const { hasRoom } = this.#area;
    rows.classList.toggle('wrap', this.look.wrap);
    this.elements.probe.classList.toggle('wrap', this.look.wrap);
    this.#probe = measureProbe(this.elements.probe);
    this.look.columns = this.#probe.columns;
    this.#held.estimateAll();
    this.rows.dropAll();
    this.#area.reset();
    this.elements.content.style.minWidth = '';
    // Twice, because rows may be taller than estimated; see `show`.
    for (let i = 0; i < 2 && !this.following; i++) {
      const top = this.heights.offset(anchor) - Math.max(below, -this.heights.get(anchor));
      this.#area.place(top, this.heights.total, hasRoom);
      this.#pace.now();
    }
    if (this.following) this.#pace.now();
  }

  /** Go to the newest line and stay there. */
  follow() {
    this.following = true;
    this.select(null);
    this.#pace.now();
    this.#changed();
  }

  /** Go to the oldest line. */
  toStart() {
    this.leaveEnd(true);
    this.select(null);
    this.#place(0);
    this.#pace.now();
  }

  /** Scroll a screen up or down. @param {1 | -1} step */
  page(step) {
    const { scroller } = this.elements;
    if (step < 0) this.leaveEnd();
    scroller.scrollTop += step * (scroller.clientHeight - 2 * this.#probe.oneLine);
  }

  /** Choose a line, and scroll it to the upper third of the screen. @param {number} seq */
  show(seq) {
    const wanted = Math.min(Math.max(seq, this.ring.first), this.ring.end - 1);
    if (wanted < this.ring.first) return;
    this.leaveEnd(true);
    this.#unfoldFor(wanted);
    this.select(wanted);
    // Twice, because rows that are shown for the first time may be taller than estimated.
    for (let i = 0; i < 2; i++) {
      const top = this.#offsetOf(wanted) - this.#area.height / 3;
      const last = this.heights.total - this.#area.height;
      this.#place(Math.max(0, Math.min(top, last)));
      this.#pace.now();
    }
    if (this.#area.below <= AT_END) this.#unseenFrom = this.ring.end;
    this.#changed();
  }

  /** Put a line where it stood before, so that the reader need not look for it.
   * @param {number} seq @param {number} y from the top of the window to its row */
  putAt(seq, y) {
    this.leaveEnd(true);
    this.#unfoldFor(seq);
    for (let i = 0; i < 2; i++) { // as in `show`
      this.#place(this.#offsetOf(seq) - y + this.#y);
      this.#pace.now();
    }
    this.#changed();
  }

  /** Return where the reader sees a line's row begin, in pixels from the top of the window. If the
   * list has moved since it was drawn, the reader has not seen that yet. @param {number} seq */
  yOf(seq) {
    const top = this.#y === this.#lastY ? this.#area.top : this.#area.topBefore;
    return this.#offsetOf(seq) - top + this.#lastY;
  }

  /** @param {number | null} seq */
  select(seq) {
    this.selected = seq;
    this.rows.choose(seq);
  }

  /** Draw soon. Several calls draw once. */
  schedule() {
    this.#pace.soon();
  }

  drawNow() {
    this.#pace.now();
  }

  get firstVisible() {
    return this.heights.find(Math.max(0, this.#area.top));
  }

  get lastVisible() {
    return this.heights.find(this.#area.top + this.#area.height - 1);
  }

  /** Whether the whole row is on the screen. @param {number} seq */
  isWholeVisible(seq) {
    const row = this.rows.rowOf(seq)?.getBoundingClientRect();
    const { top, bottom } = this.elements.scroller.getBoundingClientRect();
    return row !== undefined && row.top >= top && row.bottom <= bottom;
  }

  /** Whether the oldest line is on the screen. */
  get atStart() {
    return !this.following && this.firstVisible === this.ring.first;
  }

  /** Return how far below the first row a line's row begins. @param {number} seq */
  #offsetOf(seq) {
    const head = this.groups.headOf(seq);
    const belowHead = head === seq ? 0 : this.rows.rowOf(seq)?.offsetTop ?? 0;
    return this.heights.offset(head) + belowHead;
  }

  /** Unfold the group that a line is in. @param {number} seq */
  #unfoldFor(seq) {
    const head = this.groups.headOf(seq);
    if (head !== seq) this.rows.toggleGroup(head, true);
  }

  /** Scroll to a position that was found for the screen as it is now. @param {number} top */
  #place(top) {
    this.#lastY = this.#y; // otherwise `#resized` would move the lines once more
    this.#area.place(top, this.heights.total);
  }

  /** Where the screen of the list begins, in pixels from the top of the window. */
  get #y() {
    return this.elements.scroller.getBoundingClientRect().top;
  }

  /** The list has another height: the lines stay where they are in the window. */
  #resized() {
    const y = this.#y;
    const moved = y - this.#lastY;
    this.#lastY = y;
    if (moved && !this.following) {
      this.#area.place(this.#area.topBefore + moved, this.heights.total, this.#area.hasRoom);
    }
    this.schedule();
  }

  /** @param {Entry} entry @param {number} seq @returns {number} */
  #estimate(entry, seq) {
    const { oneLine, moreLines } = this.#probe;
    const members = this.rows.isUnfolded(seq) ? this.#held.groups.of(seq)?.members.length ?? 0 : 0;
    return oneLine * (1 + members) + (estimateLines(entry, this.look) - 1) * moreLines;
  }

  #evictFirst() {
    const seq = this.ring.first;
    const { height, next } = this.#held.shift();
    this.rows.forget(seq, next);
    if (this.selected === seq) this.select(null);
    if (this.following) return;
    this.#area.base += height;
    // The next line of an evicted head gets a row, which moves the lines after it.
    if (next >= 0 && this.heights.offset(next) < this.#area.top) {
      this.#area.base -= this.heights.get(next);
    }
  }

  #scrolled() {
    if (this.#y !== this.#lastY) this.#resized();
    const move = this.#area.readMove();
    if (!move) return; // this view has scrolled, and not the reader
    if (this.following) {
      this.#leaving.moved(move, this.#area.below);
    } else if (move > 0 && this.#area.below <= AT_END) {
      this.following = true;
      this.#changed();
    }
    this.#pace.next();
    clearTimeout(this.#calmTimer);
    this.#calmTimer = Number(setTimeout(() => this.#settle(), CALM_MS));
  }

  /** Stop following, so that the lines on the screen stay.
   * @param {boolean} [always] even if all lines fit on the screen */
  leaveEnd(always = false) {
    if (!this.following || (!always && this.#area.isWhole)) return;
    this.following = false;
    this.#unseenFrom = this.ring.end;
    this.#changed();
  }

  #settle() {
    if (this.following) return;
    this.#area.settle();
    this.#moveRows();
  }

  #draw() {
    this.selection.read(); // as long as the rows that it begins in are there
    if (this.following) this.#drawEnd();
    else this.#drawMiddle();
    this.selection.restore();
    this.#changed();
  }

  #drawEnd() {
    // Again while rows are lower than estimated, because they leave room for more.
    for (let i = 0; i < 3; i++) {
      const from = this.heights.find(this.heights.total - this.#area.height - MARGIN);
      if (i > 0 && from >= this.#from) break;
      this.#build(from, this.ring.end);
    }
    this.#area.scrollToEnd(this.heights.total);
    this.#moveRows();
  }

  #drawMiddle() {
    const area = this.#area;
    if (area.isBeyond || (area.base < 0 && area.top + area.base < MARGIN)) area.settle();
    const { top } = area;
    const anchor = this.heights.find(Math.max(0, top));
    const within = top - this.heights.offset(anchor);
    const from = this.heights.find(Math.max(0, top - MARGIN));
    // Again while rows are lower than estimated, because they leave room for more.
    for (let i = 0, to = from; i < 4; i++) {
      const bottom = this.heights.offset(anchor) + within + area.height + MARGIN;
      const wanted = Math.min(this.heights.find(bottom) + 1, this.ring.end);
      if (i > 0 && wanted <= to) break;
      to = wanted;
      this.#build(from, to);
    }
    area.base -= this.heights.offset(anchor) + within - top;
    area.trim(this.heights.total);
    area.resize(this.heights.total);
    this.#moveRows();
    if (top + area.height >= this.heights.total - AT_END) this.#unseenFrom = this.ring.end;
  }

  /** Build rows for these lines, and measure them. @param {number} from @param {number} to */
  #build(from, to) {
    this.#from = this.rows.show(from, to);
    this.rows.measure((seq, height) => this.heights.set(seq, height));
  }

  #moveRows() {
    this.#area.moveRows(this.heights.offset(this.#from), this.look.wrap);
  }
}
