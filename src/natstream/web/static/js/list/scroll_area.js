// The area that the list scrolls in: the scroll position, the size of the content, and the position
// of the rows in it. Distances are in pixels.

export class ScrollArea {
  /** The distance from the top of the content to the first row. */
  base = 0;
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

  /** The height of the screen. */
  get height() {
    return this.scroller.clientHeight;
  }

  /** The distance from the bottom of the screen to the end of the content. */
  get below() {
    return this.scroller.scrollHeight - this.height - this.scroller.scrollTop;
  }

  /** Whether the whole content is on the screen. */
  get isWhole() {
    return this.scroller.scrollHeight <= this.height;
  }

  /** @param {number} top the distance from the top of the content */
  scrollTo(top) {
    this.scroller.scrollTop = top;
    this.#lastTop = this.scroller.scrollTop;
  }

  scrollToEnd() {
    this.scrollTo(this.scroller.scrollHeight);
  }

  /** Return how far the reader has scrolled since the last call; 0 if only this object has
   * scrolled. */
  readMove() {
    const move = this.scroller.scrollTop - this.#lastTop;
    this.#lastTop += move;
    return move;
  }

  /** @param {number} total the height of all rows */
  resize(total) {
    this.content.style.height = `${Math.max(0, this.base + total)}px`;
  }

  /** Forget the width and the base, because all rows will be others. */
  reset() {
    this.base = this.#widest = 0;
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
}
