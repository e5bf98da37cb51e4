// The page: what is asked (query), where it comes from (feed, intake), where it is seen (view,
// strip, chips, details), and the reader's hands on it. Everything meets here and nowhere else.

import { stripAnsi } from './text/ansi.js';
import { linkTo, readAddress, writeAddress } from './query/address.js';
import { Around } from './panels/surroundings.js';
import { Bins, groupOf } from './panels/bins.js';
import { Chips } from './query/chips.js';
import { startCopying } from './list/copying.js';
import { startChoices } from './panels/view_menu.js';
import { Details } from './panels/details.js';
import { announce, byId, hint, placeMenu } from './dom.js';
import { downloadLines } from './panels/download.js';
import { Feed } from './stream/connection.js';
import { Intake } from './stream/intake.js';
import { startKeyboard } from './list/keyboard.js';
import { Lines } from './list/lines.js';
import { startLogin } from './panels/login.js';
import { loadPrefs } from './panels/prefs.js';
import * as queries from './query/query.js';
import { noticeText } from './list/row.js';
import { Search } from './query/field.js';
import { Service } from './panels/service.js';
import { Strip } from './panels/histogram.js';
import { dayOf, span } from './text/time.js';
import { View } from './list/view.js';

/** @typedef {import('./types.js').Entry} Entry */

// As many lines as the list holds: at 300 bytes each some 30 MB, and twice the service's backlog.
const CAPACITY = 100_000;
// First what comes in a second or two: a few screens on a telephone; elsewhere, with a few dozen
// lines a second, what fills the histogram. "Load earlier lines" takes more.
const TAILS = [matchMedia('(max-width: 700px)').matches ? 2_000 : 10_000, 50_000, CAPACITY];
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
/** What is asked, and of that what the service has taken last: to go back to. */
let wish = wishNow();
let granted = wish;
/** Why the connection is let go of, and since when. */
let released = { why: '', since: 0 };
let cutAt = 0;
/** Lines received in each of the last seconds. */
const received = [0];

// --- the parts ---------------------------------------------------------------------------

const list = byId('lines', HTMLElement);

const view = new View(
  {
    scroller: list, content: byId('content', HTMLElement),
    rows: byId('rows', HTMLElement), probe: byId('probe', HTMLElement),
  },
  {
    capacity: CAPACITY,
    look: { wrap: prefs.wrap, clock: prefs.clock, columns: 80, matcher: null },
    changed: () => {
      if (view.following && lines.waiting && !lines.paused) goOn();
      around.update();
    },
    chosen: () => openDetails(),
  },
);

const lines = new Lines({ view, bins }, {
  full: () => release(HELD),
  found: (seq) => {
    view.show(seq);
    openDetails();
  },
  missing: (id) => {
    if (id === details.id) details.close();
    else hint('That line is no longer remembered');
  },
});

const details = new Details(byId('details', HTMLElement), {
  only: (name, value) => {
    if (!canAsk(name, value)) return;
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
  link: (id) => linkTo({ query, marking }, id),
  closed: (id, hadFocus) => {
    if (lines.wanted === id) lines.wanted = '';
    if (hadFocus) list.focus({ preventScroll: true });
  },
});

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
    if (state.name === 'waiting' || state.name === 'idle') service.forget();
    if (state.name === 'waiting') lines.awaitWanted('cut');
    if (state.name === 'denied') login.ask();
    if (state.name === 'refused') search.complain(state.detail);
    around.updateState();
  },
  declined: (detail) => {
    ({ query, marking, tails, asked } = structuredClone(granted));
    wish = granted;
    showQuery({ typed: true });
    search.complain(detail);
  },
  opened: ({ resumedFrom, time }) => {
    if (!resumedFrom) takeDetailsAlong();
    if (resumedFrom) noteResumption(resumedFrom, time);
    else {
      granted = wish;
      lines.begin();
      intake.begin(time);
      if (lines.paused) togglePause();
    }
    lines.awaitWanted('replay');
    cutAt = 0;
    released = { why: '', since: 0 };
    service.ask();
  },
  events: (events) => {
    const { entries, noted, live } = intake.take(events);
    received[received.length - 1] += live;
    lines.accept(entries);
    lines.awaitWanted(live ? 'live' : 'replay');
    if (lines.waiting) around.update(); // else the list does, when it is drawn
    strip.soon();
    if (noted) view.refresh(noted);
    if (entries.some((entry) => entry.note)) service.ask({ soon: true });
  },
});

