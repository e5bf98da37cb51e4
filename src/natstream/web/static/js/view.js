// The list: a window of rows on up to 100,000 lines. In: entries. Out: a scroll that stays put.
//
// Rows may differ in height. Each has an estimate from the length of its text, which the height
// measured replaces once the row has been shown. What keeps the picture still is `base`, the
// distance from the top of the scrolled content to the first row: lines forgotten at the top,
// and estimates corrected above the screen, are taken up by it, so that the scroll position need
// not be written while a finger or a wheel moves it. It is brought back to 0 when all is calm.

import { Heights } from './heights.js';
import { Ring } from './ring.js';
import { buildRow, estimateLines, setTime } from './row.js';
import { stripAnsi } from './ansi.js';
import { groupOf } from './bins.js';

/** @typedef {import('./types.js').Entry} Entry */

// Rows kept ready above and below the screen, in pixels: a turn of the wheel.
const MARGIN = 400;
// Far more than a screen holds; a bound on what a frame can cost.
const MOST_ROWS = 400;
// While somebody reads, this many lines stay above the screen, to scroll back to.
const KEPT_ABOVE = 1_000;
// Closer to the end than this is at the end.
const AT_END = 4;
// Without scroll events for this long, the scrolling has ended.
const CALM_MS = 150;
// Nobody reads faster than this: lines that flow are drawn 20 times a second, and less often where
// that would take more than this share of the time. What hands do is drawn at once.
const FLOW_MS = 50;
const SHARE = 0.25;

