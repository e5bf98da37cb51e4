// Events of the stream → entries of the list. Pure.
//
// In: events as the service sends them. Out: entries to show, in order. After a cut the service may
// repeat lines that the page has shown already: the intake leaves them out, and counts them in the
// note about the cut.

import { kindOf } from '../text/fly.js';
import { Doubles, parseId } from './resume.js';

/** @typedef {import('../types.js').Entry} Entry */
/** @typedef {import('../types.js').Note} Note */

// Apps, regions and machines have few values, each on many lines. The page keeps each value once,
// because that saves 200 bytes a line.
const MOST_NAMES = 5_000;

/** @param {unknown} value */
const textOf = (value) => (typeof value === 'string' ? value : value == null ? '' : String(value));

export class Intake {
  /** @type {Map<string, string>} */
  #names = new Map();
  /** The newest release of each app. @type {Map<string, number>} */
  #releases = new Map();
  #doubles = new Doubles();
  /** The note about the last cut. @type {Entry | null} */
  #cut = null;
  /** Whether that note is shown only if lines were missed. */
  #isQuiet = false;
  #lastNotice = '';
  /** When the stream was opened, by the service's clock; 0 after the first line that is newer. */
  #opened = 0;
  /** When the stream started anew, by the service's clock. */
  openedAt = 0;
  /** The number of lines from before the stream was opened. */
  remembered = 0;

  /** A stream has started anew. @param {number} time of the service, in Unix ms */
  begin(time) {
    this.#cut = null;
    this.#lastNotice = '';
    this.#releases.clear();
    this.#opened = this.openedAt = time;
    this.remembered = 0;
  }

  /**
   * A stream goes on after a cut.
   * @param {string} words about the cut @param {string} lastId the event id that it resumes from
   * @param {number} time of the service, in Unix ms @param {Iterable<Entry>} newestFirst all
   *   entries shown
   * @param {boolean} [isQuiet] whether a cut that cost nothing needs no note
   * @returns {Entry} the note about the cut, which counts the replayed lines. If it is quiet, then
   *   `accept` returns it once there is something to count
   */
  resume(words, lastId, time, newestFirst, isQuiet = false) {
    this.#doubles.expect(lastId, newestFirst, time);
    const note = notice(words, 'resumed', time, { missed: 0 });
    this.#cut = note;
    this.#isQuiet = isQuiet;
    this.#opened = time;
    return note;
  }

  /**
   * @param {import('./log_stream.js').StreamEvent[]} events
   * @returns {{entries: Entry[], live: Entry[], noted: Entry | null}} `live`: the lines that
   *   are newer than the stream; `noted`: the note whose counts have changed */
  accept(events) {
    /** @type {Entry[]} */
    const entries = [];
    /** @type {Entry | null} */
    let noted = null;
    /** @type {Entry[]} */
    const live = [];
    for (const { id, event } of events) {
      if (!id) {
        const entry = this.#notice(event);
        if (entry?.note?.tone === 'gap') this.#tellOfCut(entries);
        if (entry) entries.push(entry);
        continue;
      }
      const entry = this.entryOf(id, event);
      if (this.#cut && this.#doubles.has(entry)) {
        /** @type {Note} */ (this.#cut.note).doubled += 1;
        noted = this.#cut;
        continue;
      }
      if (this.#isOld(id)) {
        if (this.#cut) {
          this.#tellOfCut(entries);
          /** @type {Note} */ (this.#cut.note).replayed += 1;
          noted = this.#cut;
        } else this.remembered += 1;
      } else {
        live.push(entry);
      }
      entries.push(entry);
    }
    return { entries, live, noted };
  }

  /** Add the note about a quiet cut, because it was not without cost. @param {Entry[]} entries */
  #tellOfCut(entries) {
    if (this.#isQuiet && this.#cut) entries.push(this.#cut);
    this.#isQuiet = false;
  }

  /** Whether a line reached the service before the stream was opened. @param {string} id */
  #isOld(id) {
    if (!this.#opened) return false;
    if ((parseId(id)?.arrived ?? Infinity) <= this.#opened) return true;
    // All further lines count as live. Repeated lines are still left out, since a few may follow.
    this.#opened = 0;
    return false;
  }

  /** Return the entry of a line's event.
   * @param {string} id empty for a line that no stream resumes from
   * @param {Record<string, any>} event @returns {Entry} */
  entryOf(id, event) {
    /** @type {Entry} */
    const entry = {
      id,
      time: typeof event.timestamp === 'number' ? event.timestamp : NaN,
      message: textOf(event.message),
      app: this.#name(event.app),
      region: this.#name(event.region),
      machine: this.#name(event.machine),
      group: this.#name(event.group),
      release: this.#name(event.release),
      stream: this.#name(event.stream),
      level: this.#name(event.level),
      type: this.#name(event.type),
      provider: this.#name(event.provider),
      source: this.#name(event.source),
      persistent: event.persistent === true,
      kind: '',
      continues: event.continues === true,
      note: null,
    };
    if (this.#isNewRelease(entry)) entry.kind = 'release';
    else if (entry.type === 'system') entry.kind = kindOf(entry);
    return entry;
  }

  /** Return whether a line is the first of a newer release of its app.
   * @param {Entry} entry */
  #isNewRelease({ app, release }) {
    const number = Number(release);
    if (!release || !Number.isFinite(number)) return false;
    const newest = this.#releases.get(app);
    if (newest !== undefined && number <= newest) return false;
    if (this.#releases.size >= MOST_NAMES) this.#releases.clear();
    this.#releases.set(app, number);
    return newest !== undefined;
  }

  /** @param {Record<string, any>} event @returns {Entry | null} */
  #notice(event) {
    const message = textOf(event.message);
    const time = typeof event.timestamp === 'number' ? event.timestamp : Date.now();
    if (event.gap) {
      const { missed, since, at_most: atMost } = event.gap;
      if (this.#cut?.note && this.#opened) this.#cut.note.missed = null;
      return notice(message, 'gap', time, {
        missed: typeof missed === 'number' ? missed : null,
        since: typeof since === 'number' ? since : null,
        atMost: atMost === true,
      });
    }
    // The service repeats a notice on each connection while its reason lasts. Readers see it once.
    if (message === this.#lastNotice) return null;
    this.#lastNotice = message;
    return notice(message, event.type === 'error' ? 'error' : 'notice', time);
  }

  /** @param {unknown} value @returns {string} */
  #name(value) {
    const text = textOf(value);
    const known = this.#names.get(text);
    if (known !== undefined) return known;
    if (this.#names.size >= MOST_NAMES) this.#names.clear();
    this.#names.set(text, text);
    return text;
  }
}

/** @param {string} message @param {Note['tone']} tone @param {number} time @param {Partial<Note>}
 * [note]
 * @returns {Entry} */
export function notice(message, tone, time, note = {}) {
  return {
    id: '', time, message, app: '', region: '', machine: '', group: '', release: '', stream: '',
    level: '', type: tone === 'error' ? 'error' : 'system', provider: '', source: '', persistent: false, kind: '',
    continues: false,
    note: { tone, missed: null, atMost: false, since: null, replayed: 0, doubled: 0, ...note },
  };
}
