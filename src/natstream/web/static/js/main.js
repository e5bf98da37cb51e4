// The page: makes its parts and joins them. Lines come from the stream through the intake to the
// list and the histogram. What the reader wants to see goes through the search to the service.

import { byId, tickTimes } from './dom.js';
import { startFocus } from './focus.js';
import { guardClicks } from './list/clicks.js';
import { Columns, NameWidths } from './list/columns.js';
import { startCopying } from './list/copying.js';
import { startKeyboard } from './list/keyboard.js';
import { Lines } from './list/lines.js';
import { Navigation } from './list/navigation.js';
import { View } from './list/view.js';
import { Arrivals } from './panels/arrivals.js';
import { Bell } from './panels/bell.js';
import { Bins } from './panels/bins.js';
import { startChipRow } from './panels/chip_row.js';
import { Details } from './panels/details.js';
import { Fired } from './panels/fired.js';
import { Histogram } from './panels/histogram.js';
import { startLogin } from './panels/login.js';
import { sayLost } from './panels/lost.js';
import { Neighbours } from './panels/neighbours.js';
import { Past } from './panels/past.js';
import { PatternPanel } from './panels/patterns.js';
import { loadPrefs } from './panels/prefs.js';
import { Service } from './panels/service.js';
import { Surroundings } from './panels/surroundings.js';
import { startToolbar } from './panels/toolbar.js';
import { startViewMenu } from './panels/view_menu.js';
import { startViews } from './panels/views.js';
import { Visit } from './panels/visit.js';
import { hasReturned } from './query/address.js';
import { matcherOf } from './query/matching.js';
import { Search } from './query/search.js';
import { Flow, Interruption, Rate } from './stream/flow.js';
import { Intake } from './stream/intake.js';
import { LogStream } from './stream/log_stream.js';
import { Names } from './text/names.js';

const prefs = loadPrefs();
const bins = new Bins();
const intake = new Intake();
const interruption = new Interruption();
const rate = new Rate();
const list = byId('lines', HTMLElement);

const names = new NameWidths(byId('stage', HTMLElement));

/** @type {import('./list/row.js').Look} */
const look = {
  wrap: prefs.wrap, clock: prefs.clock, columns: 80, matcher: null, raw: prefs.raw, fold: prefs.fold,
  narrowed: false, fields: [],
  names: { a: new Names(), r: new Names(), c: new Names() }, widths: names.widths,
};

const view = new View({
  scroller: list, content: byId('content', HTMLElement),
  rows: byId('rows', HTMLElement), probe: byId('probe', HTMLElement),
}, {
  look,
  changed: () => {
    if (view.following) columns.fit(byId('rows', HTMLElement));
    if (view.following && lines.waiting && !lines.paused) flow.goOn();
    surroundings.update();
  },
});

const lines = new Lines({ view, bins }, {
  full: () => flow.hold(),
  found: (seq) => {
    view.show(seq);
    navigation.openDetails();
  },
  missing: () => sayLost(() => flow.goToNewest()),
  kept: (id) => {
    if (!id) details.close();
    else if (details.isOpen) navigation.openDetails();
  },
});

const details = new Details(byId('details', HTMLElement), {
  only: (field, value) => search.only(field, value),
  exclude: (field, value) => search.exclude(field, value),
  hide: (text) => search.hide(text),
  onlyField: (name, value) => search.onlyField({ name, operator: '=', value }),
  hideField: (name, value) => search.addField({ name, operator: '!=', value }),
  addColumn: (name) => search.addColumn(name),
  context: (entry) => void neighbours.open(entry.id, entry, current().view),
  group: (entry) => current().view.folding.groupOf(entry),
  step: (step) => current().navigation.step(step),
  link: (id) => search.linkTo(id),
  clock: () => look.clock,
  matcher: () => look.matcher,
  changes: () => patterns.open({ deploy: true }),
  opened: () => lines.forgetChosen(),
  closed: (hadFocus) => { if (hadFocus) focusList(); },
});

const navigation = new Navigation(view, details);

const neighbours = new Neighbours(look, details, {
  missing: () => sayLost(() => flow.goToNewest()),
  shown: (rows) => { columns.fitFields(rows); },
  closed: () => {
    if (details.isOpen && view.selected !== null) navigation.openDetails();
    else details.close();
    focusList();
  },
});

/** The list that is shown. @returns {{view: View, navigation: Navigation}} */
const current = () => (neighbours.isOpen ? neighbours : { view, navigation });
const focusList = () => current().view.elements.scroller.focus({ preventScroll: true });

