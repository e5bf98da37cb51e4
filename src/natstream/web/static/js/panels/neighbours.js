// A line in context: a list of its neighbours over the list of the stream, whatever the filter is.
//
// The list below stays as it is, so that the way back leads to the same lines, the same scroll
// position and the same chosen line. The address names the line, so that the browser's "back" closes
// the context as well.

import { byId, h, hint } from '../dom.js';
import { Navigation } from '../list/navigation.js';
import { Reading } from '../list/reading.js';
import { View } from '../list/view.js';
import { NameWidths } from '../list/columns.js';
import { MISSING, askAround, askMoment } from '../stream/around.js';
import { revealed } from '../text/readable.js';
import { clockTime, count, fullTime } from '../text/time.js';

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
  #names = new NameWidths(this.#panel);
  #title = byId('neighbours-title', HTMLElement);
  #scopes = byId('neighbours-scopes', HTMLElement);
  #below = byId('lines', HTMLElement);
  /** The names of the columns, which stand above the list that is shown. */
  #heads = byId('heads', HTMLElement);

  /**
   * @param {import('../list/row.js').Look} look
   * @param {import('./details.js').Details} details
   * @param {{shown: (rows: HTMLElement) => void, closed: () => void, missing: () => void}} handlers
   *   `missing`: the service has no such line
   */
  constructor(look, details, { shown, closed, missing }) {
    const scroller = byId('neighbours-lines', HTMLElement);
    this.view = new View({
      scroller, content: byId('neighbours-content', HTMLElement),
      rows: byId('neighbours-rows', HTMLElement), probe: byId('probe', HTMLElement),
    }, {
      // The neighbours are not filtered.
      look: Object.create(look, { narrowed: { value: false }, widths: { value: this.#names.widths } }),
      changed: () => {},
    });
    this.navigation = new Navigation(this.view, details);
    this.#details = details;
    this.#shown = shown;
    this.#closed = closed;
    this.#missing = missing;
    byId('neighbours-back', HTMLElement).addEventListener('click', () => this.leave());
    byId('neighbours-earlier', HTMLElement).addEventListener('click', () => void this.#more(-1));
    byId('neighbours-later', HTMLElement).addEventListener('click', () => void this.#more(1));
  }

  #details;
  #shown;
  #closed;
  #missing;

  get isOpen() {
    return this.id !== '';
  }

  /** Show a line among its neighbours.
   * @param {string} id @param {Entry} [entry] the line, if the page has it
   * @param {View} [from] the view in which it is the chosen line, to show it at the same height */
  async open(id, entry, from) {
    if (id === this.id) return;
    const reading = from && Reading.of(from, true);
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
    const isSeen = reading?.id === id;
    await this.#ask(new Reading(isSeen ? id : '', { chosen: '', y: isSeen ? reading.y : 0 }));
  }

  /** Show the first line from a time on among its neighbours.
   * @param {number} moment Unix ms @param {string} params the filter of that line */
  async openAt(moment, params) {
    const found = await askMoment(moment, params);
    if (typeof found === 'string') hint(found);
    else {
      const { id, isLate } = found;
      if (isLate) hint(`No line is remembered from ${fullTime(moment, Date.now()).split('\n')[0]}: this is the nearest one`);
      await this.open(id);
    }
  }

  /** Show the details of the chosen line, if the context is open. */
  openDetails() {
    if (this.isOpen) this.navigation.openDetails();
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

  /** Ask for the lines. @param {Reading} [reading] the line to keep in its position */
  async #ask(reading) {
    const asked = ++this.#asked;
    const { app, machine } = this.#entry ?? { app: '', machine: '' };
    const answer = await askAround(this.id, {
      before: this.#before, after: this.#after,
      app: this.#scope === 'all' ? '' : app,
      machine: this.#scope === 'machine' ? machine : '',
    });
    if (asked !== this.#asked) return;
    if (typeof answer === 'string') {
      if (answer === MISSING) this.#missing();
      else hint(answer);
      if (!this.view.ring.length) this.leave();
      return;
    }
    const { view } = this;
    const { id, chosen, y } = reading ?? Reading.of(view, true);
    view.clear();
    view.relayout();
    view.append(answer);
    if (this.#names.fit(view.elements.rows)) view.relayout();
    const index = answer.findIndex((line) => line.id === this.id);
    const seq = index < 0 ? -1 : view.ring.first + index;
    this.#entry ??= answer[index];
    const kept = new Reading(id, { chosen, y }).seek(answer, view.ring.first);
    const top = byId('neighbours-lines', HTMLElement).getBoundingClientRect().top;
    if (kept.place >= 0) view.putAt(kept.place, Math.max(y, reading ? top : y));
    else if (seq >= 0) view.show(seq);
    this.#shown(this.view.elements.rows);
    view.select(kept.chosen >= 0 ? kept.chosen : seq >= 0 ? seq : null);
    if (this.#details.isOpen) this.navigation.openDetails();
    this.#update();
  }

  /** Ask for more lines. @param {1 | -1} way */
  async #more(way) {
    if (way < 0) this.#before = Math.min(MOST_LINES, this.#before + MORE_LINES);
    else this.#after = Math.min(MOST_LINES, this.#after + MORE_LINES);
    await this.#ask();
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
