// The panel of patterns: which kinds of lines there are, which are new or have grown since the deploy.
// In: /api/patterns, asked again every few seconds while the panel is open and the page visible. Out:
// changes of the query, and lines to go to.
//
// The list must not move under the pointer, under a finger or below the focus. Meanwhile its figures
// change, but its order stays, and a button says that there is another one.

import { announce, arrange, byId, h } from '../dom.js';
import { refusalOf } from '../stream/request.js';
import { count } from '../text/time.js';
import { buildItem, updateItem } from './pattern_item.js';
import { beginAlike, caveats, nameOf, partsOf, quietText, spanText, summaryOf } from './pattern_words.js';

/** @typedef {import('./pattern_words.js').Answer} Answer */
/** @typedef {import('./pattern_words.js').Pattern} Pattern */
/**
 * @typedef {object} Parts
 * @property {import('../query/search.js').Search} search
 * @property {import('./neighbours.js').Neighbours} neighbours
 * @property {() => import('../text/time.js').Clock} clock
 * @property {() => void} closed   the focus was in the panel when it was closed
 */

const AGAIN_MS = 5_000;
// After the first line of a new release, readers wait to see what it has broken.
const RELEASE_MS = 30_000;
const AGAIN_AFTER_RELEASE_MS = 2_000;
const PATIENCE_MS = 15_000;
// A finger that has just moved the list may press something in it next.
const TOUCH_MS = 3_000;
// Without a newer release, this span is compared with the one before it.
const WITHOUT_DEPLOY = '10m';
// Texts of patterns that were in an answer once: the service remembers about as many.
const MOST_TEXTS = 3_000;

export class PatternPanel {
  #panel = byId('patterns', HTMLElement);
  #list = byId('patterns-list', HTMLElement);
  #choice = byId('patterns-compare', HTMLSelectElement);
  #button = byId('patterns-button', HTMLElement);
  #fresh = byId('patterns-fresh', HTMLButtonElement);
  #timer = 0;
  /** The number of questions, because an old answer must not replace a newer one. */
  #asked = 0;
  /** @type {Answer | null} */
  #answer = null;
  /** @type {Map<string, HTMLElement>} */
  #items = new Map();
  /** @type {Map<string, string>} */
  #texts = new Map();
  #isPointed = false;
  #touchedAt = -Infinity;
  #releasedAt = -Infinity;
  /** What the last question was about, to see whether the list is about something else now. */
  #about = '';