export class View {
  following = true;
  /** The row that is chosen. @type {number | null} */
  selected = null;
  /** The first line that arrived after the end was left. */
  #unseenFrom = 0;
  #base = 0;
  #lastTop = 0;
  #widest = 0;
  /** @type {Map<number, HTMLElement>} */
  #nodes = new Map();
  /** Rows whose height is not known. @type {Set<number>} */
  #unmeasured = new Set();
  /** @type {Set<number>} */
  #opened = new Set();
  #oneLine = 20;
  #moreLines = 18;
  #timer = 0;
  #frame = 0;
  #notBefore = 0;
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
      if (this.ring.full) this.#forgetFirst();
      this.ring.push(entry);
      this.heights.push(this.#estimate(entry));
    }
    this.schedule();
  }

  clear() {
    this.ring.clear();
    this.heights.reset(this.ring.end);
    this.#dropNodes();
    this.#opened.clear();
    this.selected = null;
    this.#base = this.#widest = 0;
    this.#unseenFrom = this.ring.end;
    this.following = true;
    this.schedule();
    this.#changed();
  }

  /** A line says something else now. @param {Entry} entry */
  refresh(entry) {
    for (const seq of this.#nodes.keys()) {
      if (this.ring.at(seq) === entry) this.#dropNode(seq);
    }
    this.schedule();
  }

  /** All lines look different now, but are as tall as before. */
  repaint() {
    this.#dropNodes();
    this.schedule();
  }

  /** The times have moved on. */
  tick() {
    for (const [seq, node] of this.#nodes) {
      const entry = this.ring.at(seq);
      const time = node.firstElementChild;
      if (entry && time instanceof HTMLElement) setTime(time, entry.time, this.look.clock);
    }
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
    this.#dropNodes();
    this.#base = this.#widest = 0;
    this.elements.content.style.minWidth = '';
    if (!this.following) {
      this.#resizeContent();
      this.#scrollTo(this.heights.offset(anchor) - Math.max(below, -this.heights.get(anchor)));
    }
    this.#render();
  }

  /** Go to the newest line and stay there. */
  follow() {
    this.following = true;
    this.select(null);
    this.#render();
    this.#changed();
  }

  /** Go to the oldest line. */
  toStart() {
    this.leaveEnd(true);
    this.select(null);
    this.#base = 0;
    this.#scrollTo(0);
    this.#render();
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
      this.#render();
    }
    if (this.#maxTop - this.elements.scroller.scrollTop <= AT_END) this.#unseenFrom = this.ring.end;
    this.#changed();
  }

  /** @param {number | null} seq */
  select(seq) {
    const before = this.selected;
    this.selected = seq;
    for (const one of [before, seq]) {
      if (one !== null) this.#nodes.get(one)?.classList.toggle('chosen', one === seq);
    }
  }

  /** Choose the next or previous line and bring it onto the screen. @param {1 | -1} step */
  step(step) {
    const from = this.selected ?? (step > 0 ? this.#firstVisible - 1 : this.#lastVisible + 1);
    const seq = Math.min(Math.max(from + step, this.ring.first), this.ring.end - 1);
    if (!this.ring.length) return;
    const top = this.heights.offset(seq);
    const { clientHeight } = this.elements.scroller;
    if (top < this.#top || top + this.heights.get(seq) > this.#top + clientHeight) this.show(seq);
    else {
      if (seq < this.ring.end - 1) this.leaveEnd(true);
      this.select(seq);
    }
  }

  /**
   * Go to the next line that matches; without a search, to the next that stands out.
   * @param {1 | -1} step @returns {boolean} whether there is one
   */
  find(step) {
    const start = this.selected ?? (step > 0 ? this.#firstVisible - 1 : this.#lastVisible + 1);
    for (let seq = start + step; seq >= this.ring.first && seq < this.ring.end; seq += step) {
      const entry = /** @type {Entry} */ (this.ring.at(seq));
      if (this.#standsOut(entry)) {
        this.show(seq);
        return true;
      }
    }
    return false;
  }

  /** Open or fold a row. @param {number} seq @param {boolean} [opened] */
  toggle(seq, opened = !this.#opened.has(seq)) {
    if (opened) this.#opened.add(seq);
    else this.#opened.delete(seq);
    this.leaveEnd(true);
    this.#dropNode(seq);
    this.#unmeasured.add(seq);
    this.#render();
  }

  /** Render soon: with the next frame, or a later one while lines flow fast. */
  schedule() {
    const wait = this.#notBefore - performance.now();
    if (wait <= 4) this.#renderNext();
    else this.#timer ||= Number(setTimeout(() => this.#renderNext(), wait));
  }

  #renderNext() {
    this.#frame ||= requestAnimationFrame(() => this.#render());
  }

  /** @param {Entry} entry */
  #standsOut(entry) {
    const { matcher } = this.look;
    if (matcher) return !entry.note && matcher.test(stripAnsi(entry.message));
    return groupOf(entry.level) === 0 || entry.kind !== '' || entry.note !== null;
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
    this.#dropNode(seq);
    this.#opened.delete(seq);
    if (this.selected === seq) this.selected = null;
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
    this.#renderNext();
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
    this.#place(Math.min(...this.#nodes.keys()));
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

  #render() {
    cancelAnimationFrame(this.#frame);
    clearTimeout(this.#timer);
    this.#frame = this.#timer = 0;
    const started = performance.now();
    if (this.following) this.#renderEnd();
    else this.#renderMiddle();
    const spent = performance.now() - started;
    this.#notBefore = started + Math.max(FLOW_MS, spent / SHARE);
    this.#changed();
  }

  #renderEnd() {
    const { scroller } = this.elements;
    this.#base = 0;
    let from = this.ring.end;
    // Rows may turn out to be lower than estimated, and leave room for more.
    for (let i = 0; i < 3; i++) {
      from = this.heights.find(this.heights.total - scroller.clientHeight - MARGIN);
      if (this.#nodes.has(from) && i > 0) break;
      this.#sync(from, this.ring.end);
      this.#measure();
    }
    this.#resizeContent();
    this.#place(from);
    this.#scrollTo(scroller.scrollHeight);
  }

  #renderMiddle() {
    const { scroller } = this.elements;
    if (this.#top < 0 || (this.#base < 0 && this.#top + this.#base < MARGIN)) this.#settle();
    const top = this.#top;
    const anchor = this.heights.find(Math.max(0, top));
    const within = top - this.heights.offset(anchor);
    const from = this.heights.find(Math.max(0, top - MARGIN));
    const to = this.heights.find(top + scroller.clientHeight + MARGIN) + 1;
    this.#sync(from, Math.min(to, this.ring.end));
    this.#measure();
    this.#base -= this.heights.offset(anchor) + within - top;
    this.#resizeContent();
    this.#place(from);
    if (top + scroller.clientHeight >= this.heights.total - AT_END) this.#unseenFrom = this.ring.end;
  }

  /** @param {number} from the first row there is an element for */
  #place(from) {
    const { content, rows } = this.elements;
    if (!this.#nodes.size) return;
    rows.style.transform = `translateY(${this.#base + this.heights.offset(from)}px)`;
    if (!this.look.wrap && rows.scrollWidth > this.#widest) {
      this.#widest = rows.scrollWidth;
      content.style.minWidth = `${this.#widest}px`;
    }
  }

  /** Have elements for the rows from `from` up to `to`, in order. @param {number} from @param {number} to */
  #sync(from, to) {
    const { rows } = this.elements;
    const first = Math.max(from, to - MOST_ROWS);
    for (const [seq, node] of this.#nodes) {
      if (seq < first || seq >= to) {
        node.remove();
        this.#nodes.delete(seq);
        this.#unmeasured.delete(seq);
      }
    }
    /** @type {ChildNode | null} */
    let next = rows.firstChild;
    for (let seq = first; seq < to; seq++) {
      const known = this.#nodes.get(seq);
      if (known) {
        next = known.nextSibling;
        continue;
      }
      const entry = this.ring.at(seq);
      if (!entry) continue;
      const node = buildRow(entry, this.look, this.#opened.has(seq));
      node.dataset.seq = String(seq);
      if (seq === this.selected) node.classList.add('chosen');
      rows.insertBefore(node, next);
      this.#nodes.set(seq, node);
      this.#unmeasured.add(seq);
    }
  }

  #measure() {
    for (const seq of this.#unmeasured) {
      const node = this.#nodes.get(seq);
      if (node) this.heights.set(seq, node.getBoundingClientRect().height);
    }
    this.#unmeasured.clear();
  }

  #measureProbe() {
    const { probe } = this.elements;
    const message = /** @type {HTMLElement} */ (probe.querySelector('.m'));
    const ruler = /** @type {HTMLElement} */ (message.firstElementChild);
    const width = ruler.getBoundingClientRect().width / (ruler.textContent?.length ?? 1);
    const lineHeight = parseFloat(getComputedStyle(message).lineHeight);
    this.#oneLine = probe.getBoundingClientRect().height;
    this.#moreLines = lineHeight || this.#oneLine;
    this.look.columns = Math.max(10, Math.floor(message.clientWidth / width) || 80);
  }

  #dropNodes() {
    this.elements.rows.replaceChildren();
    this.#nodes.clear();
    this.#unmeasured.clear();
  }

  /** @param {number} seq */
  #dropNode(seq) {
    this.#nodes.get(seq)?.remove();
    this.#nodes.delete(seq);
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
