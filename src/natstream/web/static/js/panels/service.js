// What the service says of itself: /api/status and /api/facets, asked again and again while
// somebody looks and the stream is open (a service that comes back has better to do than to answer
// every page's questions). What is not known is `null`, never the last answer kept.

/** @typedef {import('./status.js').Status} Status */

const CALM_MS = 5_000;
// While something is wrong, people watch for the change.
const TENSE_MS = 1_500;
// A notice announces a change that the status shows a moment later.
const SOON_MS = 150;
const PATIENCE_MS = 8_000;

export class Service {
  /** @type {Status | null} */
  status = null;
  #timer = 0;
  #asking = false;
  #on;

  /**
   * @param {{status: (status: Status | null) => void, facets: (facets: Record<string, any>) => void,
   *   filter: () => URLSearchParams, mood: () => 'calm' | 'tense' | 'away'}} handlers
   *   `mood`: how often to ask; `away` is not at all, until `ask` is called again
   */
  constructor(handlers) {
    this.#on = handlers;
  }

  /** Ask now, or in a moment. @param {{soon?: boolean}} [when] */
  ask({ soon = false } = {}) {
    clearTimeout(this.#timer);
    if (soon || this.#asking) this.#timer = Number(setTimeout(() => this.ask(), SOON_MS));
    else void this.#ask();
  }

  /** There is no connection: what was true may not be any more. */
  forget() {
    clearTimeout(this.#timer);
    this.status = null;
  }

  async askFacets() {
    const facets = await getJson(`api/facets?${this.#on.filter()}`);
    if (facets) this.#on.facets(facets);
  }

  async #ask() {
    if (document.hidden) return; // whoever shows the page again asks
    this.#asking = true;
    this.status = await getJson('api/status');
    this.#on.status(this.status);
    await this.askFacets();
    this.#asking = false;
    clearTimeout(this.#timer);
    const mood = this.#on.mood();
    if (mood === 'away') this.forget();
    else this.#timer = Number(setTimeout(() => this.ask(), mood === 'calm' ? CALM_MS : TENSE_MS));
  }
}

/** @param {string} address */
async function getJson(address) {
  try {
    const response = await fetch(address, { signal: AbortSignal.timeout(PATIENCE_MS) });
    return response.ok ? await response.json() : null;
  } catch {
    return null;
  }
}