const service = new Service({
  status: (status) => {
    // Somebody has logged in elsewhere, in another tab.
    if (status && feed.state.name === 'denied') login.done();
    if (status?.keepalive) feed.keepalive = status.keepalive * 1000;
    around.updateState();
  },
  facets: (facets) => chips.setFacets(facets),
  filter: () => {
    const params = queries.toParams(query);
    params.delete('since');
    return params;
  },
  mood: () => {
    if (feed.state.name === 'waiting' || feed.state.name === 'idle') return 'away';
    const isBad = byId('state', HTMLElement).dataset.tone === 'bad';
    return isBad && feed.state.name === 'live' ? 'tense' : 'calm';
  },
});

const around = new Around({ view, lines, feed, service }, {
  now: () => ({
    query,
    marking,
    released: released.why,
    hasEarlier: tails < TAILS.length - 1 && intake.remembered >= TAILS[tails],
    rate: received.reduce((sum, n) => sum + n, 0) / received.length,
  }),
  showAll: () => {
    query = queries.emptyQuery();
    applyQuery();
  },
  showAgain: () => {
    asked = '';
    applyQuery();
  },
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
  left: () => list.focus({ preventScroll: true }),
});

const choices = startChoices(prefs, () => {
  view.look.wrap = prefs.wrap;
  view.look.clock = prefs.clock;
  view.relayout();
  strip.draw();
});

// --- lines ---------------------------------------------------------------------------------

/** Show what waits, and read on. */
function goOn() {
  lines.flush();
  if (released.why === HELD) feed.resume();
}

/** Look for the line whose details are shown among those that begin now, as for that of a link. */
function takeDetailsAlong() {
  if (view.selected !== null) lines.wanted ||= details.id;
  if (!lines.wanted || lines.wanted !== details.id) details.close();
}

/** @param {string} resumedFrom @param {number} time */
function noteResumption(resumedFrom, time) {
  const words = released.why
    ? `Connection taken up again after ${span((Date.now() - released.since) / 1000)} (${released.why}):`
    : `Reconnected after ${span((Date.now() - (cutAt || Date.now())) / 1000)}:`;
  lines.accept([intake.resume(words, resumedFrom, time, lines.newestFirst())]);
}

/** @param {string} why */
function release(why) {
  if (released.why || feed.state.name === 'denied' || feed.state.name === 'refused') return;
  released = { why, since: Date.now() };
  feed.release();
}

// --- the query -----------------------------------------------------------------------------

function wishNow() {
  return structuredClone({ query, marking, tails, asked });
}

/** Show what is asked, everywhere but in the lines. */
function showQuery({ typed = false } = {}) {
  search.show(query, typed);
  view.look.matcher = queries.matcherOf(query);
  writeAddress({ query, marking });
  chips.setQuery(query);
  around.updateQuery();
  view.repaint();
}

/** Ask for what `query` says, unless it is what is asked already. */
function applyQuery({ typed = false } = {}) {
  query.error = '';
  showQuery({ typed });
  const params = queries.toParams(query, { texts: !marking });
  params.set('tail', String(TAILS[tails]));
  const isNew = params.toString() !== asked;
  const isGranted = granted.asked === asked;
  asked = params.toString();
  wish = wishNow();
  if (!isNew) {
    if (isGranted) granted = wish;
    return;
  }
  feed.start(params);
  void service.askFacets();
}

function followAddress() {
  ({ query, marking, line: lines.wanted } = readAddress());
  tails = lines.wanted ? TAILS.length - 1 : 0;
  if (!query.error) {
    applyQuery();
    return;
  }
  // To leave out what is wrong would show more than the link means.
  search.show(query, false);
  asked = '';
  released = { why: '', since: 0 };
  lines.begin();
  feed.refuse(query.error);
}

