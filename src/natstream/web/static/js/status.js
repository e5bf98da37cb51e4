// What is true just now: of this page's connection, and of the service's sources. Pure, but for
// the panel's elements.

import { h } from './dom.js';
import { ago, bytes, count, figure, perSecond, span } from './time.js';

/**
 * @typedef {{state: string, detail: string, since: number, lines: number}} Source
 * @typedef {{version: string, sources: Record<string, Source>, readers: number,
 *   backlog: {lines: number, bytes: number, first_ms: number | null, reach_seconds: number},
 *   subjects: string[], authentication: boolean, epoch: string, keepalive?: number}} Status
 * @typedef {{tone: 'good' | 'busy' | 'bad' | 'idle', text: string, detail: string}} Summary
 */

/** How a source's state reads after its name. @type {Record<string, string>} */
const WORDS = {
  starting: 'starting', connecting: 'connecting', up: 'connected', lost: 'lost',
  denied: 'denied', crashed: 'crashed', closed: 'closed',
};

/** @param {string} name */
const properName = (name) => (name === 'nats' ? 'NATS' : name);

/** @param {string} name @param {Source} source */
export const describeSource = (name, source) =>
  `${properName(name)} ${WORDS[source.state] ?? source.state}`;

/**
 * The one thing to say about it all: the worst.
 * @param {import('./feed.js').FeedState} feed
 * @param {Status | null} status
 * @param {string} released why the connection is let go of on purpose; empty if it is not
 * @param {number} now
 * @returns {Summary}
 */
export function summarize(feed, status, released, now) {
  if (feed.name === 'waiting') {
    const seconds = Math.max(0, Math.ceil((feed.until - now) / 1000));
    const again = seconds ? `again in ${seconds} s` : 'trying again';
    return { tone: 'bad', text: `Disconnected · ${again}`, detail: feed.detail };
  }
  if (feed.name === 'denied') return { tone: 'bad', text: 'Token needed', detail: feed.detail };
  if (feed.name === 'refused') return { tone: 'bad', text: 'Not understood', detail: feed.detail };
  if (feed.name === 'idle') return { tone: 'idle', text: 'Released', detail: released };
  if (feed.name === 'connecting') return { tone: 'busy', text: 'Connecting', detail: feed.detail };
  const sources = Object.entries(status?.sources ?? {});
  const down = sources.filter(([, source]) => source.state !== 'up');
  if (down.length) {
    const waiting = down.every(([, { state }]) => state === 'connecting' || state === 'starting');
    return {
      tone: waiting ? 'busy' : 'bad',
      text: `Connected · ${down.map(([name, source]) => describeSource(name, source)).join(', ')}`,
      detail: down.map(([, source]) => source.detail).filter(Boolean).join(' '),
    };
  }
  return { tone: 'good', text: 'Live', detail: 'Connected, and so are all sources.' };
}

/** The panel with all that is known. @param {Summary} summary @param {Status | null} status
 * @param {{rate: number, retry: (() => void) | null}} more @param {number} now */
export function statusPanel(summary, status, { rate, retry }, now) {
  /** @type {HTMLElement[]} */
  const parts = [
    h('h2', {}, summary.text),
    h('p', {}, summary.detail),
  ];
  if (retry) parts.push(h('button', { type: 'button', onclick: retry }, 'Try now'));
  if (!status) return parts;
  // The hub is no source: it is worth a word only when it fails.
  const sources = Object.entries(status.sources);
  const told = sources.filter(([name, { state }]) => name !== 'hub' || state !== 'up');
  const rows = told.map(([name, source]) =>
    row(
      properName(name),
      h('span', { class: `source ${source.state}` }, WORDS[source.state] ?? source.state),
      ` since ${ago(source.since, now)}, ${count(source.lines, 'line')}`,
      source.detail && h('div', { class: 'detail' }, source.detail),
    ),
  );
  const { backlog } = status;
  const reach = backlog.lines ? `, back to ${span(backlog.reach_seconds)} ago` : '';
  rows.push(
    row('Reads', status.subjects.join(', ') || 'no NATS subject'),
    row('Remembers', `${count(backlog.lines, 'line')} (${bytes(backlog.bytes)})${reach}`),
    row('Readers', figure(status.readers)),
    row('This page', `${perSecond(rate)}, over one connection`),
    row('Version', `${status.version}, process ${status.epoch}`),
    row('Access', status.authentication ? 'with a token' : 'open to whoever can reach it'),
  );
  parts.push(h('dl', {}, ...rows.flat()));
  return parts;
}

/** @param {string} name @param {...(Node | string)} values */
const row = (name, ...values) => [h('dt', {}, name), h('dd', {}, ...values)];
