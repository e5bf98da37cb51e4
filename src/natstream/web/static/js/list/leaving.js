// When a reader leaves the end of the list, so that it must stop to follow the newest line: with a wheel,
// a finger, a pen, the scroll bar, or the browser's own keys.
//
// New lines bring the list back to its end many times a second. So slow moves never add up in the scroll
// position, and they are added up here.

// A finger that moves less may still mean a tap, in pixels.
const DRAG = 8;
// The scroll position is exact to a pixel, since browsers round the heights.
const LEAST = 2;

export class Leaving {
  #leave;
  #startY = 0;
  /** How far the reader has moved up, in pixels. */
  #up = 0;

  /** @param {EventTarget} scroller @param {() => void} leave the reader leaves the end */
  constructor(scroller, leave) {
    this.#leave = leave;
    /** @param {string} type @param {(event: any) => void} handle */
    const on = (type, handle) => scroller.addEventListener(type, handle, { passive: true });
    on('wheel', ({ deltaY }) => { if (deltaY < 0) leave(); });
    on('touchstart', ({ touches }) => { this.#startY = touches[0].clientY; });
    on('touchmove', ({ touches }) => { if (touches.length === 1) this.#dragged(touches[0].clientY); });
    on('pointerdown', ({ clientY }) => { this.#startY = clientY; });
    on('pointermove', ({ pointerType, buttons, clientY }) => {
      if (pointerType === 'pen' && buttons) this.#dragged(clientY);
    });
  }

  /** The scroll position of the list, which follows the newest line, has moved.
   * @param {number} move in pixels, negative upwards
   * @param {number} below the distance from the bottom of the screen to the end */
  moved(move, below) {
    // At the end it was the browser: a smaller content or a larger screen has moved it there.
    if (below < 1) return;
    this.#up = Math.max(0, this.#up - move);
    if (this.#up < LEAST) return;
    this.#up = 0;
    this.#leave();
  }

  /** A finger or a pen has moved. Downwards it draws earlier lines onto the screen.
   * @param {number} y */
  #dragged(y) {
    if (y - this.#startY > DRAG) this.#leave();
  }
}
