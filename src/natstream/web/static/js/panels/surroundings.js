// The elements around the lines: the state, the counts, the buttons that come and go, and the text
// of the empty list. In: the parts of the page. Out: elements that show their state. Nothing is
// decided here.

import { announce, byId } from '../dom.js';
import { formatQuery } from '../query/language.js';
import { isEmpty } from '../query/query.js';
import { toParams } from '../query/params.js';
import { parseId } from '../stream/resume.js';
import { clockTime, count, perSecond } from '../text/time.js';
import { coverageOf, sentenceOf, startOf } from './coverage.js';
import { emptyState } from './empty.js';
import { logOut } from './login.js';
import { statusPanel, summarize } from './status.js';
import { Title } from './title.js';

/**
 * @typedef {object} Parts
 * @property {import('../list/view.js').View} view
 * @property {import('../list/lines.js').Lines} lines
 * @property {import('../stream/log_stream.js').LogStream} stream
 * @property {import('../stream/intake.js').Intake} intake
 * @property {import('../stream/flow.js').Interruption} interruption
 * @property {import('../stream/flow.js').Rate} rate
 * @property {import('../query/search.js').Search} search
 * @property {import('./service.js').Service} service
 * @property {import('./past.js').Past} past
 * @property {import('./neighbours.js').Neighbours} neighbours
 */

/** @typedef {import('../types.js').Entry} Entry */

// Pixels that the button for earlier lines takes at the end of a short list.
const ROOM = 64;

export class Surroundings {
  #newest = byId('newest', HTMLElement);
  #earlier = byId('earlier', HTMLElement);
  #before = byId('before', HTMLElement);
  #held = byId('held', HTMLElement);
  #empty = byId('empty', HTMLElement);
  #state = byId('state', HTMLElement);
  #stateText = byId('state-text', HTMLElement);
  #panel = byId('status', HTMLElement);
  /** The state that screen readers were told last, without its figures. */
  #announced = '';

  /** @param {Parts} parts */
  constructor(parts) {
    this.parts = parts;
    const { stream, lines, interruption, search } = parts;
    this.title = new Title(() => ({
      stream: stream.state.name, paused: lines.paused, released: interruption.released,
      query: formatQuery(search.wish.query),
    }));
    for (const [format, ending] of [['ndjson', 'ndjson'], ['text', 'txt']]) {
      const link = byId(`download-all-${format}`, HTMLAnchorElement);
      link.addEventListener('click', () => { link.download = `${this.fileName()}.${ending}`; });
    }
  }

