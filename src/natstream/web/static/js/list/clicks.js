// Which clicks are meant to press something: not those that select text, and not the second one of a
// double click on another control than the first, which has come under the pointer in between.

// Browsers and systems count two clicks within this time as one double click.
const DOUBLE_CLICK_MS = 500;
// A pointer that moves further than this, in pixels, drags.
const STILL = 5;
// A longer touch selects a word.
const LONG_PRESS_MS = 450;

// Keys that change what a click means.
const MODIFIERS = new Set(['Shift', 'Control', 'Alt', 'Meta']);
const CONTROLS = 'label, button, a, input, select, summary, [role=slider], [role=option], .row';

/** Give the clicks at one point to the control that the first of them has pressed. */
export function guardClicks() {
  let last = { time: -Infinity, x: 0, y: 0, control: '' };
  document.addEventListener('click', (event) => {
    if (!event.detail || !(event.target instanceof Element)) return; // not a pointer's click
    const { clientX: x, clientY: y, timeStamp: time } = event;
    const isRepeated = time - last.time < DOUBLE_CLICK_MS
      && Math.abs(x - last.x) <= STILL && Math.abs(y - last.y) <= STILL;
    const control = nameOf(event.target);
    last = { time, x, y, control: isRepeated ? last.control : control };
    if (!isRepeated || control === last.control) return;
    event.preventDefault();
    event.stopImmediatePropagation();
  }, { capture: true });
}

/** Return a name for the control that an element is in, which stays when the control is built again.
 * @param {Element} element */
function nameOf(element) {
  const control = /** @type {HTMLElement | null} */ (element.closest(CONTROLS));
  if (!control) return '';
  const row = /** @type {HTMLElement | null} */ (element.closest('.row'));
  // The label of a chip changes with its counts, and says whether the chip is pressed.
  const label = row?.dataset.seq || control.id || control.dataset.chip
    || control.getAttribute('aria-label') || control.textContent;
  return `${control.tagName} ${row ? control.className.replace(' chosen', '') : ''} ${label}`;
}

/** The pointer's way from its press on, which tells a click from a selection. */
export class Press {
  #pressed = { x: 0, y: 0, time: 0, isTouch: false };

  /** @param {HTMLElement} element @param {() => void} pressed the pointer is pressed on it */
  constructor(element, pressed) {
    element.addEventListener('pointerdown', (event) => {
      const { clientX: x, clientY: y, timeStamp: time } = event;
      const isTouch = event.pointerType === 'touch';
      this.#pressed = { x, y, time, isTouch };
      if (event.button === 0 && !isTouch) pressed(); // a finger may be about to scroll
    });
  }

  /** Whether a click selects nothing. @param {MouseEvent} event */
  isClick(event) {
    const { x, y, time, isTouch } = this.#pressed;
    return event.detail <= 1
      && !event.shiftKey && !event.ctrlKey && !event.metaKey && !event.altKey
      && Math.abs(event.clientX - x) <= STILL && Math.abs(event.clientY - y) <= STILL
      && !(isTouch && event.timeStamp - time > LONG_PRESS_MS)
      && (document.getSelection()?.isCollapsed ?? true);
  }
}

/** Does something when no second click can follow: after a while, or when the reader presses a key. */
export class AfterClick {
  #timer = 0;
  #action = () => {};

  constructor() {
    document.addEventListener('keydown', ({ key }) => {
      if (this.#timer && !MODIFIERS.has(key)) this.#now();
    }, { capture: true });
  }

  /** @param {() => void} action in place of the one before */
  run(action) {
    this.cancel();
    this.#action = action;
    this.#timer = Number(setTimeout(() => this.#now(), DOUBLE_CLICK_MS));
  }

  cancel() {
    clearTimeout(this.#timer);
    this.#timer = 0;
  }

  #now() {
    this.cancel();
    this.#action();
  }
}
