// The histogram: lines over the last minutes by level, with marks for Fly's own events. A click, or
// the arrow keys and Enter, go to the lines of a bar. It is drawn on a canvas, a few times a
// second.

import { GROUPS } from './bins.js';
import { KINDS } from '../text/fly.js';
import { clockTime, count, perSecond } from '../text/time.js';

/** @typedef {import('./bins.js').Bar} Bar */
/** @typedef {import('./bins.js').Mark} Mark */
/** @typedef {import('./coverage.js').Coverage} Coverage */

const BAR = 5; // pixels from one bar to the next
const LANE = 10; // pixels above the bars, for marks
// The least height of errors in a bar, so that one error among thousands of lines is visible.
const LEAST_ERROR = 2;
// The histogram moves on with time, and it is drawn sooner after new lines.
const REDRAW_MS = 1_000;
const SOON_MS = 250;

/** The bars that the cursor moves by, for each key. */
const STEPS = new Map([['ArrowLeft', -1], ['ArrowRight', 1], ['Home', -1e9], ['End', 1e9]]);

// Why the page may lack lines of a bar.
const WHY = {
  'let go': 'let go by this page; click to see the lines before it',
  unloaded: 'not loaded; click to load earlier lines',
  forgotten: 'not held by the service',
  unasked: 'before the start of the filter',
};
// Pixels between the lines with which a part without lines is hatched.
const HATCH = 8;

// The kinds of marks, the most serious last.
const RANKS = ['health', 'restart', 'deploy', 'release', 'proxy', 'watch'];
// Pixels from the top in which a click means a mark.
const MARKS_REACH = 14;

export class Histogram {
  /** @type {Bar[]} */
  #bars = [];
  #timer = 0;
  #cursor = -1;