  /** Show counts and buttons for the lines that the list shows now. */
  update() {
    const { view, lines, stream, intake, search, rate, past } = this.parts;
    const waiting = view.unseen + lines.waiting;
    this.#newest.hidden = view.following && !lines.waiting;
    /** @type {HTMLElement} */ (this.#newest.lastElementChild).textContent =
      waiting ? count(waiting, 'new line') : 'Newest';
    const has = search.hasEarlier(intake.remembered);
    // A list that is shorter than the screen has room for the button below its lines.
    const below = !has && view.heights.total + ROOM < byId('lines', HTMLElement).clientHeight;
    const size = view.ring.length;
    const isCleared = lines.cleared && size > 0;
    this.#earlier.hidden = !(has || past.canAsk || this.#hasLetGo || isCleared) || !(view.atStart || below);
    this.#earlier.textContent = lines.cleared ? 'Show the cleared lines' : 'Load earlier lines';
    this.#earlier.classList.toggle('below', below);
    this.#showCoverage(view.atStart || below);
    const rest = view.ring.full ? ' (the newest)' : '';
    this.#held.textContent = `${count(size, 'line')}${rest} · ${perSecond(rate.perSecond)}`;
    const empty = size === 0 && !lines.waiting && ['queued', 'connecting', 'live'].includes(stream.state.name);
    if (empty && this.#empty.hidden) this.#fillEmpty();
    this.#empty.hidden = !empty;
  }

  /** Show the state of the connection, of the service, and of the pause button. */
  updateState() {
    const { lines } = this.parts;
    const { tone, text, detail } = this.#summary();
    const words = lines.paused ? `Paused · ${text.toLowerCase()}` : text;
    this.title.update();
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

  /** Whether something is wrong. */
  get isBad() {
    return this.#state.dataset.tone === 'bad';
  }

  /** A second has passed: counts of seconds in the state go on. */
  tick() {
    if (this.parts.stream.state.name === 'waiting' || this.isPanelOpen) this.updateState();
    this.update();
  }

  /** From when on the page has all lines, and why not from earlier; null if nothing is known to be
   * missing. */
  get coverage() {
    const { view, intake, search, service, lines } = this.parts;
    return coverageOf({
      first: firstLine(view.ring)?.time ?? null,
      isFull: view.ring.full,
      hasEarlier: !lines.cleared && search.hasEarlier(intake.remembered),
      since: startOf(search.wish.query.since, intake.openedAt),
      reach: reachOf(service.status),
    });
  }

  /** Whether the page has dropped lines that the service may still have. */
  get #hasLetGo() {
    const { view: { ring }, service } = this.parts;
    // By arrivals on both sides, because a line may be much older than its arrival.
    const arrived = parseId(firstLine(ring)?.id ?? '')?.arrived ?? 0;
    return ring.full && (reachOf(service.status) ?? 0) < arrived;
  }

  /** Get the lines that the page lacks, and return whether any can be got.
   * @returns {boolean} */
  loadBefore() {
    const { view, lines, search, intake, past, neighbours } = this.parts;
    if (lines.cleared) this.showCleared();
    else if (this.#hasLetGo) void neighbours.open(/** @type {Entry} */ (firstLine(view.ring)).id);
    else if (search.hasEarlier(intake.remembered)) search.loadEarlier();
    else if (past.canAsk) void past.load();
    else return false;
    return true;
  }

  /** Say what the page lacks. @param {boolean} atStart whether the start of the list is seen */
  #showCoverage(atStart) {
    const { coverage } = this;
    const { clock } = this.parts.view.look;
    const isShown = coverage !== null && atStart && this.parts.view.ring.length > 0;
    this.#before.hidden = !isShown && this.#earlier.hidden;
    const words = byId('before-text', HTMLElement);
    words.hidden = !isShown;
    if (!coverage) return;
    const time = clockTime(coverage.from, clock === 'utc' ? 'utc' : 'local', coverage.from).slice(0, 8);
    words.textContent = sentenceOf(coverage, time);
  }

  /** Show which query is asked. */
  updateQuery() {
    this.title.update();
    const { query, marking } = this.parts.search.wish;
    const context = byId('context', HTMLElement);
    context.setAttribute('aria-pressed', String(marking));
    context.textContent = marking ? 'all lines' : 'only matches';
    context.hidden = !query.texts.length && !query.conditions.length;
    const muted = query.fields.type.length === 1 && query.fields.type[0] === 'log';
    byId('mute', HTMLElement).setAttribute('aria-pressed', String(muted));
    for (const format of ['ndjson', 'text']) {
      const params = toParams(query, { texts: !marking });
      params.set('follow', 'false');
      params.set('format', format);
      byId(`download-all-${format}`, HTMLAnchorElement).href = `api/logs?${params}`;
    }
  }

  /** Ask for the lines that the reader has cleared away. */
  showCleared() {
    this.parts.lines.unclear();
    this.parts.search.askAgain();
  }

  /** Return the name of a downloaded file, without its ending. */
  fileName() {
    const time = new Date().toISOString().replace(/\D/g, '').slice(0, 14);
    return ['natstream', ...this.parts.search.wish.query.fields.app, time].join('-');
  }

  get isPanelOpen() {
    return this.#panel.matches(':popover-open');
  }

  fillPanel() {
    const { stream, service, rate } = this.parts;
    const retry = stream.state.name === 'waiting' ? () => stream.retryNow() : null;
    const more = { rate: rate.perSecond, retry, leave: () => void logOut() };
    this.#panel.replaceChildren(
      ...statusPanel(this.#summary(), service.status, more, Date.now()),
    );
  }

  #summary() {
    const { stream, service, interruption } = this.parts;
    return summarize(stream.state, service.status, interruption.released, Date.now());
  }

  #fillEmpty() {
    const { lines, service, search, stream } = this.parts;
    const filtered = !isEmpty(search.wish.query);
    const queued = stream.state.name === 'queued' ? stream.state.detail : '';
    this.#empty.replaceChildren(
      ...emptyState(service.status, { filtered, cleared: lines.cleared, queued }, {
        showAll: () => search.showAll(),
        showAgain: () => this.showCleared(),
      }),
    );
  }
}

/** Return the oldest log line in the list. @param {import('../list/ring.js').Ring<Entry>} ring */
function firstLine(ring) {
  let seq = ring.first;
  while (ring.at(seq)?.note) seq += 1;
  return ring.at(seq);
}

/** Return the time of the service's oldest line, if it is known. With a journal the service has more
 * than its memory. @param {import('./status.js').Status | null} status @returns {number | null} */
const reachOf = (status) => (!status?.sources.journal && status?.backlog?.first_ms) || null;
