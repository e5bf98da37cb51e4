// An entry as text: as JSON, as a line of a file, as a sentence. Pure.

import { stripAnsi } from './ansi.js';
import { revealed } from './readable.js';
import { clockTime, count, figure, isoTime } from './time.js';

/** @typedef {import('../types.js').Entry} Entry */

/** Return the event as the service sent it. @param {Entry} entry */
export function toEvent(entry) {
  const {
    id, time, message, app, region, machine, group, release, stream, level, type, provider, source,
  } = entry;
  return {
    message, timestamp: time, type, persistent: entry.persistent,
    app, region, machine, stream, level, provider, source,
    ...(entry.continues && { continues: true }),
    ...(group && { group }), ...(release && { release }), id,
  };
}

/** Return an entry as a line of a file; empty if the format has no notices.
 * @param {Entry} entry @param {'ndjson' | 'text'} format
 * @param {import('./time.js').Clock} [clock] the zone of the time in a text */
export function lineOf(entry, format, clock = 'utc') {
  if (format === 'ndjson') return entry.note ? '' : `${JSON.stringify(toEvent(entry))}\n`;
  if (entry.note) return `# ${noticeText(entry, clock)}\n`;
  const time = isoTime(entry.time, clock);
  const level = entry.level ? ` [${revealed(entry.level)}]` : '';
  const message = revealed(stripAnsi(entry.message)).trimEnd().replaceAll('\n', '\n    ');
  const origin = revealed(`${entry.app || entry.source}[${entry.machine}] ${entry.region}`).trimEnd();
  return `${time} ${origin}${level} ${message}\n`;
}

/** Return the words for what an entry marks in the histogram. @param {Entry} entry */
export const markText = ({ kind, message, app, release }) =>
  (kind === 'release' ? `release ${release} of ${app}` : message);

/** Return the sentence of a notice or a gap.
 * @param {Entry} entry @param {import('./time.js').Clock} clock of the times in it */
export function noticeText(entry, clock) {
  const note = /** @type {import('../types.js').Note} */ (entry.note);
  if (note.tone === 'gap') return gapText(entry, note, clock);
  if (note.tone !== 'resumed') return entry.message;
  const repeated = note.doubled ? `, ${count(note.doubled, 'repeated line')} left out` : '';
  const replayed = note.replayed || note.missed === null
    ? `${count(note.replayed, 'line')} replayed`
    : 'nothing missed';
  return `${entry.message} ${replayed}${repeated}`;
}

/** @param {Entry} entry @param {import('../types.js').Note} note
 * @param {import('./time.js').Clock} clock */
function gapText(entry, note, clock) {
  // A gap says when it began, in a sentence that stays: so no time ago.
  const zone = clock === 'relative' ? 'local' : clock;
  const since = note.since ? ` since ${clockTime(note.since, zone, entry.time)}` : '';
  if (note.missed === null) return `Lines may be missing here${since}: how many is not known`;
  const lines = note.missed === 1 ? 'line' : 'lines';
  return `${note.atMost ? 'up to ' : ''}${figure(note.missed)} ${lines} missed${since}`;
}