  /** @param {Parts} parts */
  constructor(parts) {
    this.parts = parts;
    this.#button.addEventListener('click', () => this.toggle());
    byId('patterns-close', HTMLElement).addEventListener('click', () => this.close());
    this.#choice.addEventListener('change', () => void this.#ask());
    this.#fresh.addEventListener('click', () => {
      this.#arrange();
      this.#list.querySelector('button')?.focus();
    });
    this.#list.addEventListener('pointerenter', ({ pointerType }) => {
      this.#isPointed = pointerType === 'mouse';
    });
    this.#list.addEventListener('pointerleave', () => {
      this.#isPointed = false;
      this.#draw();
    });
    for (const name of ['touchstart', 'touchmove', 'scroll']) {
      this.#panel.addEventListener(name, () => { this.#touchedAt = performance.now(); }, { passive: true });
    }
    document.addEventListener('visibilitychange', () => {
      if (!document.hidden && this.isOpen) void this.#ask();
    });
  }

  get isOpen() {
    return !this.#panel.hidden;
  }

  /** Show what has changed. @param {{deploy?: boolean}} [since] `deploy`: since the last deploy */
  open({ deploy = false } = {}) {
    if (deploy) this.#choice.value = 'deploy';
    this.#panel.hidden = false;
    this.#button.setAttribute('aria-expanded', 'true');
    this.#panel.focus({ preventScroll: true });
    void this.#ask().then(() => {
      if (this.#answer) announce(summaryOf(this.#answer));
    });
  }

  /** Open the panel if a mark is one of a deploy. @param {import('./bins.js').Mark} mark
   * @returns {boolean} whether it is */
  openAt({ kind }) {
    const isDeploy = kind === 'release' || kind === 'deploy';
    if (isDeploy) this.open({ deploy: true });
    return isDeploy;
  }

  toggle() {
    if (this.isOpen) this.close();
    else this.open();
  }

  get hasFocus() {
    return this.#panel.contains(document.activeElement);
  }

  close() {
    if (!this.isOpen) return;
    clearTimeout(this.#timer);
    this.#asked += 1;
    const hadFocus = this.hasFocus;
    this.#panel.hidden = true;
    this.#button.setAttribute('aria-expanded', 'false');
    if (hadFocus) this.parts.closed();
  }

  /** Ask at once if a new release has come. @param {import('../types.js').Entry[]} entries live ones */
  hear(entries) {
    if (!entries.some(({ kind }) => kind === 'release')) return;
    this.#releasedAt = performance.now();
    if (this.isOpen && !document.hidden) void this.#ask();
  }

  /** Another query is asked. */
  update() {
    void this.#nameChosen();
    if (!this.isOpen) return;
    if (this.parts.search.patternParams.toString() === this.#about) this.#draw();
    else void this.#ask();
  }

  async #ask() {
    clearTimeout(this.#timer);
    const asked = ++this.#asked;
    const params = this.parts.search.patternParams;
    const about = params.toString();
    const compare = this.#choice.value;
    this.#panel.setAttribute('aria-busy', 'true');
    let answer = await askPatterns(params, compare);
    if (typeof answer !== 'string' && compare === 'deploy' && !answer.compare) {
      const { older_deploys } = answer;
      answer = await askPatterns(params, WITHOUT_DEPLOY);
      if (typeof answer !== 'string') answer = { ...answer, older_deploys };
    }
    if (asked !== this.#asked) return;
    this.#panel.removeAttribute('aria-busy');
    const problem = typeof answer === 'string' ? answer : '';
    byId('patterns-error', HTMLElement).textContent = problem;
    if (typeof answer !== 'string') {
      const isOther = about + compare !== this.#about + this.#choice.dataset.shown;
      this.#about = about;
      this.#choice.dataset.shown = compare;
      this.#answer = answer;
      this.#learn(answer);
      if (isOther) this.#arrange();
      else this.#draw();
    }
    const isNew = performance.now() - this.#releasedAt < RELEASE_MS;
    this.#timer = Number(setTimeout(() => {
      if (!document.hidden) void this.#ask();
    }, isNew ? AGAIN_AFTER_RELEASE_MS : AGAIN_MS));
  }

  /** Whether the reader is about to press something in the list. */
  get #isHeld() {
    const active = document.activeElement;
    return this.#isPointed || performance.now() - this.#touchedAt < TOUCH_MS
      || (this.#list.contains(active) && active !== this.#list);
  }

  /** Show the answer: its figures at once, its order if no row moves under the reader's hand. */
  #draw() {
    if (!this.#answer) return;
    if (!this.#isHeld || !this.#items.size) {
      this.#arrange();
      return;
    }
    let unseen = 0;
    let changed = 0;
    for (const pattern of this.#answer.patterns) {
      const part = this.#items.get(pattern.id)?.closest('section')?.dataset.part;
      if (part === undefined) unseen += 1;
      else if (part !== (pattern.verdict ?? '')) changed += 1;
      this.#update(pattern);
    }
    this.#fresh.hidden = !unseen && !changed;
    const news = [unseen && count(unseen, 'more pattern'), changed && `${changed} changed`];
    this.#fresh.textContent = `${news.filter(Boolean).join(', ')}: show`;
    this.#sayWhat(this.#answer);
  }

  /** Put the patterns into the order of the answer. */
  #arrange() {
    const { parts: { search, neighbours } } = this;
    const answer = this.#answer;
    if (!answer) return;
    const shown = new Map();
    const actions = {
      only: (/** @type {string} */ id) => this.#show(() =>
        (search.wish.query.fields.pattern.includes(id) ? search.toggle('pattern', id) : search.only('pattern', id))),
      hide: (/** @type {string} */ id) => this.#show(() =>
        (search.wish.query.excluded.pattern.includes(id) ? search.toggle('pattern', id) : search.exclude('pattern', id))),
      example: (/** @type {Pattern} */ { example }) => this.#show(() => void neighbours.open(example.id)),
      since: (/** @type {Pattern} */ { id, first_ms }) => this.#show(() => {
        const params = search.patternParams;
        params.set('pattern', id);
        void neighbours.openAt(first_ms, params.toString());
      }),
    };
    const sections = partsOf(answer).map(({ verdict, title, patterns }) => {
      const section = this.#list.querySelector(`section[data-part="${verdict}"]`)
        ?? h('section', { 'data-part': verdict }, h('h3', {}), h('ul', {}));
      /** @type {Element} */ (section.firstElementChild).textContent = `${title} · ${patterns.length}`;
      arrange(/** @type {Element} */ (section.lastElementChild), patterns.map((pattern) => {
        const item = this.#items.get(pattern.id) ?? buildItem(pattern, actions);
        shown.set(pattern.id, item);
        return item;
      }));
      return section;
    });
    arrange(this.#list, sections);
    this.#items = shown;
    this.#fresh.hidden = true;
    for (const pattern of answer.patterns) this.#update(pattern);
    this.#sayWhat(answer);
  }

  /** @param {Pattern} pattern */
  #update(pattern) {
    const item = this.#items.get(pattern.id);
    const { fields, excluded } = this.parts.search.wish.query;
    if (item) {
      updateItem(item, pattern, {
        clock: this.parts.clock(),
        isOnly: fields.pattern.includes(pattern.id),
        isHidden: excluded.pattern.includes(pattern.id),
        isStruck: excluded.pattern.some((id) => beginAlike(id, pattern.id)),
        alike: this.#answer?.patterns.filter(({ id }) => id !== pattern.id && beginAlike(id, pattern.id)).length ?? 0,
        split: this.#answer?.compare !== null,
      });
    }
  }

  /** @param {Answer} answer */
  #sayWhat(answer) {
    byId('patterns-span', HTMLElement).textContent =
      [spanText(answer, this.#choice.value, this.parts.clock()), quietText(answer)].filter(Boolean).join(' ');
    byId('patterns-caveats', HTMLElement).textContent = caveats(answer).join(' ');
  }

  /** Do something with the list of lines, which a telephone shows below the panel.
   * @param {() => void} action */
  #show(action) {
    if (matchMedia('(max-width: 700px)').matches) this.close();
    action();
  }

  /** Learn the texts of patterns, which their chips show in place of their ids. @param {Answer} answer */
  #learn(answer) {
    for (const pattern of answer.patterns) this.#texts.set(pattern.id, nameOf(pattern));
    while (this.#texts.size > MOST_TEXTS) this.#texts.delete(/** @type {any} */ (this.#texts.keys().next().value));
    this.parts.search.setPatterns(this.#texts);
  }

  /** Ask for the texts of patterns that a link has brought. */
  async #nameChosen() {
    const { fields, excluded } = this.parts.search.wish.query;
    const unknown = [...fields.pattern, ...excluded.pattern].filter((id) => !this.#texts.has(id));
    if (!unknown.length) return;
    for (const id of unknown) this.#texts.set(id, id); // so that it is asked for once
    const answer = await askPatterns(new URLSearchParams({ pattern: unknown.join(',') }), '');
    if (typeof answer !== 'string') this.#learn(answer);
  }
}

/** Ask for patterns. @param {URLSearchParams} filter @param {string} compare empty for no comparison
 * @returns {Promise<Answer | string>} a sentence if there is no answer */
async function askPatterns(filter, compare) {
  const params = new URLSearchParams(filter);
  if (compare) params.set('compare', compare);
  try {
    const response = await fetch(`api/patterns?${params}`, { signal: AbortSignal.timeout(PATIENCE_MS) });
    return response.ok ? await response.json() : (await refusalOf(response)).detail;
  } catch {
    return 'The service cannot be reached.';
  }
}
