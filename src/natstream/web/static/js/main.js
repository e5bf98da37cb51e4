// The page: what is asked (query), where it comes from (feed, intake), where it is seen (view,
// strip, chips, details), and the reader's hands on it. Everything meets here and nowhere else.

import { announce, byId, placeMenu } from './dom.js';
import { linkTo, readAddress, writeAddress } from './address.js';
import { Bins } from './bins.js';
import { Chips } from './chips.js';
import { startChoices } from './choices.js';
import { fillDetails } from './details.js';
import { downloadLines } from './download.js';
import { emptyState } from './empty.js';
import { Feed } from './feed.js';
import { Intake } from './intake.js';
import { startKeyboard } from './keyboard.js';
import { logOut, startLogin } from './login.js';
import { loadPrefs } from './prefs.js';
import * as queries from './query.js';
import { noticeText } from './row.js';
import { Search } from './search.js';
import { Service } from './service.js';
import { statusPanel, summarize } from './status.js';
import { Strip } from './strip.js';
import { count, perSecond, span } from './time.js';
import { View } from './view.js';

/** @typedef {import('./types.js').Entry} Entry */

// As many lines as the list holds: at 300 bytes each some 30 MB, and twice the service's backlog.
const CAPACITY = 100_000;
// First what comes in a second or two: a few screens on a telephone; elsewhere, with a few dozen
// lines a second, what fills the histogram. "Load earlier lines" takes more.
const TAILS = [matchMedia('(max-width: 700px)').matches ? 2_000 : 10_000, 50_000, CAPACITY];
// Lines that wait while the list is paused. Beyond that the connection is released: its place is
// kept, and the service's backlog remembers for us.
const MOST_HELD = 20_000;
// A tab that nobody has looked at for this long gives its connection back: browsers allow six to
// a host over HTTP/1.1, and the service has a limit as well. What is missed is replayed.
const HIDDEN_MS = 5 * 60_000;
// Why the connection is let go of, as people read it.
const HIDDEN = 'the page was hidden';
const HELD = 'the list was held';

const prefs = loadPrefs();
const bins = new Bins();
const intake = new Intake();

let query = queries.emptyQuery();
/** Whether all lines are shown, with the matches of the texts only marked. */
let marking = false;
let asked = '';
let tails = 0;
let wantedLine = '';
let paused = false;
/** @type {Entry[]} lines that wait for the list to go on */
let held = [];
/** Why the connection is let go of, and since when. */
let released = { why: '', since: 0 };
let cutAt = 0;
let appWidth = 3;
/** Lines received in each of the last seconds. */
const received = [0];

// --- the parts ---------------------------------------------------------------------------

const lines = byId('lines', HTMLElement);
const drawer = byId('details', HTMLElement);

const view = new View(
  {
    scroller: lines, content: byId('content', HTMLElement),
    rows: byId('rows', HTMLElement), probe: byId('probe', HTMLElement),
  },
  {
    capacity: CAPACITY,
    look: { wrap: prefs.wrap, clock: prefs.clock, columns: 80, matcher: null },
    changed: () => updateSurroundings(),
    chosen: () => openDetails(),
  },
);

const strip = new Strip(
  {
    slider: byId('strip-slider', HTMLElement), canvas: byId('strip-canvas', HTMLCanvasElement),
    tip: byId('strip-tip', HTMLElement),
  },
  { bins, prefs, jump: jumpTo },
);

const chips = new Chips(byId('chips', HTMLElement), (chip, value) => {
  if (chip === 'warn') query.minLevel = query.minLevel ? '' : 'warn';
  else toggleValue(chip, value);
  applyQuery();
});

const feed = new Feed({
  state: (state) => {
    if (state.name === 'waiting' && !cutAt) cutAt = Date.now();
    if (state.name === 'denied') login.ask();
    if (state.name === 'refused') search.complain(state.detail);
    updateState();
  },
  opened: ({ resumedFrom, time }) => {
    if (resumedFrom) noteResumption(resumedFrom, time);
    else {
      held = [];
      bins.clear();
      view.clear();
      intake.begin(time);
    }
    cutAt = 0;
    released = { why: '', since: 0 };
    service.ask();
  },
  events: (events) => {
    const { entries, noted, live } = intake.take(events);
    received[received.length - 1] += live;
    accept(entries);
    if (noted) view.refresh(noted);
    if (entries.some((entry) => entry.note)) service.ask({ soon: true });
  },
});

