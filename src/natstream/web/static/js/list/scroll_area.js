// The area that the list scrolls in: the scroll position, the size of the content, and the position
// of the rows in it. Distances are in pixels.
//
// `top` is a position among the rows: the distance from the first row to the top of the screen.
// `base` is the difference to the scroll position. It is 0 in a list that stands still. It is the room
// above the first line where a line can only so stay where it was. And where the rows are higher than
// a browser can scroll, the scroll position is in proportion to `top`: a turn of the wheel moves the
// rows by as much as it always does, and `base` changes when the scrolling has ended.

/** The most pixels of content. Chromium and WebKit count 64ths of a physical pixel in 32 bits, so that
 * they scroll 33.5 million pixels divided by the ratio of the screen; Firefox scrolls 17.8 million. */
const highest = () => Math.min(15e6, 30e6 / devicePixelRatio);
// A movement by more screens than this is one of the scroll bar.
const JUMP = 3;

export class ScrollArea {
  base = 0;
  /** The height of all rows. */
  total = 0;
  /** Room above the first row and below the last one. */
  #above = 0;
  #under = 0;
  #lastTop = 0;
  #widest = 0;

  /** @param {{scroller: HTMLElement, content: HTMLElement, rows: HTMLElement}} elements */
  constructor({ scroller, content, rows }) {
    this.scroller = scroller;
    this.content = content;
    this.rows = rows;
  }

  /** The distance from the first row to the top of the screen. */
  get top() {
    return this.scroller.scrollTop - this.base;
  }

  /** `top` before the browser has moved the content, because the screen has another height. */
  get topBefore() {
    return this.#lastTop - this.base;
  }

  /** The height of the screen. */
  get height() {
    return this.scroller.clientHeight;
  }

  /** The distance from the bottom of the screen to the end of the content. */
  get below() {
    return this.total + this.#under - this.height - this.top;
  }

  /** Whether there is room above the first row, so that a line can stay where it was. */
  get hasRoom() {
    return this.#above > 0;
  }

  /** Whether the whole content is on the screen. */
  get isWhole() {
    return this.scroller.scrollHeight <= this.height;
  }

  /** Whether the screen is above the first row, or at an edge of the content but not of the rows. */
  get isBeyond() {
    const { scrollTop } = this.scroller;
    if (this.top < -this.#above) return true;
    if (!this.#isScaled) return false;
    return scrollTop <= 0 || scrollTop >= highest() - this.height;
  }

  /** Scroll to a position among the rows, or as near to it as there are rows.
   * @param {number} top @param {number} [total] the height of all rows */
  moveTo(top, total = this.total) {
    this.total = total;
    const from = this.#clamped(top + this.#above);
    this.base = this.#above;
    this.resize(total);
    this.scroller.scrollTop = this.#scrollTopOf(from);
    this.#lastTop = this.scroller.scrollTop;
    if (this.#isScaled) this.base = this.#lastTop - (from - this.#above);
  }

  /** Scroll to a position among the rows, with room where there are too few of them.
   * @param {number} top @param {number} total the height of all rows
   * @param {boolean} [above] whether there may be room above the first row */
  place(top, total, above = true) {
    this.#above = above ? Math.max(0, -top) : 0;
    this.#under = Math.max(0, top + this.height - total);
    this.moveTo(top, total);
  }

  /** @param {number} total the height of all rows */
  scrollToEnd(total) {
    this.#above = this.#under = 0;
    this.moveTo(Infinity, total);
  }

  /** Return how far the reader has scrolled since the last call; 0 if only this object has
   * scrolled. */
  readMove() {
    const { scrollTop } = this.scroller;
    const move = scrollTop - this.#lastTop;
    this.#lastTop = scrollTop;
    if (this.#isScaled && Math.abs(move) > JUMP * this.height) {
      const share = scrollTop / (highest() - this.height);
      this.base = scrollTop - (share * (this.#whole - this.height) - this.#above);
    }
    return move;
  }

  /** The scrolling has ended: bring `base` back. The rows stay where they are. */
  settle() {
    this.trim();
    if (this.#isScaled || this.base !== this.#above) this.moveTo(this.top);
  }

  /** Make the room as high as what of it is on the screen. It is higher than before if rows are lower
   * than estimated. @param {number} [total] the height of all rows */
  trim(total = this.total) {
    this.total = total;
    if (this.#above > 0) this.#above = Math.max(0, -this.top);
    if (this.#under > 0) this.#under = Math.max(0, this.top + this.height - this.total);
  }

  /** @param {number} total the height of all rows */
  resize(total) {
    this.total = total;
    const height = this.#isScaled ? highest() : Math.max(0, this.base + total + this.#under);
    this.content.style.height = `${height}px`;
  }

  /** Forget the width and the base, because all rows will be others. */
  reset() {
    this.base = this.#widest = this.#above = this.#under = 0;
  }

  /** Move the built rows to their position. @param {number} offset of the first one from the
   * first line
   * @param {boolean} wraps whether lines are wrapped, so that they never widen the content */
  moveRows(offset, wraps) {
    this.rows.style.transform = `translateY(${this.base + offset}px)`;
    if (!wraps && this.rows.scrollWidth > this.#widest) {
      this.#widest = this.rows.scrollWidth;
      this.content.style.minWidth = `${this.#widest}px`;
    }
  }

  get #whole() {
    return this.#above + this.total + this.#under;
  }

  get #isScaled() {
    return this.#whole > highest();
  }

  /** @param {number} from */
  #clamped(from) {
    return Math.max(0, Math.min(from, this.#whole - this.height));
  }

  /** @param {number} from a position in the whole content */
  #scrollTopOf(from) {
    if (!this.#isScaled) return from;
    return from / (this.#whole - this.height) * (highest() - this.height);
  }
}
