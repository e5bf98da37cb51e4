// The stream of lines from /api/logs: opened, watched, resumed and released.
//
// The page reads the event stream with fetch instead of an EventSource, for three reasons. One read
// brings hundreds of lines. The page sees the status and Retry-After of the answer, where an
// EventSource only says "error". And the page notices a silent dead connection by its missing
// keep-alives. The format is SSE and not NDJSON, because only in SSE a keep-alive carries an event
// id.
//
// The stream reports `state` (see StreamState), `opened` once for each connection, and then
// `events`. It never throws: each failure becomes a state. In `waiting` the stream tries again by
// itself. In `queued` other tabs have all streams that a browser may open. In `denied` (no token) and
// `refused` (a query that the service does not accept) the reader must act. In `ended` the stream has
// all lines until the time that the query names.

import { refusalOf, requestLogs } from './request.js';
import { SseParser, decode } from './sse.js';
import { WorkerDied } from './worker_client.js';

/** @typedef {import('./request.js').LogRequest} LogRequest */
/** @typedef {import('./request.js').End} End */
/**
 * @typedef {{name: 'idle' | 'queued' | 'connecting' | 'live' | 'waiting' | 'denied' | 'refused' | 'ended',
 *   detail: string, until: number}} StreamState  `until`: Unix ms of the next try, when waiting
 * @typedef {{id: string, event: Record<string, any>}} StreamEvent
 * @typedef {object} StreamHandlers
 * @property {(state: StreamState) => void} state
 * @property {(opening: {resumedFrom: string, time: number}) => void} opened
 *   `resumedFrom`: the event id, empty if the stream starts anew; `time`: the service's, in Unix ms
 * @property {(events: StreamEvent[]) => void} events
 */

// The service sends a keep-alive every 15 s (NATSTREAM_KEEPALIVE; `keepalive` in its status). A
// connection that misses two and a half of them is dead.
const PATIENCE = 2.5;
// The service draws 1 to 3 s for each reader and sends it as `retry:`. This holds until then.
const RETRY_MS = 2_000;
// The page asks an absent service less and less often, but it should notice a return soon.
const LONGEST_WAIT_MS = 20_000;
// After this long without an answer, the page says a possible reason.
const SLOW_MS = 8_000;
const SLOW =
  'No answer yet. Browsers open six connections to a service: other tabs may use them all.';
const QUEUED =
  'Tabs of this browser read four other queries, which is the limit. Close one of these tabs, or ask '
  + 'for the same query as one of them. This tab then goes on by itself.';
// A large replay arrives faster than the page can show it, so the page draws after this much work.
const SLICE_MS = 16;
// The service's clock may be ahead of the browser's.
const CLOCKS_DIFFER_MS = 5_000;

export class LogStream {
  /** Milliseconds between the service's keep-alives. */
  keepalive = 15_000;
  /** The event id to resume from: that of the last line, or of a later keep-alive. */
  lastId = '';
  /** @type {StreamState} */
  state = { name: 'idle', detail: '', until: 0 };
  #on;
  /** The parameters of the stream; null if the stream has none. @type {string | null} */
  #params = null;
  #retry = RETRY_MS;
  /** @type {AbortController | null} */
  #running = null;
  /** Ends a pause between tries. */
  #endPause = () => {};

  /** @param {StreamHandlers} handlers */
  constructor(handlers) {
    this.#on = handlers;
    addEventListener('online', () => this.retryNow());
  }

  /** Whether the stream is open or can be resumed, so that ending it would lose something. */
  get isResumable() {
    return this.state.name === 'live' || this.state.name === 'ended'
      || (this.state.name === 'idle' && this.lastId !== '');
  }

  /** Read the lines of other parameters, from the start.
   * @param {string} params of /api/logs @param {LogRequest} [request] the request, if it is
   *   sent already */
  begin(params, request) {
    this.release(params);
    this.#go(request);
  }

  /** Read on from the last event id, or from the start if there is none. */
  resume() {
    if (!this.#running && this.#params !== null) this.#go();
  }

  /** Close the connection. `resume` reads on from here.
   * @param {string} [params] of another stream, for `resume` to start */
  release(params) {
    if (params !== undefined) {
      this.#params = params;
      this.lastId = '';
    }
    this.#running?.abort();
    this.#running = null;
    this.#endPause();
    this.#set('idle');
  }

  /** Read nothing, because the page cannot ask for it. @param {string} detail */
  refuse(detail) {
    this.release();
    this.#params = null;
    this.lastId = '';
    this.#set('refused', detail);
  }

  /** Try again now, instead of waiting for the next try. */
  retryNow() {
    this.#endPause();
  }

  /** @param {LogRequest} [request] */
  #go(request) {
    this.#running = new AbortController();
    void this.#run(this.#running.signal, request);
  }

