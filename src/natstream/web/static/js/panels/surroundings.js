// What surrounds the lines: the state, the counts, the buttons that come and go, the empty list.
// In: the parts that know. Out: elements that say so; nothing is decided here.

import { announce, byId } from '../dom.js';
import { emptyState } from './empty.js';
import { logOut } from './login.js';
import { isEmpty, toParams } from '../query/query.js';
import { statusPanel, summarize } from './status.js';
import { count, perSecond } from '../text/time.js';

/**
 * @typedef {object} Now
 * @property {import('../query/query.js').Query} query
 * @property {boolean} marking    all lines are shown, matches only marked
 * @property {string} released    why the connection is let go of; empty if it is not
 * @property {boolean} hasEarlier the service may have earlier lines than are shown
 * @property {number} rate        lines a second, just now
 */

export class Around {
  #newest = byId('newest', HTMLElement);
  #earlier = byId('earlier', HTMLElement);
  #held = byId('held', HTMLElement);
  #empty = byId('empty', HTMLElement);
  #state = byId('state', HTMLElement);
  #stateText = byId('state-text', HTMLElement);
  #panel = byId('status', HTMLElement);
  /** The state that has been announced, without its figures. */
  #announced = '';

  /**
   * @param {{view: import('../list/view.js').View, lines: import('../list/lines.js').Lines,
   *   feed: import('../stream/connection.js').Feed, service: import('./service.js').Service}} parts
   * @param {{now: () => Now, showAll: () => void, showAgain: () => void}} ask
   */
  constructor(parts, { now, ...waysOut }) {
    this.parts = parts;
    this.now = now;
    this.waysOut = waysOut;
    for (const [format, ending] of [['ndjson', 'ndjson'], ['text', 'txt']]) {
      const link = byId(`download-all-${format}`, HTMLAnchorElement);
      link.addEventListener('click', () => { link.download = `${this.fileName()}.${ending}`; });
    }
  }

  /** The lines are others, or seen from elsewhere. */
  update() {
    const { view, lines, feed } = this.parts;
    const { rate, hasEarlier } = this.now();
    const waiting = view.unseen + lines.waiting;
    this.#newest.hidden = view.following && !lines.waiting;
    /** @type {HTMLElement} */ (this.#newest.lastElementChild).textContent =
      waiting ? count(waiting, 'new line') : 'Newest';
    this.#earlier.hidden = !hasEarlier || !view.atStart;
    const size = view.ring.length;
    const rest = view.ring.full ? ' (the newest)' : '';
    this.#held.textContent = `${count(size, 'line')}${rest} · ${perSecond(rate)}`;
    const empty = size === 0 && (feed.state.name === 'live' || feed.state.name === 'connecting');
    if (empty && this.#empty.hidden) this.#fillEmpty();
    this.#empty.hidden = !empty;
  }

  /** The connection's state, the service's or the reader's is another. */
  updateState() {
    const { lines } = this.parts;
    const { tone, text, detail } = this.#summary();
    const words = lines.paused ? `Paused · ${text.toLowerCase()}` : text;
    this.#state.dataset.tone = tone;
    this.#state.title = detail;
    this.#state.setAttribute('aria-label', `State: ${words}. More.`);
    this.#stateText.textContent = words;
    const kind = words.replace(/\d+/g, '');
    if (this.#announced !== kind) announce(`${words}. ${detail}`);
    this.#announced = kind;
    if (this.isPanelOpen) this.fillPanel();
    if (!this.#empty.hidden) this.#fillEmpty();
    const pause = byId('pause', HTMLElement);
    pause.setAttribute('aria-pressed', String(lines.paused));
    pause.querySelector('use')?.setAttribute('href', lines.paused ? '#i-play' : '#i-pause');
    /** @type {HTMLElement} */ (pause.lastElementChild).textContent =
      lines.paused ? 'Go on' : 'Pause';
  }

  /** What is asked is something else. */
  updateQuery() {
    const { query, marking } = this.now();
    const context = byId('context', HTMLElement);
    context.setAttribute('aria-pressed', String(marking));
    context.textContent = marking ? 'all lines' : 'only matches';
    context.hidden = query.texts.length === 0;
    const muted = query.fields.type.length === 1 && query.fields.type[0] === 'log';
    byId('mute', HTMLElement).setAttribute('aria-pressed', String(muted));
    for (const format of ['ndjson', 'text']) {
      const params = toParams(query, { texts: !marking });
      params.set('follow', 'false');
      params.set('format', format);
      byId(`download-all-${format}`, HTMLAnchorElement).href = `api/logs?${params}`;
    }
  }

  fileName() {
    const time = new Date().toISOString().replace(/\D/g, '').slice(0, 14);
    return ['natstream', ...this.now().query.fields.app, time].join('-');
  }

  get isPanelOpen() {
    return this.#panel.matches(':popover-open');
  }

  fillPanel() {
    const { feed, service } = this.parts;
    const retry = feed.state.name === 'waiting' ? () => feed.retryNow() : null;
    const more = { rate: this.now().rate, retry, leave: () => void logOut() };
    this.#panel.replaceChildren(
      ...statusPanel(this.#summary(), service.status, more, Date.now()),
    );
  }

  #summary() {
    const { feed, service } = this.parts;
    return summarize(feed.state, service.status, this.now().released, Date.now());
  }

  #fillEmpty() {
    const { lines, service } = this.parts;
    const filtered = !isEmpty(this.now().query);
    this.#empty.replaceChildren(
      ...emptyState(service.status, { filtered, cleared: lines.cleared }, this.waysOut),
    );
  }
}