const service = new Service({
  status: (status) => {
    // Somebody has logged in elsewhere, in another tab.
    if (status && feed.state.name === 'denied') login.done();
    if (status?.keepalive) feed.keepalive = status.keepalive * 1000;
    updateState();
    if (!byId('empty', HTMLElement).hidden) fillEmpty();
  },
  facets: (facets) => chips.setFacets(facets),
  filter: () => {
    const params = queries.toParams(query);
    params.delete('since');
    return params;
  },
  isCalm: () => byId('state', HTMLElement).dataset.tone === 'good',
});

const login = startLogin(() => {
  feed.resume();
  service.ask();
});

const search = new Search({
  asked: (next) => {
    query = next;
    applyQuery({ typed: true });
  },
  again: () => find(-1),
  left: () => lines.focus({ preventScroll: true }),
});

const choices = startChoices(prefs, () => {
  view.look.wrap = prefs.wrap;
  view.look.clock = prefs.clock;
  view.relayout();
  strip.draw();
});

// --- lines ---------------------------------------------------------------------------------

/** @param {Entry[]} entries */
function accept(entries) {
  if (paused || held.length || view.wouldPushOut(entries.length)) {
    held.push(...entries);
    if (held.length > MOST_HELD) release(HELD);
  } else {
    show(entries);
  }
  updateSurroundings();
}

/** @param {Entry[]} entries */
function show(entries) {
  const now = Date.now();
  let seq = view.ring.end;
  let widest = appWidth;
  let wanted = -1;
  for (const entry of entries) {
    if (!entry.note) {
      bins.add(entry.time, entry.level, seq, now);
      if (entry.kind) bins.mark({ time: entry.time, kind: entry.kind, seq, text: entry.message });
      if (entry.app.length > widest) widest = entry.app.length;
    }
    if (wantedLine && entry.id === wantedLine) wanted = seq;
    seq += 1;
  }
  view.append(entries);
  if (widest > appWidth && appWidth < 20) {
    appWidth = Math.min(widest, 20);
    document.documentElement.style.setProperty('--app-width', `${appWidth}ch`);
    view.relayout();
  }
  if (wanted >= 0) {
    wantedLine = '';
    view.show(wanted);
    openDetails();
  }
}

/** Show what waits, and go on. */
function flush() {
  const waiting = held;
  held = [];
  show(waiting);
  if (released.why === HELD) feed.resume();
}

/** @param {string} resumedFrom @param {number} time */
function noteResumption(resumedFrom, time) {
  const words = released.why
    ? `Connection taken up again after ${span((Date.now() - released.since) / 1000)} (${released.why}):`
    : `Reconnected after ${span((Date.now() - (cutAt || Date.now())) / 1000)}:`;
  accept([intake.resume(words, resumedFrom, time, newestFirst())]);
}

function* newestFirst() {
  yield* [...held].reverse();
  for (let seq = view.ring.end - 1; seq >= view.ring.first; seq--) {
    yield /** @type {Entry} */ (view.ring.at(seq));
  }
}

function* allLines() {
  for (let seq = view.ring.first; seq < view.ring.end; seq++) {
    yield /** @type {Entry} */ (view.ring.at(seq));
  }
  yield* held;
}

/** @param {string} why */
function release(why) {
  if (released.why || feed.state.name === 'denied') return;
  released = { why, since: Date.now() };
  feed.release();
}

// --- the query -----------------------------------------------------------------------------

/** Ask for what `query` says, unless it is what is asked already. */
function applyQuery({ typed = false } = {}) {
  search.show(query, typed);
  if (query.error) return;
  view.look.matcher = queries.matcherOf(query);
  writeAddress({ query, marking });
  chips.setQuery(query);
  updateControls();
  const params = queries.toParams(query, { texts: !marking });
  params.set('tail', String(TAILS[tails]));
  if (params.toString() === asked) {
    view.repaint();
    return;
  }
  asked = params.toString();
  feed.start(params);
  void service.askFacets();
}

function followAddress() {
  ({ query, marking, line: wantedLine } = readAddress());
  tails = wantedLine ? TAILS.length - 1 : 0;
  applyQuery();
}

/** @param {queries.Field} name @param {string} value */
function toggleValue(name, value) {
  const values = query.fields[name];
  query.fields[name] = values.includes(value)
    ? values.filter((other) => other !== value)
    : [...values, value];
}

// --- what surrounds the lines --------------------------------------------------------------

