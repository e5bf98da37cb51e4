// The list: a window of rows on up to 100,000 lines. In: entries. Out: a scroll that stays put.
//
// Rows may differ in height. Each has an estimate from the length of its text, which the height
// measured replaces once the row has been shown. What keeps the picture still is `base`, the
// distance from the top of the scrolled content to the first row: lines forgotten at the top,
// and estimates corrected above the screen, are taken up by it, so that the scroll position need
// not be written while a finger or a wheel moves it. It is brought back to 0 when all is calm.

import { Heights } from './heights.js';
import { Pace } from './pace.js';
import { Ring } from './ring.js';
import { estimateLines } from './row.js';
import { Rows } from './rows.js';

/** @typedef {import('../types.js').Entry} Entry */

// Rows kept ready above and below the screen, in pixels: a turn of the wheel.
const MARGIN = 400;
// While somebody reads, this many lines stay above the screen, to scroll back to.
const KEPT_ABOVE = 1_000;
// Closer to the end than this is at the end.
const AT_END = 4;
// Without scroll events for this long, the scrolling has ended.
const CALM_MS = 150;
// Characters of messages held: 100,000 lines of usual length are a tenth of it. It bounds the
// memory, 64 to 128 MB, where lines are megabytes.
const MOST_CHARACTERS = 64_000_000;

export class View {
  following = true;
  /** The row that is chosen. @type {number | null} */
  selected = null;
  /** The first line that arrived after the end was left. */
  #unseenFrom = 0;
  #base = 0;
  /** The first line that has a row. */
  #from = 0;
  #lastTop = 0;
  #widest = 0;
  #characters = 0;
  #oneLine = 20;
  #moreLines = 18;
  #pace = new Pace(() => this.#draw());
  #calmTimer = 0;
  #width = 0;

