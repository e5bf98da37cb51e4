// The one connection to /api/logs: opened, watched, resumed, released.
//
// It reads the event stream with fetch instead of an EventSource: one read brings hundreds of
// lines, the answer's status and Retry-After can be seen (an EventSource only says "error"), and
// a connection that has died in silence is noticed by its missing keep-alives. The form is SSE
// rather than NDJSON, since only there a keep-alive moves the place to resume from.
//
// What it tells: `state` (see FeedState), `opened` once per connection, then `events`. What can
// go wrong ends in a state, never in an exception: `waiting` tries again by itself, `denied`
// (no token) and `refused` (a query that the service does not take) need somebody to act.
//
// Of a stream that is open or can be resumed, nothing is let go of before the service has taken the
// query that is to follow it: if it does not, the stream goes on, and `declined` is told why.

import { SseParser, decode } from './sse.js';

/**
 * @typedef {{name: 'idle' | 'connecting' | 'live' | 'waiting' | 'denied' | 'refused',
 *   detail: string, until: number}} FeedState  `until`: Unix ms of the next try, when waiting
 * @typedef {{id: string, event: Record<string, any>}} FeedEvent
 * @typedef {object} FeedHandlers
 * @property {(state: FeedState) => void} state
 * @property {(detail: string) => void} declined  the stream before goes on
 * @property {(opening: {resumedFrom: string, time: number}) => void} opened
 * @property {(events: FeedEvent[]) => void} events
 */

// The service says that it is alive every 15 s (NATSTREAM_KEEPALIVE; `keepalive` in its status).
// Two and a half of them missing is a dead connection.
const PATIENCE = 2.5;
// The service draws 1 to 3 s anew for each reader and sends it as `retry:`; until then this.
const RETRY_MS = 2_000;
// A service that stays away is asked less and less often, but a return is noticed soon.
const LONGEST_WAIT_MS = 20_000;
// When to say why nothing may be coming.
const SLOW_MS = 8_000;
const SLOW =
  'No answer yet. Browsers open six connections to a service: other tabs may hold them all.';
// With no answer for this long, the stream before is let go of: it may hold the last connection that
// the browser opens to the service.
const OVERLAP_MS = 2_000;
// Work for this long, then let the page draw: a large replay comes faster than it is shown.
const SLICE_MS = 16;

export class Feed {
  /** Milliseconds between the service's keep-alives. */
  keepalive = 15_000;
  /** The id of the last line seen or passed over: the place to resume from. */
  lastId = '';
  /** @type {FeedState} */
  state = { name: 'idle', detail: '', until: 0 };
  #on;
  /** What is read; null if nothing is. @type {string | null} */
  #params = null;
  #retry = RETRY_MS;
  /** @type {AbortController | null} */
  #running = null;
  /** What is to follow, while the service has not answered. @type {Asked | null} */
  #next = null;
  /** Ends a pause between tries. */
  #hurry = () => {};

  /** @param {FeedHandlers} handlers */
  constructor(handlers) {
    this.#on = handlers;
    addEventListener('online', () => this.retryNow());
  }

  /** Read from anew. @param {URLSearchParams} params of /api/logs */
  start(params) {
    const next = params.toString();
    const keeps = this.state.name === 'live' || (this.state.name === 'idle' && this.lastId !== '');
    this.#next?.watch.abort();
    this.#next = null;
    if (keeps) void this.#replace(next);
    else this.#begin(next);
  }

  /** Read on from where it was released, or from the start. */
  resume() {
    if (!this.#running && this.#params !== null) this.#go();
  }

  /** Let go of the connection; `resume` goes on from here. */
  release() {
    if (this.#next) {
      this.#next.watch.abort();
      this.#params = this.#next.params;
      this.lastId = '';
      this.#next = null;
    }
    this.#running?.abort();
    this.#running = null;
    this.#hurry();
    this.#set('idle');
  }

  /** Read nothing: what is to be read is not understood. @param {string} detail */
  refuse(detail) {
    this.release();
    this.#params = null;
    this.lastId = '';
    this.#set('refused', detail);
  }

  /** @param {string} params @param {Asked} [request] asked already */
  #begin(params, request) {
    this.release();
    this.#params = params;
    this.lastId = '';
    this.#go(request);
  }

