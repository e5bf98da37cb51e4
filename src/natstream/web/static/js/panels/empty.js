// The text of the list while it has no lines: what the service listens to, and how to send a first
// line.

import { h } from '../dom.js';
import { describeSource } from './status.js';

/**
 * @param {import('./status.js').Status | null} status
 * @param {{filtered: boolean, cleared: boolean, queued: string}} why `queued`: why there is no stream
 *   for this tab, or empty
 * @param {{showAll: () => void, showAgain: () => void}} actions of its buttons
 */
export function emptyState(status, { filtered, cleared, queued }, { showAll, showAgain }) {
  if (queued) return [h('h2', {}, 'This tab waits for a stream'), h('p', {}, queued)];
  if (cleared) {
    return [
      h('h2', {}, 'The list was cleared'),
      h('p', {}, 'New lines will appear here. The cleared lines are gone from this page only.'),
      h('p', {}, h('button', { type: 'button', onclick: showAgain }, 'Show them again')),
    ];
  }
  if (filtered) {
    return [
      h('h2', {}, 'No line matches, so far'),
      h('p', {}, 'The service remembers no line that passes this filter. New lines that pass it will appear here.'),
      h('p', {}, h('button', { type: 'button', onclick: showAll }, 'Show all lines')),
    ];
  }
  const sources = Object.entries(status?.sources ?? {});
  /** @type {HTMLElement[]} */
  const parts = [h('h2', {}, 'No lines yet')];
  if (status?.subjects?.length) {
    parts.push(
      h('p', {}, 'Listening to ',
        ...status.subjects.flatMap((subject, index) => [index ? ', ' : '', h('code', {}, subject)]),
        ' on Fly’s NATS: lines that these apps print appear here at once.'),
    );
  }
  for (const [name, source] of sources) {
    if (source.state !== 'up') {
      parts.push(h('p', { class: 'problem' }, `${describeSource(name, source)}. ${source.detail ?? ''}`));
    }
  }
  const steps = [];
  if (status?.subjects?.length) {
    steps.push(
      h('dt', {}, 'From Fly: use one of your apps, or restart it'),
      h('dd', {}, h('code', {}, 'fly apps restart your-app')),
    );
  }
  if (status?.drain) {
    const { url, authentication } = status.drain;
    const token = authentication ? '-H "Authorization: Bearer $NATSTREAM_DRAIN_TOKEN" ' : '';
    const body = '{"instance": "m1", "message": "hello"}';
    steps.push(
      h('dt', {}, 'Through the log drain, on the machine that runs this service'),
      h('dd', {}, h('code', {}, `curl ${token}-d '${body}' '${url}/'`)),
    );
  }
  if (steps.length) parts.push(h('p', {}, 'To send a first line:'), h('dl', {}, ...steps));
  return parts;
}
