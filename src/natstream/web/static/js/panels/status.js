// The state of this page's connection and of the service's sources, as a word and as a panel. Pure,
// except for the elements of the panel.

import { h } from '../dom.js';
import { ago, bytes, count, figure, perSecond, span } from '../text/time.js';

/**
 * @typedef {{state: string, since: number, reason?: string, detail?: string, lines?: number,
 *   last_line?: number | null, checked?: number, uncheckable?: boolean}} Source  a reader with a
 *   link does not get the times of lines and checks
 * @typedef {{version: string, epoch: string, keepalive: number, authentication: boolean,
 *   sources: Record<string, Source>, subjects?: string[], readers?: number,
 *   drain?: {url: string, authentication: boolean} | null,
 *   backlog?: {lines: number, bytes: number, first_ms: number | null, reach_seconds: number},
 *   scope?: string, expires?: number}} Status  a reader with a link gets `scope` and
 *   `expires` instead of the figures
 * @typedef {{tone: 'good' | 'busy' | 'bad' | 'idle', text: string, detail: string}} Summary
 */

/** The word for a source's state, which stands after its name, where it is another. */
const WORDS = new Map([['up', 'connected']]);

/** The word for the reason of a source's state, if the service gives one that people read. */
const REASONS = new Map([
  ['unreachable', 'unreachable'], ['no_leader', 'without a leader'], ['full', 'full'],
  ['deleted', 'deleted'], ['no_jetstream', 'without JetStream'],
  ['max_payload', 'with too small messages'], ['no_headers', 'without headers'], ['unfit', 'unfit'],
]);

/** @param {Source} source */
const wordOf = ({ state, reason = '' }) => REASONS.get(reason) ?? WORDS.get(state) ?? state;

/** @param {string} name */
const properName = (name) => (name === 'nats' ? 'NATS' : name);

/** @param {string} name @param {Source} source */
export const describeSource = (name, source) =>
  `${properName(name)} ${wordOf(source)}`;

/**
 * Return when the last line came, or for how long none has come and what is known of the reason.
 * @param {Source} source @param {number} now
 */
export function lastLine({ state, since, last_line, checked = 0, uncheckable }, now) {
  if (last_line === undefined) return '';
  const silent = last_line ? `no lines for ${span(Math.max(0, now - last_line) / 1000)}`
    : state === 'up' ? `no lines for ${span(Math.max(0, now - since) / 1000)}` : 'no lines yet';
  if (state === 'up' && uncheckable) {
    return `${silent}; it cannot be checked whether there are any`;
  }
  if (state === 'up' && checked > (last_line ?? 0)) {
    return `${silent}; checked ${ago(Math.min(checked, now), now)}`;
  }
  if (!last_line) return silent;
  return `last line ${ago(Math.min(last_line, now), now)}`;
}

/**
 * Return the worst of all states, in a few words.
 * @param {import('../stream/log_stream.js').StreamState} stream
 * @param {Status | null} status
 * @param {string} released why the page has closed its connection; empty if it has not
 * @param {number} now
 * @returns {Summary}
 */
