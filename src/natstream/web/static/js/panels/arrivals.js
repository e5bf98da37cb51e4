// What comes from the service: the lines go through the intake to the list, and the state of the stream
// to what shows it. In: the handlers of the stream. Out: the parts of the page.

/**
 * @typedef {object} Parts
 * @property {import('../stream/log_stream.js').LogStream} stream
 * @property {import('../stream/intake.js').Intake} intake
 * @property {import('../stream/flow.js').Interruption} interruption
 * @property {import('../stream/flow.js').Rate} rate
 * @property {import('../list/lines.js').Lines} lines
 * @property {import('../list/view.js').View} view
 * @property {import('../query/search.js').Search} search
 * @property {import('./service.js').Service} service
 * @property {import('./past.js').Past} past
 * @property {import('./surroundings.js').Surroundings} surroundings
 * @property {import('./histogram.js').Histogram} histogram
 * @property {import('./bell.js').Bell} bell
 * @property {import('./patterns.js').PatternPanel} patterns
 * @property {import('./visit.js').Visit} visit
 * @property {{ask: () => void}} login
 */

// Without these, no line comes until the reader does something.
const OVER = new Set(['idle', 'denied', 'refused', 'ended']);

export class Arrivals {
  /** @param {Parts} parts */
  constructor(parts) {
    this.parts = parts;
  }

  /** @param {import('../stream/log_stream.js').StreamState} state */
  state({ name, detail }) {
    const { interruption, lines, service, login, search, surroundings, bell } = this.parts;
    if (name === 'waiting') {
      interruption.cut();
      lines.awaitWanted('cut');
    }
    if (name === 'waiting' || name === 'idle') service.forget();
    if (name === 'denied') login.ask();
    if (name === 'refused') search.field.complain(detail);
    if (OVER.has(name)) bell.stop('The bell is off, because this page gets no lines any more.');
    surroundings.updateState();
  }

  /** A stream has begun. @param {{resumedFrom: string, time: number}} how */
  opened({ resumedFrom, time }) {
    const { interruption, intake, lines, search, past, service, visit } = this.parts;
    if (resumedFrom) {
      const words = interruption.describe();
      const note = intake.resume(words, resumedFrom, time, lines.newestFirst(), interruption.isHidden);
      if (!interruption.isHidden) lines.accept([note]);
    } else {
      lines.ahead = time - Date.now();
      search.grant();
      lines.begin(visit.takeReading());
      past.begin();
      intake.begin(time);
    }
    lines.awaitWanted('replay');
    interruption.end();
    service.ask();
  }

  /** @param {Parameters<import('../stream/intake.js').Intake['accept']>[0]} events */
  events(events) {
    const { intake, rate, service, surroundings, lines, histogram, view, bell, patterns } = this.parts;
    const { entries, noted, live } = intake.accept(events);
    rate.add(live.length);
    if (live.length) {
      service.hear(live);
      bell.hear(live);
      patterns.hear(live);
    }
    surroundings.title.hear(live.length ? live : entries);
    lines.accept(entries);
    lines.awaitWanted(live.length ? 'live' : 'replay');
    if (lines.waiting) surroundings.update(); // otherwise the view does it when it draws
    histogram.soon();
    if (noted) view.refresh(noted);
    if (entries.some((entry) => entry.note)) service.ask({ soon: true });
  }
}
