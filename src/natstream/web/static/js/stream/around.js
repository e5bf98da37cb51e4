// The lines around one line, from /api/logs?around=…, whatever the filter of the page is. No DOM.

import { Groups } from '../list/groups.js';
import { Intake } from './intake.js';
import { refusalOf } from './request.js';
import { parseId } from './resume.js';

/** @typedef {import('../types.js').Entry} Entry */

// A group has at most some hundred lines, and other lines of its machine may stand between them.
const GROUP_LINES = 300;
// A line that arrived so long after a time is not from that time.
const NEAR_MS = 60_000;

/** The answer for a line that the service does not have. */
export const MISSING = 'That line is no longer remembered';

/**
 * @param {string} id of the line
 * @param {{before: number, after: number, app?: string, machine?: string}} options how many lines
 *   before and after it, and of which app and machine; of all if left out
 * @returns {Promise<Entry[] | string>} the lines with notices between them; or a sentence that says
 *   why there are none
 */
export async function askAround(id, { before, after, app, machine }) {
  const params = new URLSearchParams({
    around: id, before: String(before), after: String(after), format: 'ndjson',
    ...(app && { app }), ...(machine && { machine }),
  });
  try {
    const response = await fetch(`api/logs?${params}`, { cache: 'no-store' });
    if (response.status === 404) return MISSING;
    if (!response.ok) return (await refusalOf(response)).detail;
    return entriesOf(await response.text());
  } catch {
    return 'The service cannot be reached.';
  }
}

/**
 * Return the id of the first line that arrived at a time or later, and of the last line before it if there
 * is none.
 * @param {number} moment Unix ms @param {string} params the filter, as parameters of /api/logs
 * @returns {Promise<{id: string, isLate: boolean} | string>} `isLate`: the line is from another
 *   time; or a sentence that says why there is none
 */
export async function askMoment(moment, params) {
  const time = new Date(moment).toISOString();
  try {
    const first = await firstId(`${params}&since=${time}`);
    const id = first || await firstId(`${params}&until=${time}&tail=1`);
    if (!id) return 'No line is remembered, neither from that time nor from before it';
    const arrived = parseId(id)?.arrived ?? moment;
    return { id, isLate: Math.abs(arrived - moment) > NEAR_MS };
  } catch (error) {
    return error instanceof Refusal ? error.message : 'The service cannot be reached.';
  }
}

class Refusal extends Error {}

/** Return the id of the first line of a replay, and read no other one.
 * @param {string} params @returns {Promise<string>} empty if there is no line */
async function firstId(params) {
  const stop = new AbortController();
  const response = await fetch(`api/logs?${params}&follow=false&format=ndjson`, {
    cache: 'no-store', signal: stop.signal,
  });
  if (!response.ok || !response.body) throw new Refusal((await refusalOf(response)).detail);
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  let text = '';
  for (;;) {
    const { value = '', done } = await reader.read();
    text += value;
    const lines = text.split('\n');
    text = done ? '' : lines.pop() ?? '';
    for (const line of lines.filter((one) => one.trim())) {
      const { id = '' } = JSON.parse(line);
      if (!id) continue; // a notice
      stop.abort();
      return id;
    }
    if (done) return '';
  }
}

/** Return all lines of a line's group, as the service has them.
 * @param {Entry} entry @returns {Promise<Entry[] | string>} */
export async function askGroup(entry) {
  const { id, app, machine } = entry;
  const lines = await askAround(id, { before: GROUP_LINES, after: GROUP_LINES, app, machine });
  return typeof lines === 'string' ? lines : groupIn(lines, entry);
}

/** Return the lines of an entry's group among others of its machine.
 * @param {Entry[]} lines @param {Entry} entry */
export function groupIn(lines, entry) {
  const groups = new Groups();
  lines.forEach((line, seq) => groups.push(seq, line, 0));
  const seq = lines.findIndex(({ id }) => id === entry.id);
  const group = groups.of(seq);
  return group ? [group.head, ...group.members].map((one) => lines[one]) : [entry];
}

/** @param {string} ndjson @returns {Entry[]} */
export function entriesOf(ndjson) {
  const events = ndjson.split('\n').filter((line) => line.trim()).map((line) => {
    const { id = '', ...event } = JSON.parse(line);
    return { id, event };
  });
  // The first notice says that the stream has begun.
  return new Intake().accept(events.slice(events[0]?.id === '' ? 1 : 0)).entries;
}
