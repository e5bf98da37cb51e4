// What the service says about itself: /api/status, /api/facets and /api/watches. The page asks again and again
// while it is visible and the stream is open. Without a stream it does not ask, because a service
// that has just come back should not have to answer every page. A failed question makes the status
// `null`: the page never shows an old answer as the present one.

/** @typedef {import('./status.js').Status} Status */

const CALM_MS = 5_000;
// While something is wrong, people watch for the change.
const TENSE_MS = 1_500;
// A notice announces a change that the status shows a moment later.
const SOON_MS = 150;
const PATIENCE_MS = 8_000;

export class Service {
  /** The last answer; null if it is not known. @type {Status | null} */
  status = null;
  #timer = 0;
  #asking = false;
  /** The epoch of a service that has no watches, or shows none to this page. */
  #unwatched = '';
  #stream;
  #on;

  /**
   * @param {import('../stream/log_stream.js').LogStream} stream
   * @param {{status: (status: Status | null) => void, facets: (facets: Record<string, any>) =>
   *   void, watches: (watches: import('./fired.js').Watch[]) => void,
   *   filter: () => URLSearchParams, isBad: () => boolean}} handlers
   *   `filter`: the parameters of /api/facets; `isBad`: whether to ask more often
   */
  constructor(stream, handlers) {
    this.#stream = stream;
    this.#on = handlers;
  }

  /** Ask now, or in a moment. @param {{soon?: boolean}} [when] */
  ask({ soon = false } = {}) {
    clearTimeout(this.#timer);
    if (soon || this.#asking) this.#timer = Number(setTimeout(() => this.ask(), SOON_MS));
    else void this.#ask();
  }

  /** Note that lines have just come, so that the time of the last line is right between two
   * answers. @param {{source: string}[]} entries */
  hear(entries) {
    for (const { source } of entries) {
      const known = this.status?.sources[source];
      if (known?.last_line !== undefined) known.last_line = Date.now();
    }
  }

  /** Forget the status, because the connection is closed. */
  forget() {
    clearTimeout(this.#timer);
    this.status = null;
  }

  async askFacets() {
    const facets = await getJson(`api/facets?${this.#on.filter()}`);
    if (facets) this.#on.facets(facets);
  }

  /** Ask which watches have fired. A link's holder may not, and a service without watches has none
   * until it is started again; neither is asked again before. */
  async #askWatches() {
    if (!this.status || this.status.scope !== undefined || this.status.epoch === this.#unwatched) return;
    const answer = await getJson('api/watches', { forbidden: { watches: [] } });
    if (!answer) return;
    if (!answer.watches.length) this.#unwatched = this.status?.epoch ?? '';
    this.#on.watches(answer.watches);
  }

  async #ask() {
    if (document.hidden) return; // the page asks when it is shown again
    this.#asking = true;
    this.status = await getJson('api/status');
    this.#on.status(this.status);
    await this.askFacets();
    await this.#askWatches();
    this.#asking = false;
    clearTimeout(this.#timer);
    const { name } = this.#stream.state;
    const wait = name === 'live' && this.#on.isBad() ? TENSE_MS : CALM_MS;
    if (name === 'waiting' || name === 'idle') this.forget();
    else this.#timer = Number(setTimeout(() => this.ask(), wait));
  }
}

/**
 * @param {string} address
 * @param {{forbidden?: any}} [options] `forbidden`: what stands for an answer that is forbidden
 */
async function getJson(address, { forbidden = null } = {}) {
  try {
    const response = await fetch(address, { signal: AbortSignal.timeout(PATIENCE_MS) });
    if (response.status === 403) return forbidden;
    return response.ok ? await response.json() : null;
  } catch {
    return null;
  }
}
