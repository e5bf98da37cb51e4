// When to draw: with the next frame after the reader has scrolled, and less often for new lines.

// People do not read faster than 20 times a second. Where drawing takes long, it may use only this
// share of the time, so that a flood of lines neither freezes the page nor drains a battery.
const FLOW_MS = 50;
const SHARE = 0.25;

export class Pace {
  #draw;
  #timer = 0;
  #frame = 0;
  #notBefore = 0;

  /** @param {() => void} draw */
  constructor(draw) {
    this.#draw = draw;
  }

  /** Draw with the next frame. */
  next() {
    this.#frame ||= requestAnimationFrame(() => this.now());
  }

  /** Draw soon. */
  soon() {
    const wait = this.#notBefore - performance.now();
    if (wait <= 4) this.next();
    else this.#timer ||= Number(setTimeout(() => this.next(), wait));
  }

  /** Draw. */
  now() {
    cancelAnimationFrame(this.#frame);
    clearTimeout(this.#timer);
    this.#frame = this.#timer = 0;
    const started = performance.now();
    this.#draw();
    const spent = performance.now() - started;
    this.#notBefore = started + Math.max(FLOW_MS, spent / SHARE);
  }
}