  /** @param {StreamState['name']} name */
  #set(name, detail = '', until = 0) {
    this.state = { name, detail, until };
    this.#on.state(this.state);
  }

  /** Connect again and again, until the signal or a final answer. @param {AbortSignal} signal
   * @param {LogRequest} [request] the first request, if it is sent already */
  async #run(signal, request) {
    let failures = 0;
    while (!signal.aborted) {
      this.#set('connecting');
      const end = await this.#connect(signal, request ?? requestLogs(this.#query(), this.lastId));
      request = undefined;
      if (signal.aborted) return;
      if (end.final) {
        this.#running = null;
        this.#set(end.final, end.detail);
        return;
      }
      failures = end.live ? 1 : failures + 1;
      if (end.atOnce) continue;
      const backoff = Math.min(LONGEST_WAIT_MS, this.#retry * 2 ** (failures - 1));
      const wait = Math.max(end.after * 1000, backoff * (0.8 + 0.4 * Math.random()));
      this.#set('waiting', end.detail, Date.now() + wait);
      await new Promise((resolve) => {
        const timer = setTimeout(resolve, wait);
        this.#endPause = () => {
          clearTimeout(timer);
          resolve(undefined);
        };
      });
    }
  }

  /**
   * Read one connection to its end.
   * @param {AbortSignal} signal @param {LogRequest} request @returns {Promise<End>}
   */
  async #connect(signal, { watch, answer, isWaiting }) {
    const stop = () => watch.abort();
    signal.addEventListener('abort', stop, { once: true });
    let live = false;
    let heard = performance.now();
    let started = heard;
    const watchdog = setInterval(() => {
      if (isWaiting()) {
        heard = started = performance.now();
        if (this.state.name !== 'queued') this.#set('queued', QUEUED);
        return;
      }
      if (this.state.name === 'queued') this.#set('connecting');
      if (!live && this.state.detail === '' && performance.now() - started > SLOW_MS) {
        this.#set('connecting', SLOW);
      }
      if (performance.now() - heard > this.keepalive * PATIENCE) watch.abort();
    }, 1_000);
    try {
      const response = await answer;
      if (!response.ok || !response.body) return await refusalOf(response);
      const reader = response.body.getReader();
      const decoder = new TextDecoder();
      const parser = new SseParser();
      let sliceEnd = performance.now() + SLICE_MS;
      for (;;) {
        const { value, done } = await reader.read();
        heard = performance.now();
        if (done) {
          const final = live && hasPassed(this.#params) ? 'ended' : undefined;
          return { final, live, detail: 'The service has ended the stream.', after: 0 };
        }
        const opening = this.#accept(parser.push(decoder.decode(value, { stream: true })), live);
        if (typeof opening === 'string') return { live, detail: opening, after: 0 };
        live ||= opening;
        if (performance.now() > sliceEnd && !document.hidden) {
          await browserTurn();
          sliceEnd = performance.now() + SLICE_MS;
        }
      }
    } catch (error) {
      const silent = watch.signal.aborted && !signal.aborted;
      const detail = silent
        ? 'The connection went silent.'
        : live ? 'The connection was cut.' : 'The service cannot be reached.';
      return { live, detail, after: 0, atOnce: error instanceof WorkerDied };
    } finally {
      clearInterval(watchdog);
      signal.removeEventListener('abort', stop);
      watch.abort();
    }
  }

  #query() {
    const params = new URLSearchParams(this.#params ?? '');
    if (this.lastId) {
      // Both choose where the stream starts, and the event id says that already.
      params.delete('tail');
      params.delete('since');
    }
    return params.toString();
  }

  /**
   * @param {import('./sse.js').Block[]} blocks @param {boolean} live whether the stream has begun
   * @returns {boolean | string} whether it has begun now; or the reason with which the service
   *   ends it
   */
  #accept(blocks, live) {
    /** @type {StreamEvent[]} */
    const events = [];
    const resumedFrom = this.lastId;
    for (const block of blocks) {
      if (block.retry !== undefined) this.#retry = block.retry;
      const decoded = block.data === undefined ? null : decode(block);
      if (decoded && !live) {
        // The first event is a notice: either the reader is connected, or the reason why not.
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

/** Return a string of its own, because a piece of a chunk's text keeps the whole chunk in memory.
 * @param {string} text @returns {string} */
const copied = (text) => JSON.parse(JSON.stringify(text));

/** Return whether the time has passed at which a query ends. A duration is always in the past.
 * @param {string | null} params */
function hasPassed(params) {
  const until = new URLSearchParams(params ?? '').get('until');
  const moment = until ? Date.parse(until) : NaN;
  return until !== null && !(moment > Date.now() + CLOCKS_DIFFER_MS);
}

const channel = new MessageChannel();
/** Let the browser draw and react. A message does this, since browsers slow timers in hidden
 * tabs. */
function browserTurn() {
  return new Promise((resolve) => {
    channel.port1.onmessage = resolve;
    channel.port2.postMessage(null);
  });
}
