// A line in context: a list of its neighbours over the list of the stream, whatever the filter is.
//
// The list below stays as it is, so that the way back leads to the same lines, the same scroll
// position and the same chosen line. The address names the line, so that the browser's "back" closes
// the context as well.

import { byId, h, hint } from '../dom.js';
import { Navigation } from '../list/navigation.js';
import { View } from '../list/view.js';
import { WIDEST_APP } from '../list/lines.js';
import { askAround } from '../stream/around.js';
import { revealed } from '../text/readable.js';
import { clockTime, count } from '../text/time.js';

/** @typedef {import('../types.js').Entry} Entry */
/** @typedef {'all' | 'app' | 'machine'} Scope */

// A screen or two each way. "Earlier" and "later" ask for more, up to the limit of the service.
const FIRST_LINES = 50;
const MORE_LINES = 200;
const MOST_LINES = 1_000;

export class Neighbours {
  /** The id of the line; empty while the context is closed. */
  id = '';
  /** The query of the address when the context was opened. */
  #address = '';
  /** @type {Entry | undefined} */
  #entry;
  /** @type {Scope} */
  #scope = 'all';
  #before = FIRST_LINES;
  #after = FIRST_LINES;
  /** The number of questions, because an old answer must not replace a newer one. */
  #asked = 0;
  #panel = byId('neighbours', HTMLElement);
  #title = byId('neighbours-title', HTMLElement);
  #scopes = byId('neighbours-scopes', HTMLElement);
  #below = byId('lines', HTMLElement);
  /** The names of the columns, which stand above the list that is shown. */
  #heads = byId('heads', HTMLElement);