function updateSurroundings() {
  const newest = byId('newest', HTMLElement);
  const waiting = view.unseen + held.length;
  newest.hidden = view.following && !held.length;
  /** @type {HTMLElement} */ (newest.lastElementChild).textContent =
    waiting ? count(waiting, 'new line') : 'Newest';
  byId('earlier', HTMLElement).hidden =
    !view.atStart || tails === TAILS.length - 1 || intake.remembered < TAILS[tails];
  const rate = rateNow();
  const size = view.ring.length;
  byId('held', HTMLElement).textContent =
    `${count(size, 'line')}${view.ring.full ? ' (the newest)' : ''} · ${perSecond(rate)}`;
  const empty = byId('empty', HTMLElement);
  const isEmpty = size === 0 && (feed.state.name === 'live' || feed.state.name === 'connecting');
  if (isEmpty && empty.hidden) fillEmpty();
  empty.hidden = !isEmpty;
  strip.schedule();
}

function fillEmpty() {
  const filtered = !queries.isEmpty(query);
  byId('empty', HTMLElement).replaceChildren(
    ...emptyState(service.status, filtered, () => {
      query = queries.emptyQuery();
      applyQuery();
    }),
  );
}

const rateNow = () => received.reduce((sum, n) => sum + n, 0) / received.length;

function updateState() {
  const summary = summarize(feed.state, service.status, released.why, Date.now());
  const shown = paused ? { ...summary, text: `Paused · ${summary.text.toLowerCase()}` } : summary;
  const button = byId('state', HTMLElement);
  button.dataset.tone = shown.tone;
  button.title = shown.detail;
  button.setAttribute('aria-label', `State: ${shown.text}. More.`);
  const text = byId('state-text', HTMLElement);
  const kind = shown.text.replace(/\d+/g, '');
  if (text.dataset.kind !== kind) announce(`${shown.text}. ${shown.detail}`);
  text.dataset.kind = kind;
  text.textContent = shown.text;
  const panel = byId('status', HTMLElement);
  if (panel.matches(':popover-open')) fillStatus();
}

function fillStatus() {
  const summary = summarize(feed.state, service.status, released.why, Date.now());
  const retry = feed.state.name === 'waiting' ? () => feed.retryNow() : null;
  byId('status', HTMLElement).replaceChildren(
    ...statusPanel(summary, service.status, { rate: rateNow(), retry, leave: () => void logOut() }, Date.now()),
  );
}

function updateControls() {
  const context = byId('context', HTMLElement);
  context.setAttribute('aria-pressed', String(marking));
  context.textContent = marking ? 'all lines' : 'only matches';
  context.hidden = query.texts.length === 0;
  const muted = query.fields.type.length === 1 && query.fields.type[0] === 'log';
  byId('mute', HTMLElement).setAttribute('aria-pressed', String(muted));
  for (const format of ['ndjson', 'text']) {
    const params = queries.toParams(query, { texts: !marking });
    params.set('follow', 'false');
    params.set('format', format);
    const link = byId(`download-all-${format}`, HTMLAnchorElement);
    link.href = `api/logs?${params}`;
    link.download = `${fileName()}.${format === 'ndjson' ? 'ndjson' : 'txt'}`;
  }
}

const fileName = () =>
  ['natstream', ...query.fields.app, new Date().toISOString().replace(/\D/g, '').slice(0, 14)].join('-');

// --- hands -----------------------------------------------------------------------------------

function togglePause() {
  paused = !paused;
  const button = byId('pause', HTMLElement);
  button.setAttribute('aria-pressed', String(paused));
  button.querySelector('use')?.setAttribute('href', paused ? '#i-play' : '#i-pause');
  /** @type {HTMLElement} */ (button.lastElementChild).textContent = paused ? 'Go on' : 'Pause';
  if (!paused) flush();
  updateState();
  updateSurroundings();
}

function goToNewest() {
  if (paused) togglePause();
  view.follow();
  if (held.length || released.why === HELD) flush();
}

/** @param {1 | -1} step */
function find(step) {
  if (view.find(step)) {
    openDetailsIfOpen();
    sayChosen();
    return;
  }
  const what = view.look.matcher ? 'match' : 'error, marker or gap';
  hint(`No ${step > 0 ? 'later' : 'earlier'} ${what}`);
}

/** @param {number} first the line to go to; -1 if there is none */
function jumpTo(first) {
  if (first < 0) hint('No lines there');
  else {
    if (first < view.ring.first) hint('The page no longer holds those lines: this is its oldest');
    view.show(first);
  }
}

/** @param {string} text */
function hint(text) {
  byId('hint', HTMLElement).textContent = text;
  announce(text);
  setTimeout(() => {
    if (byId('hint', HTMLElement).textContent === text) byId('hint', HTMLElement).textContent = '';
  }, 4_000);
}