const columns = new Columns({
  stage: byId('stage', HTMLElement), heads: byId('heads', HTMLElement), probe: byId('probe', HTMLElement),
}, {
  look, names,
  remove: (name) => search.removeColumn(name),
  changed: () => {
    view.relayout();
    if (neighbours.isOpen) neighbours.view.relayout();
  },
});

const fired = new Fired(neighbours);
const histogram = new Histogram({
  slider: byId('strip-slider', HTMLElement), canvas: byId('strip-canvas', HTMLCanvasElement),
  tip: byId('strip-tip', HTMLElement),
}, {
  bins, prefs, coverage: () => surroundings.coverage, load: () => surroundings.loadBefore(),
  fired: () => fired.marks,
  pressed: (mark) => fired.open(mark) || patterns.openAt(mark),
  jump: (seq) => {
    neighbours.close();
    navigation.jump(seq);
  },
});

const stream = new LogStream({
  state: (state) => arrivals.state(state),
  opened: (how) => arrivals.opened(how),
  events: (events) => arrivals.events(events),
});

const search = new Search(stream, {
  changed: ({ query, marking, raw, columns: names }) => {
    look.matcher = matcherOf(query, marking);
    look.narrowed = !marking && query.texts.length + query.conditions.length > 0;
    surroundings.updateQuery();
    patterns.update();
    bell.update();
    if (details.isOpen) details.mark();
    const isOther = columns.show(names) || raw !== look.raw;
    look.raw = raw;
    viewMenu.showRaw(raw);
    for (const one of [view, neighbours.view]) {
      if (isOther) one.relayout();
      else one.repaint();
    }
  },
  sent: () => {
    visit.leaveContext();
    void service.askFacets();
  },
  again: () => current().navigation.find(-1),
  left: () => focusList(),
  wentTo: (moment) => void neighbours.openAt(moment, search.facetParams.toString()),
  isUtc: () => look.clock === 'utc',
});

const service = new Service(stream, {
  status: (status) => {
    if (status && stream.state.name === 'denied') login.done(); // in another tab
    if (status?.keepalive) stream.keepalive = status.keepalive * 1000;
    surroundings.updateState();
  },
  facets: (facets) => search.setFacets(facets),
  watches: (watches) => fired.show(watches),
  filter: () => search.facetParams,
  isBad: /** @returns {boolean} */ () => surroundings.isBad,
});

const patterns = new PatternPanel({ search, neighbours, clock: () => look.clock, closed: focusList });
const bell = new Bell({ search, neighbours, look }, (isOn) => flow.keepWhileHidden(isOn));
const past = new Past({ lines, view, intake, search, service });
const surroundings = new Surroundings({
  view, lines, stream, intake, interruption, rate, search, service, past, neighbours,
});

const login = startLogin(() => {
  stream.resume();
  service.ask();
});

const viewMenu = startViewMenu(prefs, {
  changed: () => {
    const isFoldOther = look.fold !== prefs.fold;
    Object.assign(look, { wrap: prefs.wrap, clock: prefs.clock, fold: prefs.fold });
    for (const one of [view, neighbours.view]) {
      if (isFoldOther) one.rows.foldAsWished();
      one.relayout();
    }
    if (details.isOpen) current().navigation.openDetails();
    neighbours.showTitle();
    histogram.draw();
  },
  toggleRaw: () => search.toggleRaw(),
});

startViews({ open: (view) => search.openView(view), search: () => search.view });

const flow = new Flow({ view, lines, stream, search, interruption }, {
  paused: () => {
    surroundings.updateState();
    surroundings.update();
  },
  shown: () => {
    service.ask();
    view.schedule();
  },
});

const visit = new Visit({ view, lines, details, neighbours, search, interruption });
const arrivals = new Arrivals({
  stream, intake, interruption, rate, lines, view, search, service, past, surroundings, histogram, bell,
  patterns, visit, login,
});

const help = () => byId('help', HTMLDialogElement).showModal();
startFocus(() => current().view.elements.scroller);
startKeyboard({ current, neighbours, details, search, flow, patterns, wrap: viewMenu.toggleWrap, help });
startToolbar({ lines, current, neighbours, details, search, surroundings, flow, help });
startChipRow(prefs);
guardClicks();
for (const one of [view, neighbours.view]) startCopying(one);

setInterval(() => {
  rate.tick();
  current().view.tick();
  tickTimes();
  surroundings.tick();
}, 1_000);
addEventListener('popstate', () => {
  if (!hasReturned()) visit.followAddress(prefs.raw);
});

viewMenu.apply();
visit.followAddress(prefs.raw);