  /**
   * @param {{scroller: HTMLElement, content: HTMLElement, rows: HTMLElement, probe: HTMLElement}} elements
   * @param {{capacity: number, look: import('./row.js').Look,
   *   changed: () => void, chosen: (seq: number) => void}} options
   *   `changed`: what is shown or followed is another; `chosen`: a row was clicked.
   *   Call `relayout` before anything is shown.
   */
  constructor(elements, { capacity, look, changed, chosen }) {
    this.elements = elements;
    this.look = look;
    this.#changed = changed;
    /** @type {Ring<Entry>} */
    this.ring = new Ring(capacity);
    this.heights = new Heights(capacity);
    this.#rows = new Rows(elements.rows, { look, entry: (seq) => this.ring.at(seq) });
    const { scroller } = elements;
    scroller.addEventListener('scroll', () => this.#scrolled(), { passive: true });
    scroller.addEventListener('wheel', (event) => {
      if (event.deltaY < 0) this.leaveEnd();
    }, { passive: true });
    elements.rows.addEventListener('click', (event) => this.#clicked(event, chosen));
    new ResizeObserver(() => {
      if (scroller.clientWidth !== this.#width) this.relayout();
      else this.schedule();
    }).observe(scroller);
  }

  #changed;
  #rows;

  /** Lines below, that have not been on the screen. */
  get unseen() {
    return this.following ? 0 : this.ring.end - Math.max(this.#unseenFrom, this.ring.first);
  }

  /** Whether so many more lines would push out those that are being read. @param {number} count */
  wouldPushOut(count) {
    if (this.following) return false;
    const pushedOut = this.ring.length + count - this.ring.capacity;
    return pushedOut > 0 && this.#firstVisible - this.ring.first < pushedOut + KEPT_ABOVE;
  }

  /** @param {Entry[]} entries */
  append(entries) {
    for (const entry of entries) {
      this.#characters += entry.message.length;
      while (this.ring.full || (this.#characters > MOST_CHARACTERS && this.ring.length)) {
        this.#forgetFirst();
      }
      this.ring.push(entry);
      this.heights.push(this.#estimate(entry));
    }
    this.schedule();
  }

  clear() {
    this.ring.clear();
    this.#characters = 0;
    this.heights.reset(this.ring.end);
    this.#rows.forgetAll();
    this.select(null);
    this.#base = this.#widest = 0;
    this.#resizeContent();
    this.#scrollTo(0);
    this.#unseenFrom = this.ring.end;
    this.following = true;
    this.schedule();
    this.#changed();
  }

  /** A line says something else now. @param {Entry} entry */
  refresh(entry) {
    this.#rows.refresh(entry);
    this.schedule();
  }

  /** All lines look different now, but are as tall as before. */
  repaint() {
    this.#rows.dropAll();
    this.schedule();
  }

  /** The times have moved on. */
  tick() {
    this.#rows.tick();
  }

  /** The lines' widths or wrapping have changed: begin anew with the same line at the top. */
  relayout() {
    const { scroller, rows } = this.elements;
    this.#width = scroller.clientWidth;
    // The chosen line if it can be seen, else the first that can.
    const isSeen = this.selected !== null
      && this.selected >= this.#firstVisible && this.selected <= this.#lastVisible;
    const anchor = isSeen ? /** @type {number} */ (this.selected) : this.#firstVisible;
    const below = this.heights.offset(anchor) - this.#top;
    rows.classList.toggle('wrap', this.look.wrap);
    this.elements.probe.classList.toggle('wrap', this.look.wrap);
    this.#measureProbe();
    this.heights.reset(this.ring.first);
    for (let seq = this.ring.first; seq < this.ring.end; seq++) {
      this.heights.push(this.#estimate(/** @type {Entry} */ (this.ring.at(seq))));
    }
    this.#rows.dropAll();
    this.#base = this.#widest = 0;
    this.elements.content.style.minWidth = '';
    if (!this.following) {
      this.#resizeContent();
      this.#scrollTo(this.heights.offset(anchor) - Math.max(below, -this.heights.get(anchor)));
    }
    this.#pace.now();
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
    this.#base = 0;
    this.#scrollTo(0);
    this.#pace.now();
  }

  /** A screen up or down. @param {1 | -1} step */
  page(step) {
    const { scroller } = this.elements;
    if (step < 0) this.leaveEnd();
    scroller.scrollTop += step * (scroller.clientHeight - 2 * this.#oneLine);
  }

  /** Show a line in the upper third, and choose it. @param {number} seq */
  show(seq) {
    const wanted = Math.min(Math.max(seq, this.ring.first), this.ring.end - 1);
    if (wanted < this.ring.first) return;
    this.leaveEnd(true);
    this.select(wanted);
    // Twice: rows that are shown for the first time may turn out to be taller than estimated.
    for (let i = 0; i < 2; i++) {
      const third = this.elements.scroller.clientHeight / 3;
      this.#base = 0;
      this.#resizeContent();
      this.#scrollTo(Math.max(0, this.heights.offset(wanted) - third));
      this.#pace.now();
    }
    if (this.#maxTop - this.elements.scroller.scrollTop <= AT_END) this.#unseenFrom = this.ring.end;
    this.#changed();
  }

  /** @param {number | null} seq */
  select(seq) {
    this.selected = seq;
    this.#rows.choose(seq);
  }

  /** Choose the next or previous line and bring it onto the screen. @param {1 | -1} step */
  step(step) {
    if (!this.ring.length) return;
    const seq = Math.min(Math.max(this.#before(step) + step, this.ring.first), this.ring.end - 1);
    const top = this.heights.offset(seq);
    const { clientHeight } = this.elements.scroller;
    if (top < this.#top || top + this.heights.get(seq) > this.#top + clientHeight) this.show(seq);
    else {
      if (seq < this.ring.end - 1) this.leaveEnd(true);
      this.select(seq);
    }
  }

  /** Go to the next line of a kind. @param {1 | -1} step @param {(entry: Entry) => boolean} isWanted
   * @returns {boolean} whether there is one */
  find(step, isWanted) {
    for (let seq = this.#before(step) + step; ; seq += step) {
      const entry = this.ring.at(seq);
      if (!entry) return false;
      if (isWanted(entry)) {
        this.show(seq);
        return true;
      }
    }
  }

  /** Where a step begins: at the chosen line, or just outside the screen. @param {1 | -1} step */
  #before(step) {
    return this.selected ?? (step > 0 ? this.#firstVisible - 1 : this.#lastVisible + 1);
  }

  /** Open or fold a row. @param {number} seq @param {boolean} [opened] */
  toggle(seq, opened) {
    this.leaveEnd(true);
    this.#rows.toggle(seq, opened);
    this.#pace.now();
  }

  /** Draw soon. */
  schedule() {
    this.#pace.soon();
  }

  get #top() {
    return this.elements.scroller.scrollTop - this.#base;
  }

  get #maxTop() {
    const { scroller } = this.elements;
    return scroller.scrollHeight - scroller.clientHeight;
  }

  /** Whether the oldest line is on the screen. */
  get atStart() {
    return !this.following && this.#firstVisible === this.ring.first;
  }

  get #firstVisible() {
    return this.heights.find(Math.max(0, this.#top));
  }

  get #lastVisible() {
    return this.heights.find(this.#top + this.elements.scroller.clientHeight - 1);
  }

  /** @param {Entry} entry */
  #estimate(entry) {
    return this.#oneLine + (estimateLines(entry, this.look) - 1) * this.#moreLines;
  }

  #forgetFirst() {
    const seq = this.ring.first;
    const height = this.heights.shift();
    this.#characters -= this.ring.shift()?.message.length ?? 0;
    this.#rows.forget(seq);
    if (this.selected === seq) this.select(null);
    if (!this.following) this.#base += height;
  }

  #scrolled() {
    const { scroller } = this.elements;
    const top = scroller.scrollTop;
    if (top === this.#lastTop) return; // it was not a hand but this list
    if (this.following) {
      if (top < this.#lastTop - AT_END) this.leaveEnd();
    } else if (top > this.#lastTop && top >= this.#maxTop - AT_END) {
      this.following = true;
      this.#changed();
    }
    this.#lastTop = top;
    this.#pace.next();
    clearTimeout(this.#calmTimer);
    this.#calmTimer = Number(setTimeout(() => this.#settle(), CALM_MS));
  }

  /** Stay with what is on the screen. @param {boolean} [always] even if all lines fit on it */
  leaveEnd(always = false) {
    const { scroller } = this.elements;
    if (!this.following || (!always && scroller.scrollHeight <= scroller.clientHeight)) return;
    this.following = false;
    this.#unseenFrom = this.ring.end;
    this.#changed();
  }

  #settle() {
    if (!this.#base || this.following) return;
    const top = this.#top;
    this.#base = 0;
    this.#resizeContent();
    this.#scrollTo(top);
    this.#place();
  }

  /** @param {number} top */
  #scrollTo(top) {
    const { scroller } = this.elements;
    scroller.scrollTop = top;
    this.#lastTop = scroller.scrollTop;
  }

  #resizeContent() {
    this.elements.content.style.height = `${Math.max(0, this.#base + this.heights.total)}px`;
  }

  #draw() {
    if (this.following) this.#drawEnd();
    else this.#drawMiddle();
    this.#changed();
  }

  #drawEnd() {
    const { scroller } = this.elements;
    this.#base = 0;
    // Again if rows turn out to be lower than estimated, and leave room for more.
    for (let i = 0; i < 3; i++) {
      const from = this.heights.find(this.heights.total - scroller.clientHeight - MARGIN);
      if (i > 0 && from >= this.#from) break;
      this.#have(from, this.ring.end);
    }
    this.#resizeContent();
    this.#place();
    this.#scrollTo(scroller.scrollHeight);
  }

  #drawMiddle() {
    const { scroller } = this.elements;
    if (this.#top < 0 || (this.#base < 0 && this.#top + this.#base < MARGIN)) this.#settle();
    const top = this.#top;
    const anchor = this.heights.find(Math.max(0, top));
    const within = top - this.heights.offset(anchor);
    const from = this.heights.find(Math.max(0, top - MARGIN));
    const to = this.heights.find(top + scroller.clientHeight + MARGIN) + 1;
    this.#have(from, Math.min(to, this.ring.end));
    this.#base -= this.heights.offset(anchor) + within - top;
    this.#resizeContent();
    this.#place();
    if (top + scroller.clientHeight >= this.heights.total - AT_END) this.#unseenFrom = this.ring.end;
  }

  /** Have rows for these lines, and their true heights. @param {number} from @param {number} to */
  #have(from, to) {
    this.#from = this.#rows.show(from, to);
    this.#rows.measure((seq, height) => this.heights.set(seq, height));
  }

  /** Put the rows where they belong. */
  #place() {
    const { content, rows } = this.elements;
    rows.style.transform = `translateY(${this.#base + this.heights.offset(this.#from)}px)`;
    if (!this.look.wrap && rows.scrollWidth > this.#widest) {
      this.#widest = rows.scrollWidth;
      content.style.minWidth = `${this.#widest}px`;
    }
  }

  #measureProbe() {
    const { probe } = this.elements;
    const message = /** @type {HTMLElement} */ (probe.querySelector('.m'));
    const ruler = /** @type {HTMLElement} */ (message.firstElementChild);
    const width = ruler.getBoundingClientRect().width / (ruler.textContent?.length ?? 1);
    const lineHeight = parseFloat(getComputedStyle(message).lineHeight);
    this.#oneLine = probe.getBoundingClientRect().height;
    this.#moreLines = lineHeight || this.#oneLine;
    // A message is as wide as its text, or as all that is left of the row.
    const end = probe.getBoundingClientRect().right - parseFloat(getComputedStyle(probe).paddingRight);
    const room = end - message.getBoundingClientRect().left;
    this.look.columns = Math.max(10, Math.floor(room / width) || 80);
  }

  /** @param {MouseEvent} event @param {(seq: number) => void} chosen */
  #clicked(event, chosen) {
    const target = /** @type {Element} */ (event.target);
    const row = target.closest('.row');
    if (!(row instanceof HTMLElement) || target.closest('a')) return;
    const seq = Number(row.dataset.seq);
    if (target.closest('.fold')) this.toggle(seq);
    else if (document.getSelection()?.isCollapsed ?? true) {
      this.leaveEnd(true);
      this.select(seq);
      chosen(seq);
    }
  }
}