function chosenEntry() {
  return view.selected === null ? undefined : view.ring.at(view.selected);
}

function sayChosen() {
  const entry = chosenEntry();
  if (!entry) return;
  const origin = `${entry.level} ${entry.app} ${entry.region}`;
  announce(entry.note ? noticeText(entry) : `${origin}: ${entry.message.slice(0, 200)}`);
}

function openDetails() {
  const entry = chosenEntry();
  if (!entry) return;
  fillDetails(drawer, entry, {
    only: (name, value) => {
      query.fields[name] = [value];
      applyQuery();
    },
    hide: (text) => {
      query.texts.push(text);
      marking = false;
      applyQuery();
    },
    step: (step) => {
      view.step(step);
      openDetails();
    },
    close: closeDetails,
    link: ({ id }) => linkTo({ query, marking }, id),
  });
  if (drawer.hidden) {
    drawer.hidden = false;
    drawer.focus({ preventScroll: true });
  }
}

function openDetailsIfOpen() {
  if (!drawer.hidden) openDetails();
}

function closeDetails() {
  drawer.hidden = true;
  drawer.replaceChildren();
  lines.focus({ preventScroll: true });
}

// --- controls ----------------------------------------------------------------------------------

/** @param {string} id @param {() => void} action */
const onClick = (id, action) => byId(id, HTMLElement).addEventListener('click', action);

onClick('context', () => {
  marking = !marking;
  applyQuery();
});
onClick('find-next', () => find(1));
onClick('find-previous', () => find(-1));
onClick('pause', togglePause);
onClick('clear', () => {
  held = [];
  view.clear();
  closeDetails();
});
onClick('newest', goToNewest);
onClick('earlier', () => {
  tails += 1;
  applyQuery();
});
onClick('mute', () => {
  toggleValue('type', 'log');
  query.fields.type = query.fields.type.filter((type) => type === 'log');
  applyQuery();
});
onClick('help-button', () => byId('help', HTMLDialogElement).showModal());

byId('download', HTMLElement).addEventListener('click', (event) => {
  const target = /** @type {HTMLElement} */ (event.target);
  const format = target.dataset.download;
  if (format === 'text' || format === 'ndjson') {
    void downloadLines([...allLines()], format, fileName());
  }
  if (target.closest('a, button')) byId('download', HTMLElement).hidePopover();
});

for (const button of document.querySelectorAll('button[popovertarget]')) {
  const menu = byId(button.getAttribute('popovertarget') ?? '', HTMLElement);
  menu.addEventListener('beforetoggle', (event) => {
    if (/** @type {ToggleEvent} */ (event).newState === 'open' && menu.id === 'status') fillStatus();
  });
  menu.addEventListener('toggle', () => {
    if (menu.matches(':popover-open')) placeMenu(menu, /** @type {HTMLElement} */ (button));
  });
}

document.addEventListener('selectionchange', () => {
  const selection = document.getSelection();
  // Rows that move away take the selection with them.
  if (selection && !selection.isCollapsed && lines.contains(selection.anchorNode)) view.leaveEnd();
});

startKeyboard({
  search: () => search.focus(),
  pause: togglePause,
  oldest: () => view.toStart(),
  newest: goToNewest,
  page: (step) => view.page(step),
  find,
  step: (step) => {
    view.step(step);
    sayChosen();
    openDetailsIfOpen();
  },
  open: (opened) => {
    if (view.selected !== null) view.toggle(view.selected, opened);
  },
  details: openDetails,
  wrap: choices.toggleWrap,
  help: () => byId('help', HTMLDialogElement).showModal(),
  close: () => {
    if (!drawer.hidden) closeDetails();
    else view.select(null);
  },
});

// --- time --------------------------------------------------------------------------------------

let hiddenTimer = 0;
document.addEventListener('visibilitychange', () => {
  clearTimeout(hiddenTimer);
  if (document.hidden) {
    hiddenTimer = Number(setTimeout(() => release(HIDDEN), HIDDEN_MS));
  } else {
    if (released.why === HIDDEN) feed.resume();
    service.ask();
    view.schedule();
  }
});

setInterval(() => {
  received.push(0);
  if (received.length > 5) received.shift();
  if (prefs.clock === 'relative') view.tick();
  if (feed.state.name === 'waiting' || byId('status', HTMLElement).matches(':popover-open')) {
    updateState();
  }
  updateSurroundings();
}, 1_000);

addEventListener('popstate', followAddress);

choices.apply();
followAddress();
