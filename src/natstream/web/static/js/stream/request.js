// A request for a stream of lines, and the reasons of a refused one. No DOM.

/** @typedef {{params: string, watch: AbortController, answer: Promise<Response>}} LogRequest
 *   `watch` ends the request, or the stream that answers it */
/** @typedef {{final?: 'denied' | 'refused' | 'ended', live: boolean, detail: string, after: number}} End
 *   How a connection ended. `final`: the service wants no other try; `live`: the stream had begun;
 *   `after`: seconds that the service asks to wait */

/**
 * Ask the service for a stream.
 * @param {string} params of /api/logs @param {string} [lastId] the event id to resume from
 * @returns {LogRequest}
 */
export function requestLogs(params, lastId = '') {
  const watch = new AbortController();
  const answer = fetch(`api/logs?${params}`, {
    signal: watch.signal,
    cache: 'no-store',
    headers: { Accept: 'text/event-stream', ...(lastId && { 'Last-Event-ID': lastId }) },
  });
  return { params, watch, answer };
}

/** Return why the service refused. @param {Response} response @returns {Promise<End>} */
export async function refusalOf(response) {
  const body = await response.json().catch(() => ({}));
  const detail = String(body?.error ?? `The service answers ${response.status}.`);
  const after = Number(response.headers.get('Retry-After')) || 0;
  const finals = /** @type {Record<number, 'denied' | 'refused'>} */ ({ 401: 'denied', 400: 'refused' });
  return { final: finals[response.status], live: false, detail, after };
}