  /** @param {Asked} [request] */
  #go(request) {
    this.#running = new AbortController();
    void this.#run(this.#running.signal, request);
  }

  /** @param {string} params */
  async #replace(params) {
    const next = this.#next = ask(params);
    const patience = new Promise((resolve) => setTimeout(resolve, OVERLAP_MS, null));
    const response = await Promise.race([next.answer.catch(() => undefined), patience]);
    if (this.#next !== next) return;
    this.#next = null;
    if (response instanceof Response && response.status === 400) {
      this.#on.declined((await refusal(response)).detail);
    } else if (response instanceof Response ? response.ok : response === null) {
      this.#begin(params, next);
    } else {
      // It may be that there is room for one stream only.
      this.#begin(params);
    }
  }

  /** Do not wait any longer for the next try. */
  retryNow() {
    this.#hurry();
  }

  /** @param {FeedState['name']} name */
  #set(name, detail = '', until = 0) {
    this.state = { name, detail, until };
    this.#on.state(this.state);
  }

  /** @param {AbortSignal} signal @param {Asked} [request] asked already */
  async #run(signal, request) {
    let failures = 0;
    while (!signal.aborted) {
      this.#set('connecting');
      const end = await this.#connect(signal, request ?? ask(this.#query(), this.lastId));
      request = undefined;
      if (signal.aborted) return;
      if (end.final) {
        this.#running = null;
        this.#set(end.final, end.detail);
        return;
      }
      failures = end.live ? 1 : failures + 1;
      const backoff = Math.min(LONGEST_WAIT_MS, this.#retry * 2 ** (failures - 1));
      const wait = Math.max(end.after * 1000, backoff * (0.8 + 0.4 * Math.random()));
      this.#set('waiting', end.detail, Date.now() + wait);
      await new Promise((resolve) => {
        const timer = setTimeout(resolve, wait);
        this.#hurry = () => {
          clearTimeout(timer);
          resolve(undefined);
        };
      });
    }
  }

  /**
   * One connection, to its end.
   * @param {AbortSignal} signal @param {Asked} request
   * @returns {Promise<{final?: 'denied' | 'refused', live: boolean, detail: string, after: number}>}
   */
  async #connect(signal, { watch, answer }) {
    const stop = () => watch.abort();
    signal.addEventListener('abort', stop, { once: true });
    let live = false;
    let heard = performance.now();
    const started = heard;
    const watchdog = setInterval(() => {
      if (!live && this.state.detail === '' && performance.now() - started > SLOW_MS) {
        this.#set('connecting', SLOW);
      }
      if (performance.now() - heard > this.keepalive * PATIENCE) watch.abort();
    }, 1_000);
    try {
      const response = await answer;
      if (!response.ok || !response.body) return await refusal(response);
      const reader = response.body.getReader();
      const decoder = new TextDecoder();
      const parser = new SseParser();
      let sliceEnd = performance.now() + SLICE_MS;
      for (;;) {
        const { value, done } = await reader.read();
        heard = performance.now();
        if (done) return { live, detail: 'The service has ended the stream.', after: 0 };
        const opening = this.#take(parser.push(decoder.decode(value, { stream: true })), live);
        if (typeof opening === 'string') return { live, detail: opening, after: 0 };
        live ||= opening;
        if (performance.now() > sliceEnd && !document.hidden) {
          await breath();
          sliceEnd = performance.now() + SLICE_MS;
        }
      }
    } catch {
      const silent = watch.signal.aborted && !signal.aborted;
      const detail = silent
        ? 'The connection went silent.'
        : live ? 'The connection was cut.' : 'The service cannot be reached.';
      return { live, detail, after: 0 };
    } finally {
      clearInterval(watchdog);
      signal.removeEventListener('abort', stop);
      watch.abort();
    }
  }

  #query() {
    const params = new URLSearchParams(this.#params ?? '');
    if (this.lastId) {
      // They hold for the start only; the id wins anyway.
      params.delete('tail');
      params.delete('since');
    }
    return params.toString();
  }

  /**
   * @param {import('./sse.js').Block[]} blocks @param {boolean} live
   * @returns {boolean | string} whether the stream has begun; or why the service ends it
   */
  #take(blocks, live) {
    /** @type {FeedEvent[]} */
    const events = [];
    const resumedFrom = this.lastId;
    for (const block of blocks) {
      if (block.retry !== undefined) this.#retry = block.retry;
      const decoded = block.data === undefined ? null : decode(block);
      if (decoded && !live) {
        // The first event is a notice of the service: it is connected, or it cannot be.
        if (decoded.event.type === 'error') return String(decoded.event.message);
        live = true;
        this.#set('live');
        this.#on.opened({ resumedFrom, time: Number(decoded.event.timestamp) || Date.now() });
      } else if (decoded) {
        events.push(decoded);
      }
      const id = decoded ? decoded.id : block.id;
      if (id) this.lastId = decoded ? id : copied(id);
    }
    if (events.length) this.#on.events(events);
    return live;
  }
}

/**
 * Ask for a stream.
 * @typedef {{params: string, watch: AbortController, answer: Promise<Response>}} Asked
 * @param {string} params @param {string} [lastId] where to resume @returns {Asked}
 */
function ask(params, lastId = '') {
  const watch = new AbortController();
  const answer = fetch(`api/logs?${params}`, {
    signal: watch.signal,
    cache: 'no-store',
    headers: { Accept: 'text/event-stream', ...(lastId && { 'Last-Event-ID': lastId }) },
  });
  return { params, watch, answer };
}

/** @param {Response} response */
async function refusal(response) {
  const body = await response.json().catch(() => ({}));
  const detail = String(body?.error ?? `The service answers ${response.status}.`);
  const after = Number(response.headers.get('Retry-After')) || 0;
  const finals = /** @type {Record<number, 'denied' | 'refused'>} */ ({ 401: 'denied', 400: 'refused' });
  return { final: finals[response.status], live: false, detail, after };
}

/** A piece of a chunk's text as a string of its own, so that the chunk can be forgotten.
 * @param {string} text @returns {string} */
const copied = (text) => JSON.parse(JSON.stringify(text));

const channel = new MessageChannel();
/** Let the browser draw and react. A message, since timers are slowed down in hidden tabs. */
function breath() {
  return new Promise((resolve) => {
    channel.port1.onmessage = resolve;
    channel.port2.postMessage(null);
  });
}