/** Whether the service can be asked for it; if not, say why. @param {string} name @param {string} value */
function canAsk(name, value) {
  if (queries.canAsk(value)) return true;
  hint(queries.cannotAsk(name, value));
  return false;
}

/** @param {queries.Field} name @param {string} value */
function toggleValue(name, value) {
  if (!canAsk(name, value)) return;
  const values = query.fields[name];
  query.fields[name] = values.includes(value)
    ? values.filter((other) => other !== value)
    : [...values, value];
}

// --- hands -----------------------------------------------------------------------------------

function togglePause() {
  lines.paused = !lines.paused;
  if (!lines.paused) goOn();
  around.updateState();
  around.update();
}

function goToNewest() {
  if (lines.paused) togglePause();
  else goOn();
  view.follow();
}

/** @param {1 | -1} step */
function find(step) {
  const { matcher } = view.look;
  const isWanted = (/** @type {Entry} */ entry) => matcher
    ? !entry.note && matcher.test(stripAnsi(entry.message))
    : groupOf(entry.level) === 0 || entry.kind !== '' || entry.note !== null;
  if (view.find(step, isWanted)) {
    if (details.isOpen) openDetails();
    sayChosen();
    return;
  }
  const what = matcher ? 'match' : 'error, marker or gap';
  hint(`No ${step > 0 ? 'later' : 'earlier'} ${what}`);
}

/** @param {number} first the line to go to; -1 if there is none */
function jumpTo(first) {
  if (first < 0) hint('No lines there');
  else {
    if (first < view.ring.first) hint('The page no longer holds those lines: this is its oldest');
    view.show(first);
    if (details.isOpen) openDetails();
  }
}

function chosenEntry() {
  return view.selected === null ? undefined : view.ring.at(view.selected);
}

function sayChosen() {
  const entry = chosenEntry();
  if (!entry) return;
  const origin = `${entry.level} ${entry.app} ${entry.region}`;
  announce(entry.note ? noticeText(entry) : `${origin}: ${stripAnsi(entry.message).slice(0, 200)}`);
}

function openDetails() {
  const entry = chosenEntry();
  if (!entry) return;
  lines.wanted = '';
  details.open(entry);
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
  lines.clear();
  details.close();
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
    void downloadLines([...lines.all()], format, around.fileName());
  }
  if (target.closest('a, button')) byId('download', HTMLElement).hidePopover();
});

for (const button of document.querySelectorAll('button[popovertarget]')) {
  const menu = byId(button.getAttribute('popovertarget') ?? '', HTMLElement);
  menu.addEventListener('beforetoggle', (event) => {
    if (/** @type {ToggleEvent} */ (event).newState === 'open' && menu.id === 'status') around.fillPanel();
  });
  menu.addEventListener('toggle', () => {
    if (menu.matches(':popover-open')) placeMenu(menu, /** @type {HTMLElement} */ (button));
  });
}

document.addEventListener('selectionchange', () => {
  const selection = document.getSelection();
  // Rows that move away take the selection with them.
  if (selection && !selection.isCollapsed && list.contains(selection.anchorNode)) view.leaveEnd();
});

startCopying(byId('rows', HTMLElement), (seq) => view.ring.at(seq));

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
    if (details.isOpen) openDetails();
  },
  open: (opened) => {
    if (view.selected !== null) view.toggle(view.selected, opened);
  },
  details: openDetails,
  wrap: choices.toggleWrap,
  help: () => byId('help', HTMLDialogElement).showModal(),
  close: () => {
    if (details.isOpen) details.close();
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

let today = dayOf(Date.now(), prefs.clock);
setInterval(() => {
  received.push(0);
  if (received.length > 5) received.shift();
  if (prefs.clock === 'relative') view.tick();
  else if (today !== dayOf(Date.now(), prefs.clock)) {
    today = dayOf(Date.now(), prefs.clock);
    view.relayout(); // the rows that say no day would be of the new one
  }
  if (feed.state.name === 'waiting' || around.isPanelOpen) around.updateState();
  around.update();
}, 1_000);

addEventListener('popstate', followAddress);

choices.apply();
followAddress();
