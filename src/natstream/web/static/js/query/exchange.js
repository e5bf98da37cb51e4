// The exchange with the service about what to show: a request is asked, then granted or declined.
// No DOM.
//
//   ask ──► asked ──► granted   the service accepts: the stream of the new request begins
//                └──► declined  the service refuses: the request before is restored
//
// The stream of the request before goes on while the service has not answered. So a query that the
// service does not understand costs the reader nothing: the lines stay, and the stream goes on.
// Without such a stream the exchange asks at once, and the stream itself reports a refusal.

import { refusalOf, requestLogs } from '../stream/request.js';
import { emptyQuery } from './query.js';
import { keyOf, toParams } from './params.js';

/**
 * @typedef {object} Wish  what the reader wants to see
 * @property {import('./query.js').Query} query
 * @property {boolean} marking   all lines are shown, and the matches of the texts and conditions
 *   are only marked
 * @property {boolean} raw       JSON messages are shown as they came
 * @property {string[]} columns  fields that are shown as columns
 * @property {number} depth      how many earlier lines: an index into `tails`
 *
 * @typedef {{wish: Wish, params: string, key: string}} Request  `params`: those of /api/logs that
 *   ask for it; `key`: the same for all params that ask for the same lines
 *
 * @typedef {object} How  how a wish came about
 * @property {boolean} [typed]   the search field shows it already
 * @property {'asks' | 'follows' | 'restores'} [why]   the reader asks for it (the default), the page's
 *   address does, or it is the wish before again
 *
 * @typedef {object} Stream  the part of LogStream that the exchange uses
 * @property {boolean} isResumable
 * @property {(params: string, request?: import('../stream/request.js').LogRequest) => void} begin
 * @property {(params?: string) => void} release
 * @property {(detail: string) => void} refuse
 */

// After this long without an answer, the old stream ends all the same, because it may use the last
// connection that the browser opens to the service.
const OVERLAP_MS = 2_000;

export class QueryExchange {
  #stream;
  #tails;
  #on;
  /** @type {Request} */
  #asked = {
    wish: { query: emptyQuery(), marking: false, raw: false, columns: [], depth: 0 }, params: '', key: '',
  };
  /** The request that the service has accepted last. */
  #granted = this.#asked;
  /** The request without an answer, while another stream goes on.
   * @type {import('../stream/request.js').LogRequest | null} */
  #pending = null;

  /**
   * @param {Stream} stream
   * @param {number[]} tails how many lines each depth asks for
   * @param {{changed: (how: How) => void, sent: () => void, declined: (detail: string)
   *   => void}} handlers
   *   `changed`: the wish is another;
   *   `sent`: the service is asked for other lines; `declined`: the wish was restored, and why
   */
  constructor(stream, tails, handlers) {
    this.#stream = stream;
    this.#tails = tails;
    this.#on = handlers;
  }

  /** The wish that is asked. @returns {Readonly<Wish>} */
  get wish() {
    return this.#asked.wish;
  }

  /** Whether the service may have earlier lines.
   * @param {number} received the lines it sent at the start */
  hasEarlier(received) {
    const { depth } = this.#asked.wish;
    return depth < this.#tails.length - 1 && received >= this.#tails[depth];
  }

  /** Ask for the present wish with a change. @param {(wish: Wish) => void} edit changes a copy
   * @param {How} [how] */
  change(edit, how) {
    const wish = structuredClone(this.#asked.wish);
    edit(wish);
    this.ask(wish, how);
  }

  /** Ask for a wish, unless its lines are asked for already.
   * @param {Wish} wish @param {How} [how] */
  ask(wish, how = {}) {
    wish.query.error = '';
    const before = this.#asked;
    const params = this.#paramsOf(wish);
    this.#asked = { wish, params: params.toString(), key: keyOf(params) };
    this.#on.changed(how);
    if (this.#asked.key !== before.key) {
      this.#send();
      this.#on.sent();
    } else if (before.key === this.#granted.key) {
      this.#granted = this.#asked; // the lines are the same, so the service need not be asked
    }
  }

  /** Ask for the same lines once more. */
  askAgain() {
    this.#send();
  }

  /** Ask for nothing, because the query of the wish has an error. @param {Wish} wish */
  refuse(wish) {
    this.#dropPending();
    this.#asked = { wish, params: '', key: '' };
    this.#stream.refuse(wish.query.error);
  }

  /** A stream has started anew. While an answer is missing, it is the stream of the request
   * before. */
  grant() {
    if (!this.#pending) this.#granted = this.#asked;
  }

  /** Close the connection. A request without an answer is asked again when the stream resumes. */
  release() {
    this.#stream.release(this.#dropPending()?.params);
  }

  /** @param {Wish} wish */
  #paramsOf({ query, marking, depth }) {
    const params = toParams(query, { texts: !marking });
    params.set('tail', String(this.#tails[depth]));
    return params;
  }

  #send() {
    this.#dropPending();
    if (this.#stream.isResumable) void this.#handOver(this.#asked.params);
    else this.#stream.begin(this.#asked.params);
  }

  /** Ask the service, and end the old stream only if the answer allows it.
   * @param {string} params */
  async #handOver(params) {
    const request = this.#pending = requestLogs(params);
    const patience = new Promise((resolve) => setTimeout(resolve, OVERLAP_MS, 'late'));
    /** @type {Response | 'late' | 'failed'} */
    const answer = await Promise.race([request.answer.catch(() => 'failed'), patience]);
    const isDeclined = answer instanceof Response && answer.status === 400;
    const detail = isDeclined ? (await refusalOf(answer)).detail : '';
    if (this.#pending !== request) return; // another request has replaced it
    this.#pending = null;
    if (isDeclined) {
      this.#asked = this.#granted;
      this.#on.changed({ typed: true, why: 'restores' });
      this.#on.declined(detail);
    } else if (answer === 'late' || (answer instanceof Response && answer.ok)) {
      this.#stream.begin(params, request);
    } else {
      // The service may have no room for two streams of this page, so the old one ends first.
      this.#stream.begin(params);
    }
  }

  /** @returns {import('../stream/request.js').LogRequest | null} the request that was dropped */
  #dropPending() {
    const request = this.#pending;
    this.#pending = null;
    request?.watch.abort();
    return request;
  }
}