  /**
   * @param {import('../list/row.js').Look} look
   * @param {import('./details.js').Details} details
   * @param {{shown: (rows: HTMLElement) => void, closed: () => void}} handlers
   */
  constructor(look, details, { shown, closed }) {
    const scroller = byId('neighbours-lines', HTMLElement);
    this.view = new View({
      scroller, content: byId('neighbours-content', HTMLElement),
      rows: byId('neighbours-rows', HTMLElement), probe: byId('probe', HTMLElement),
    }, {
      // The neighbours are not filtered.
      look: Object.create(look, { narrowed: { value: false } }),
      changed: () => {},
    });
    this.navigation = new Navigation(this.view, details);
    this.#details = details;
    this.#shown = shown;
    this.#closed = closed;
    byId('neighbours-back', HTMLElement).addEventListener('click', () => this.leave());
    byId('neighbours-earlier', HTMLElement).addEventListener('click', () => void this.#more(-1));
    byId('neighbours-later', HTMLElement).addEventListener('click', () => void this.#more(1));
  }

  #details;
  #shown;
  #closed;

  get isOpen() {
    return this.id !== '';
  }

  /** Show a line among its neighbours.
   * @param {string} id @param {Entry} [entry] the line, if the page has it */
  async open(id, entry) {
    if (id === this.id) return;
    const isOther = this.isOpen; // and one step back leads to the list all the same
    if (!isOther) this.#address = location.search;
    this.id = id;
    this.#entry = entry;
    this.#scope = 'all';
    this.#before = this.#after = FIRST_LINES;
    const address = `${location.pathname}${location.search}#context=${id}`;
    if (isOther) history.replaceState(history.state, '', address);
    else if (location.hash !== `#context=${id}`) history.pushState({ context: true }, '', address);
    this.#panel.hidden = false;
    this.#below.inert = true;
    byId('neighbours-lines', HTMLElement).before(this.#heads);
    this.view.clear();
    this.view.relayout();
    this.#update();
    await this.#ask();
  }

  /** Go back to the list below. */
  leave() {
    if (history.state?.context) history.back(); // which calls `followAddress`
    else this.close();
  }

  /** Close the context if the address is that of the list below again.
   * @returns {boolean} whether it was closed */
  followAddress() {
    const isBelow = this.isOpen && !location.hash && location.search === this.#address;
    if (isBelow) this.close();
    return isBelow;
  }

  close() {
    if (!this.isOpen) return;
    if (location.hash) history.replaceState(null, '', location.pathname + location.search);
    this.id = '';
    this.#asked += 1;
    this.#panel.hidden = true;
    this.#below.inert = false;
    this.#below.before(this.#heads);
    this.view.clear();
    this.#closed();
  }

  /** All lines of the context, the oldest first. */
  *all() {
    const { ring } = this.view;
    for (let seq = ring.first; seq < ring.end; seq++) yield /** @type {Entry} */ (ring.at(seq));
  }

  /** Ask for the lines. @param {string} [shown] the id of the line to scroll to */
  async #ask(shown = this.id) {
    const asked = ++this.#asked;
    const { app, machine } = this.#entry ?? { app: '', machine: '' };
    const answer = await askAround(this.id, {
      before: this.#before, after: this.#after,
      app: this.#scope === 'all' ? '' : app,
      machine: this.#scope === 'machine' ? machine : '',
    });
    if (asked !== this.#asked) return;
    if (typeof answer === 'string') {
      hint(answer);
      if (!this.view.ring.length) this.leave();
      return;
    }
    this.view.clear();
    const widest = Math.max(3, ...answer.map(({ app, source }) => (app || source).length));
    this.#panel.style.setProperty('--app-width', `${Math.min(WIDEST_APP, widest)}ch`);
    this.view.relayout();
    this.view.append(answer);
    const seqOf = (/** @type {string} */ id) => {
      const index = answer.findIndex((line) => line.id === id);
      return index < 0 ? -1 : this.view.ring.first + index;
    };
    const seq = seqOf(this.id);
    this.#entry ??= answer[seq - this.view.ring.first];
    if (seqOf(shown) >= 0) this.view.show(seqOf(shown));
    this.#shown(this.view.elements.rows);
    if (seq >= 0) this.view.select(seq);
    if (this.#details.isOpen) this.navigation.openDetails();
    this.#update();
  }

  /** Ask for more lines. @param {1 | -1} way */
  async #more(way) {
    const { ring } = this.view;
    const edge = ring.at(way < 0 ? ring.first : ring.end - 1);
    if (way < 0) this.#before = Math.min(MOST_LINES, this.#before + MORE_LINES);
    else this.#after = Math.min(MOST_LINES, this.#after + MORE_LINES);
    await this.#ask(edge?.id);
  }

  /** Say how many lines there are, and around which time, by the list's clock. */
  showTitle() {
    const zone = this.view.look.clock === 'utc' ? 'utc' : 'local';
    const time = this.#entry ? clockTime(this.#entry.time, zone, Date.now()) : '';
    const lines = this.view.ring.length;
    this.#title.textContent = lines ? `${count(lines, 'line')} around ${time}` : 'Loading the lines around it';
  }

  #update() {
    const entry = this.#entry;
    this.showTitle();
    byId('neighbours-earlier', HTMLButtonElement).disabled = this.#before >= MOST_LINES;
    byId('neighbours-later', HTMLButtonElement).disabled = this.#after >= MOST_LINES;
    /** @type {[Scope, string][]} */
    const scopes = [['all', 'all lines']];
    if (entry?.app) scopes.push(['app', `app ${revealed(entry.app)}`]);
    if (entry?.machine) scopes.push(['machine', `machine ${revealed(entry.machine).slice(0, 14)}`]);
    this.#scopes.replaceChildren(...scopes.map(([scope, label]) => h('button', {
      type: 'button', class: 'chip', 'data-scope': scope,
      'aria-pressed': String(scope === this.#scope),
      onclick: () => {
        this.#scope = scope;
        this.#before = this.#after = FIRST_LINES;
        this.#update();
        void this.#ask();
      },
    }, label)));
  }
}
