// A request for a stream of lines, and the reasons of a refused one. No DOM.

import { openWorkerClient } from './worker_client.js';

/** @typedef {{params: string, watch: AbortController, answer: Promise<Response>,
 *   isWaiting: () => boolean}} LogRequest
 *   `watch` ends the request, or the stream that answers it; `isWaiting`: other tabs have all
 *   streams that a browser may open */
/** @typedef {{final?: 'denied' | 'refused' | 'ended', live: boolean, detail: string, after: number,
 *   atOnce?: boolean}} End
 *   How a connection ended. `final`: the service wants no other try; `live`: the stream had begun;
 *   `after`: seconds that the service asks to wait; `atOnce`: the next try need not wait */

const client = openWorkerClient();

/**
 * Ask the service for a stream, which tabs with equal parameters share.
 * @param {string} params of /api/logs @param {string} [lastId] the event id to resume from
 * @returns {LogRequest}
 */
export function requestLogs(params, lastId = '') {
  const watch = new AbortController();
  return { params, watch, ...client.request(`api/logs?${params}`, lastId, watch.signal) };
}

/** Return why the service refused. @param {Response} response @returns {Promise<End>} */
export async function refusalOf(response) {
  const body = await response.json().catch(() => ({}));
  const detail = String(body?.error ?? `The service answers ${response.status}.`);
  const after = Number(response.headers.get('Retry-After')) || 0;
  const finals = /** @type {Record<number, 'denied' | 'refused'>} */ ({ 401: 'denied', 400: 'refused' });
  return { final: finals[response.status], live: false, detail, after };
}