  /**
   * @param {{slider: HTMLElement, canvas: HTMLCanvasElement, tip: HTMLElement}} elements
   * @param {{bins: import('./bins.js').Bins, prefs: import('./prefs.js').Prefs,
   *   jump: (seq: number) => void, coverage: () => Coverage | null, load: () => boolean,
   *   fired: () => Mark[], pressed: (mark: Mark) => boolean}} options
   *   `jump`: go to a line; -1 if there is none; `coverage`: what the page has; `load`: get what it
   *   lacks, and return whether that can be got; `fired`: return marks that are not of lines; `pressed`: a mark was pressed; return
   *   whether that means something
   */
  constructor(elements, { bins, prefs, jump, coverage, load, fired, pressed }) {
    this.elements = elements;
    this.bins = bins;
    this.prefs = prefs;
    this.#coverage = coverage;
    this.#fired = fired;
    const go = (/** @type {number} */ index) => {
      const bar = this.#bars[index];
      const isLoaded = bar && !bar.total && this.#isMissing(bar) && load();
      if (!isLoaded) jump(this.#nearest(index));
    };
    const { slider } = elements;
    slider.addEventListener('pointermove', (event) => this.#point(this.#barAt(event.offsetX)));
    slider.addEventListener('pointerleave', () => this.#point(-1));
    slider.addEventListener('blur', () => this.#point(-1));
    slider.addEventListener('click', (event) => {
      const mark = event.offsetY < MARKS_REACH ? this.#markAt(event.offsetX) : null;
      if (!mark || !pressed(mark)) go(this.#barAt(event.offsetX));
    });
    slider.addEventListener('keydown', (event) => {
      const step = STEPS.get(event.key);
      if (step) {
        const from = this.#cursor < 0 ? this.#bars.length : this.#cursor;
        this.#point(Math.min(Math.max(from + step, 0), this.#bars.length - 1));
      } else if (event.key === 'Enter' && this.#cursor >= 0) {
        // The keys reach no mark beside its bar, so they mean the mark of a watch before the lines.
        const bar = this.#bars[this.#cursor];
        const fired = this.#marksIn(bar.start, bar.start + bar.seconds * 1000)
          .find(({ kind }) => kind === 'watch');
        if (!fired || !pressed(fired)) go(this.#cursor);
      } else return;
      event.preventDefault();
      event.stopPropagation();
    });
    new ResizeObserver(() => this.draw()).observe(slider);
    setInterval(() => this.draw(), REDRAW_MS);
  }

  #coverage;
  #fired;

  /** The marks from a time on, and before another one. @param {number} start @param {number} end */
  #marksIn(start, end) {
    return [...this.bins.marks, ...this.#fired()].filter(({ time }) => time >= start && time < end);
  }

  /** Return the mark that is drawn nearest to a position, if one is under it. @param {number} x */
  #markAt(x) {
    const bar = this.#bars[this.#barAt(x)];
    if (!bar) return null;
    const length = bar.seconds * 2_000;
    const from = this.#bars[0].start;
    const start = from + Math.floor((bar.start - from) / length) * length;
    for (const away of [0, -1, 1]) {
      const marks = this.#marksIn(start + away * length, start + (away + 1) * length);
      marks.sort((a, b) => RANKS.indexOf(b.kind) - RANKS.indexOf(a.kind));
      if (marks.length) return marks[0];
    }
    return null;
  }
  /** As it was when the histogram was drawn. @type {Coverage | null} */
  #drawn = null;

  /** Whether the page may lack lines of a bar. @param {Bar} bar */
  #isMissing({ start, seconds }) {
    return start + seconds * 1000 <= (this.#drawn?.from ?? -Infinity);
  }

  /** Draw soon, because there are new lines. */
  soon() {
    this.#timer ||= Number(setTimeout(() => this.draw(), SOON_MS));
  }

  draw() {
    clearTimeout(this.#timer);
    this.#timer = 0;
    const { slider, canvas } = this.elements;
    const width = slider.clientWidth;
    const height = slider.clientHeight;
    if (document.hidden || !width || !height) return;
    const scale = devicePixelRatio;
    if (canvas.width !== Math.round(width * scale) || canvas.height !== Math.round(height * scale)) {
      canvas.width = Math.round(width * scale);
      canvas.height = Math.round(height * scale);
    }
    const context = /** @type {CanvasRenderingContext2D} */ (canvas.getContext('2d'));
    context.setTransform(scale, 0, 0, scale, 0, 0);
    context.clearRect(0, 0, width, height);
    const style = getComputedStyle(slider);
    const seconds = Math.max(1, Math.ceil((this.prefs.span * BAR) / width));
    const bars = this.bins.bars(Date.now(), Math.floor(width / BAR), seconds);
    this.#bars = bars;
    slider.setAttribute('aria-valuemax', String(bars.length - 1));
    const most = Math.max(1, ...bars.map((bar) => bar.total));
    const room = height - LANE;
    this.#drawn = this.#coverage();
    const missing = bars.filter((bar) => this.#isMissing(bar)).length;
    if (missing) drawMissing(context, missing * BAR, height, style.getPropertyValue('--faint'));
    bars.forEach((bar, index) => {
      let bottom = height;
      bar.counts.forEach((lines, group) => {
        if (!lines) return;
        const least = group === 0 ? LEAST_ERROR : 0.5;
        const size = Math.max(least, (lines / most) * room);
        context.fillStyle = style.getPropertyValue(`--bar-${GROUPS[group]}`);
        context.fillRect(index * BAR, bottom - size, BAR - 1, size);
        bottom -= size;
      });
    });
    this.#drawMarks(context, style, bars);
    if (bars[this.#cursor]) {
      context.fillStyle = style.getPropertyValue('--cursor');
      context.fillRect(this.#cursor * BAR - 1, 0, BAR + 1, height);
    }
    if (most > 1) {
      const text = `peak ${perSecond(most / seconds)}`;
      context.font = '10px system-ui, sans-serif';
      context.fillStyle = style.getPropertyValue('--surface');
      context.fillRect(0, 0, context.measureText(text).width + 10, LANE + 1);
      context.fillStyle = style.getPropertyValue('--faint');
      context.fillText(text, 4, LANE - 1);
    }
  }

  /** @param {CanvasRenderingContext2D} context
   * @param {CSSStyleDeclaration} style @param {Bar[]} bars */
  #drawMarks(context, style, bars) {
    if (!bars.length) return;
    context.font = '9px system-ui, sans-serif';
    context.textAlign = 'center';
    // Each position shows only its most serious mark, because marks on top of each other are
    // unreadable.
    const ranks = new Map();
    for (const { time, kind } of [...this.bins.marks, ...this.#fired()]) {
      const position = Math.floor((time - bars[0].start) / (bars[0].seconds * 2_000));
      const rank = RANKS.indexOf(kind);
      if (position >= 0 && rank > (ranks.get(position) ?? -1)) ranks.set(position, rank);
    }
    for (const [position, rank] of ranks) {
      context.fillStyle = style.getPropertyValue(`--mark-${RANKS[rank]}`);
      context.fillText(KINDS[RANKS[rank]].sign, (position * 2 + 1) * BAR, LANE - 1);
    }
    context.textAlign = 'start';
  }

  /** @param {number} x */
  #barAt(x) {
    return Math.min(Math.max(Math.floor(x / BAR), 0), this.#bars.length - 1);
  }

  /** Return the first line of a bar, or of the nearest bar with lines; -1 if no bar has any.
   * @param {number} index */
  #nearest(index) {
    for (let away = 0; away < this.#bars.length; away++) {
      for (const near of [index - away, index + away]) {
        const bar = this.#bars[near];
        if (bar && bar.first >= 0) return bar.first;
      }
    }
    return -1;
  }

  /** Describe a bar in the tip. @param {number} index of the bar; -1 for none */
  #point(index) {
    const { slider, tip } = this.elements;
    this.#cursor = index;
    this.#drawn = this.#coverage();
    const bar = this.#bars[index];
    tip.hidden = !bar;
    if (bar) {
      const end = bar.start + bar.seconds * 1000;
      const marks = this.#marksIn(bar.start, end);
      const levels = bar.counts
        .map((lines, group) => (lines ? `${lines} ${GROUPS[group]}` : ''))
        .filter(Boolean);
      const clock = this.prefs.clock === 'utc' ? 'utc' : 'local';
      const text = [
        clockTime(bar.start, clock, bar.start).slice(0, 8),
        ...(!this.#isMissing(bar) || bar.total
          ? [count(bar.total, 'line') + (levels.length ? ` (${levels.join(', ')})` : '')] : []),
        ...(this.#isMissing(bar) ? [WHY[/** @type {Coverage} */ (this.#drawn).why]] : []),
        ...marks.slice(0, 3).map(({ kind, text: words }) => `${KINDS[kind].sign} ${words.slice(0, 80)}`),
      ].join(' · ');
      tip.textContent = text;
      slider.setAttribute('aria-valuenow', String(index));
      slider.setAttribute('aria-valuetext', text);
      const left = Math.min(index * BAR, slider.clientWidth - tip.offsetWidth - 8);
      tip.style.transform = `translateX(${Math.max(4, left)}px)`;
    }
    this.draw();
  }
}

/** Hatch the part of the histogram whose lines the page lacks.
 * @param {CanvasRenderingContext2D} context @param {number} width @param {number} height
 * @param {string} colour */
function drawMissing(context, width, height, colour) {
  context.save();
  context.beginPath();
  context.rect(0, LANE, width - 1, height - LANE);
  context.clip();
  context.globalAlpha = 0.45;
  context.strokeStyle = colour;
  context.beginPath();
  for (let x = -height; x < width; x += HATCH) {
    context.moveTo(x, height);
    context.lineTo(x + height, 0);
  }
  context.moveTo(width - 1.5, LANE);
  context.lineTo(width - 1.5, height);
  context.stroke();
  context.restore();
}
