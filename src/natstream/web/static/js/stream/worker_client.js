// A tab's way to the streams that all tabs of the browser share (see shared_streams.js).
//
// In: requests for streams. Out: an answer for each, as `fetch` would give it. A worker that has died
// is noticed, because its lock is free or it answers no `ping`: its streams end with `WorkerDied`, and
// a new worker gets the next requests. A browser without shared workers connects for each tab by itself.

// A worker answers at once. Yet the machine may be busy for some seconds.
const PING_MS = 4_000;
const MOST_UNANSWERED = 2;
// After so many workers that have said nothing, the tab connects by itself.
const MOST_SILENT = 2;
// A browser that has not noticed the death of a worker gives it out again. So a new worker that has said
// nothing for so long after a death is asked for once more.
const AGAIN_MS = 1_000;
// Then only the pings tell of another death for so long, in case that the browser is wrong about locks.
const BETWEEN_DEATHS_MS = 10_000;

/** @typedef {Uint8Array<ArrayBuffer>} Bytes */
/** @typedef {{url: string, lastId: string, resolve: (answer: Response | Promise<Response>) => void,
 *   reject: (error: Error) => void, isAnswered: boolean, isWaiting: boolean, pieces: Bytes[],
 *   end: string, wake: () => void, signal: AbortSignal}} Request
 *   `isWaiting`: all streams of the browser are used; `end`: how the stream has ended (`whole`, `cut` or
 *   `died`), or empty */

/** The end of a stream whose worker has died, while the service may be well, so that the next try need
 * not wait. Such ends do not follow one another quickly, since `BETWEEN_DEATHS_MS` and the pings bound them. */
export class WorkerDied extends TypeError {}

export class WorkerClient {
  /** The requests that are not over, by their numbers. @type {Map<number, Request>} */
  #requests = new Map();
  #last = 0;
  /** @type {MessagePort | null} */
  #port = null;
  #unanswered = 0;
  /** Workers in a row that have said nothing, up to the current one. */
  #silent = 0;
  #start;
  #locks;
  /** Ends the waiting for the worker's lock. */
  #watch = new AbortController();
  /** When a lock last told of a death. */
  #diedAt = -Infinity;

  /** @param {((failed: () => void) => MessagePort) | null} start makes a worker; null if the browser
   *   has none. `failed` says that its script cannot run
   * @param {LockManager} [locks] where the lock of the worker is */
  constructor(start, locks) {
    this.#start = start;
    this.#locks = locks;
  }

  /**
   * Ask for a stream.
   * @param {string} url of the stream, seen from the page @param {string} lastId the event id to
   *   resume from
   * @param {AbortSignal} signal ends the request, or the stream that answers it
   * @returns {{answer: Promise<Response>, isWaiting: () => boolean}}
   */
  request(url, lastId, signal) {
    const port = this.#connect();
    if (!port) return { answer: askDirectly(url, lastId, signal), isWaiting: () => false };
    const number = ++this.#last;
    /** @type {Request} */
    const request = {
      url, lastId, signal, resolve: () => {}, reject: () => {}, isAnswered: false, isWaiting: false,
      pieces: [], end: '', wake: () => {},
    };
    /** @type {Promise<Response>} */
    const answer = new Promise((resolve, reject) => Object.assign(request, { resolve, reject }));
    this.#requests.set(number, request);
    signal.addEventListener('abort', () => {
      this.#port?.postMessage({ drop: number });
      this.#end(number, 'cut');
    }, { once: true });
    this.#post(number, request);
    return { answer, isWaiting: () => request.isWaiting };
  }