export function summarize(stream, status, released, now) {
  if (stream.name === 'waiting') {
    const seconds = Math.max(0, Math.ceil((stream.until - now) / 1000));
    const again = seconds ? `again in ${seconds} s` : 'trying again';
    return { tone: 'bad', text: `Disconnected · ${again}`, detail: stream.detail };
  }
  if (stream.name === 'queued') {
    return { tone: 'busy', text: 'Waiting for a stream', detail: stream.detail };
  }
  if (stream.name === 'denied') return { tone: 'bad', text: 'Token needed', detail: stream.detail };
  if (stream.name === 'ended') {
    const detail = 'All lines until the time in the search field are here. Remove until: to see new ones.';
    return { tone: 'idle', text: 'Ended', detail };
  }
  if (stream.name === 'refused') return { tone: 'bad', text: 'Not understood', detail: stream.detail };
  if (stream.name === 'idle' && released) {
    const detail = `The page has closed its connection (${released}). Going to the newest line opens it again.`;
    return { tone: 'idle', text: 'New lines wait in the service', detail };
  }
  if (stream.name === 'idle' || stream.name === 'connecting') {
    return { tone: 'busy', text: 'Connecting', detail: stream.detail };
  }
  if (!status) {
    return { tone: 'busy', text: 'Connected', detail: 'The state of the sources is not known.' };
  }
  const sources = Object.entries(status.sources);
  const down = sources.filter(([, source]) => source.state !== 'up');
  if (down.length) {
    const waiting = down.every(([, { state }]) => state === 'connecting' || state === 'starting');
    return {
      tone: waiting ? 'busy' : 'bad',
      text: `Connected · ${down.map(([name, source]) => describeSource(name, source)).join(', ')}`,
      detail: down.map(([, source]) => source.detail).filter(Boolean).join(' '),
    };
  }
  const times = sources.map(([name, source]) => [properName(name), lastLine(source, now)]);
  const told = times.filter(([, time]) => time).map(([name, time]) => `${name}: ${time}.`);
  const detail = ['This page and all sources are connected.', ...told].join(' ');
  return { tone: 'good', text: 'Live', detail };
}

/** Build the panel with all states and figures.
 * @param {Summary} summary @param {Status | null} status
 * @param {{rate: number, retry: (() => void) | null, leave: () => void}} more
 * @param {number} now */
export function statusPanel(summary, status, { rate, retry, leave }, now) {
  /** @type {HTMLElement[]} */
  const parts = [h('h2', {}, summary.text)];
  const told = Object.values(status?.sources ?? {}).some(({ detail }) => detail === summary.detail);
  if (!told) parts.push(h('p', {}, summary.detail));
  if (retry) parts.push(h('button', { type: 'button', onclick: retry }, 'Try now'));
  if (!status) return parts;
  // The hub is not a source, so the panel mentions it only when it has failed.
  const sources = Object.entries(status.sources);
  const shown = sources.filter(([name, { state }]) => name !== 'hub' || state !== 'up');
  const rows = shown.map(([name, source]) =>
    row(
      properName(name),
      h('span', { class: `source ${source.state}` }, wordOf(source)),
      ` for ${span(Math.max(0, now - source.since) / 1000)}`,
      source.lines === undefined ? '' : `, ${count(source.lines, 'line')}`,
      lastLine(source, now) && `, ${lastLine(source, now)}`,
      source.detail ? h('div', { class: 'detail' }, source.detail) : '',
    ),
  );
  const { backlog, scope } = status;
  if (scope !== undefined) {
    const until = status.expires ? `, until ${new Date(status.expires).toLocaleString()}` : '';
    rows.push(row('Shows only', h('code', {}, new URLSearchParams(scope).toString()), until));
  }
  if (status.subjects) rows.push(row('Reads', status.subjects.join(', ') || 'no NATS subject'));
  if (backlog) {
    const reach = backlog.lines ? `, back to ${span(backlog.reach_seconds)} ago` : '';
    rows.push(row('Remembers', `${count(backlog.lines, 'line')} (${bytes(backlog.bytes)})${reach}`));
  }
  if (status.readers !== undefined) rows.push(row('Readers', figure(status.readers)));
  rows.push(
    row('This page', `${perSecond(rate)}, over one connection`),
    row('Version', `${status.version}, ${status.sources.journal ? 'epoch' : 'process'} ${status.epoch}`),
    row('Access', ...(status.authentication
      ? ['with a token ', h('button', { type: 'button', class: 'quiet word', onclick: leave }, 'log out')]
      : ['open to everyone who can reach the service'])),
  );
  parts.push(h('dl', {}, ...rows.flat()));
  return parts;
}

/** @param {string} name @param {...(Node | string)} values */
const row = (name, ...values) => [h('dt', {}, name), h('dd', {}, ...values)];