  /** The page is going away, so all requests are over. */
  leave() {
    this.#port?.postMessage({ bye: true });
    this.#port = null;
    this.#watch.abort();
    for (const number of this.#requests.keys()) this.#end(number, 'cut');
  }

  /** Check that the worker is alive. Call this every PING_MS. */
  check() {
    if (!this.#port || !this.#requests.size) return;
    if (this.#unanswered >= MOST_UNANSWERED) {
      if (this.#silent >= MOST_SILENT) this.#start = null;
      this.#replace();
    } else {
      this.#unanswered += 1;
      this.#port.postMessage({ ping: true });
    }
  }

  /** @returns {MessagePort | null} */
  #connect() {
    if (this.#port || !this.#start) return this.#port;
    try {
      /** @type {MessagePort} */
      const port = this.#start(() => {
        if (port !== this.#port) return;
        this.#start = null;
        this.#replace();
      });
      port.onmessage = ({ data }) => {
        if (port === this.#port) this.#hear(data); // a worker that was given up may still send
      };
      this.#port = port;
      this.#silent += 1;
    } catch {
      this.#start = null;
    }
    this.#unanswered = 0;
    return this.#port;
  }

  /** @param {number} number @param {Request} request */
  #post(number, { url, lastId }) {
    // The worker has another address, so it cannot resolve an address of the page.
    this.#port?.postMessage({ ask: number, url: new URL(url, document.baseURI).href, lastId });
  }

  /** Give up the worker, and ask again for what it has not answered. */
  #replace() {
    this.#port?.postMessage({ bye: true }); // it may be alive after all
    this.#port = null;
    this.#watch.abort();
    const port = this.#connect();
    for (const [number, request] of this.#requests) {
      const { url, lastId, signal, isAnswered } = request;
      if (isAnswered) this.#end(number, 'died');
      else if (port) this.#post(number, request);
      else {
        this.#requests.delete(number);
        request.isWaiting = false;
        request.resolve(askDirectly(url, lastId, signal));
      }
    }
  }

  /** Replace the worker once its lock is free. @param {LockManager} locks @param {string} lock */
  async #waitForDeath(locks, lock) {
    this.#watch = new AbortController();
    const { signal } = this.#watch;
    let isFree = false;
    try {
      const early = this.#diedAt + BETWEEN_DEATHS_MS - performance.now();
      if (early > 0) await new Promise((resolve) => setTimeout(resolve, early));
      await locks.request(lock, { signal, mode: 'shared' }, () => { isFree = true; });
    } catch {
      // The page is going away, the worker is replaced already, or the browser refuses.
    }
    if (!isFree || signal.aborted) return;
    this.#diedAt = performance.now();
    this.#replace();
    const port = this.#port;
    setTimeout(() => {
      if (this.#port === port && this.#silent) this.#replace();
    }, AGAIN_MS);
  }

  /** @param {any} message */
  #hear(message) {
    this.#unanswered = 0;
    this.#silent = 0;
    if (message.lock && this.#locks) void this.#waitForDeath(this.#locks, message.lock);
    const request = this.#requests.get(message.of);
    if (!request) return;
    if (message.waits) request.isWaiting = true;
    if (message.answer) this.#answer(message.of, request, message.answer);
    if (message.piece) {
      request.pieces.push(message.piece);
      request.wake();
    }
    if (message.end) this.#end(message.of, message.end);
  }

  /** @param {number} number @param {Request} request
   * @param {import('./member.js').Answer} answer */
  #answer(number, request, { status, after, text }) {
    request.isAnswered = true;
    request.isWaiting = false;
    const body = status === 200 ? this.#bodyOf(number, request) : text;
    request.resolve(new Response(body, { status, headers: after ? { 'Retry-After': after } : {} }));
  }

  /** @param {number} number @param {Request} request @returns {ReadableStream<Bytes>} */
  #bodyOf(number, request) {
    return new ReadableStream({
      pull: async (controller) => {
        while (!request.pieces.length && !request.end) {
          await new Promise((resolve) => { request.wake = () => resolve(undefined); });
        }
        const piece = request.pieces.shift();
        if (piece) {
          controller.enqueue(piece);
          this.#port?.postMessage({ taken: number, size: piece.length });
        } else if (request.end === 'whole') controller.close();
        else if (request.end === 'died') controller.error(new WorkerDied('The worker has died.'));
        else controller.error(new TypeError('The stream was cut.'));
      },
    }, { highWaterMark: 0 });
  }

  /** @param {number} number @param {string} how */
  #end(number, how) {
    const request = this.#requests.get(number);
    if (!request) return;
    this.#requests.delete(number);
    request.end = how;
    request.reject(new TypeError('The request was cut.'));
    request.wake();
  }
}

/** @param {string} url @param {string} lastId @param {AbortSignal} signal */
function askDirectly(url, lastId, signal) {
  return fetch(url, {
    signal,
    cache: 'no-store',
    headers: { Accept: 'text/event-stream', ...(lastId && { 'Last-Event-ID': lastId }) },
  });
}

// The number changes with the messages to the worker, because tabs of two releases may be open at
// once. The address has no release in it for the same reason: all tabs must find the same worker.
const NAME = 'natstream-1';

/** Return the client of this tab. */
export function openWorkerClient() {
  if (typeof SharedWorker !== 'function') return new WorkerClient(null);
  const client = new WorkerClient((failed) => {
    const address = new URL('static/js/stream/worker.js', document.baseURI);
    const worker = new SharedWorker(address, { type: 'module', name: NAME });
    worker.onerror = failed;
    return worker.port;
  }, navigator.locks);
  setInterval(() => client.check(), PING_MS);
  addEventListener('pagehide', () => client.leave());
  return client;
}
