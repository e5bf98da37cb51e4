// The tabs of a browser, as the shared worker knows them. No DOM.
//
// A `Tab` is a port, and each of its requests is a `Member`, which becomes a member of a connection.
// Each piece that is sent to a tab counts until the tab has taken it, so that a slow or frozen tab
// holds a bounded number of bytes.

/** @typedef {Uint8Array<ArrayBuffer>} Bytes */
/** @typedef {{status: number, after: string | null, text: string}} Answer  `after`: Retry-After;
 *   `text`: the body of a refusal */
/** @typedef {{postMessage: (message: any) => void, onmessage: ((event: any) => void) | null,
 *   onclose?: (() => void) | null, close: () => void}} Port */

// Bytes that may be on the way to one tab. With more, the connection waits for its fastest tab.
const ROOM = 1_000_000;
// Bytes that may wait for a tab while other tabs of its connection go on. A tab that is further
// behind is dropped, and resumes by its event id.
export const MOST_BEHIND = 8_000_000;
// A tab that has taken nothing for so long is frozen, or it has ended without a message.
const PATIENCE_MS = 30_000;

export class Tab {
  /** @type {Map<number, Member>} */
  members = new Map();
  #port;

  /** @param {Port} port @param {{asked: (member: Member) => void, left: (tab: Tab) => void}}
   *   handlers */
  constructor(port, { asked, left }) {
    this.#port = port;
    port.onmessage = ({ data }) => {
      if (data.ask) {
        const member = new Member(this, data.ask, data);
        this.members.set(data.ask, member);
        asked(member);
      }
      this.members.get(data.taken)?.take(data.size);
      this.members.get(data.drop)?.end();
      if (data.ping) this.post({ pong: true });
      if (data.bye) this.#leave();
    };
    port.onclose = () => this.#leave(); // only some browsers call it
    this.#left = left;
  }

  #left;

  /** @param {any} message */
  post(message) {
    this.#port.postMessage(message);
  }

  /** Drop the requests of a tab that takes nothing. @param {number} now */
  sweep(now) {
    for (const member of this.members.values()) {
      if (member.behind && now - member.takenAt > PATIENCE_MS) member.end();
    }
  }

  #leave() {
    for (const member of this.members.values()) member.end();
    this.#left(this);
  }
}

export class Member {
  /** Bytes that the tab has not taken. */
  behind = 0;
  takenAt = 0;
  isAnswered = false;
  /** The pieces of the connection while the member gets its replay; otherwise null.
   * @type {Bytes[] | null} */
  held = null;
  #heldBytes = 0;
  /** Whether more was held than there is room for. */
  isOverflown = false;
  /** @type {import('./connection.js').Connection | null} */
  connection = null;
  #ended = new AbortController();
  #wake = () => {};

  /** @param {Tab} tab @param {number} number @param {{url: string, lastId: string}} request */
  constructor(tab, number, { url, lastId }) {
    this.tab = tab;
    this.number = number;
    this.url = url;
    /** The event id up to which the tab has everything; empty if it has nothing. */
    this.lastId = lastId;
  }

  /** Aborts when the tab no longer wants the stream, or cannot have it. */
  get signal() {
    return this.#ended.signal;
  }

  get isOver() {
    return this.signal.aborted;
  }

  get hasRoom() {
    return this.behind < ROOM;
  }

  /** Wait until there is room, or the request is over. */
  async room() {
    while (!this.hasRoom && !this.isOver) {
      await new Promise((resolve) => { this.#wake = () => resolve(undefined); });
    }
  }

  /** @param {Answer} answer */
  answer(answer) {
    this.isAnswered = true;
    this.#post({ answer });
  }

  /** All streams are used, and the request waits for one. */
  wait() {
    this.#post({ waits: true });
  }

  /** Send whole blocks. @param {Bytes} piece */
  send(piece) {
    if (this.isOver) return;
    if (this.behind > MOST_BEHIND) {
      this.end();
      return;
    }
    if (!this.behind) this.takenAt = performance.now();
    this.behind += piece.length;
    this.#post({ piece });
  }

  /** Keep a piece of the connection until the replay is over. @param {Bytes} piece */
  hold(piece) {
    this.#heldBytes += piece.length;
    if (this.#heldBytes > MOST_BEHIND) {
      this.isOverflown = true;
      this.held = [];
    } else this.held?.push(piece);
  }

  /** Hold what the connection brings from now on. */
  beginHolding() {
    this.held = [];
    this.#heldBytes = 0;
    this.isOverflown = false;
  }

  /** @param {number} size */
  take(size) {
    this.behind -= size;
    this.takenAt = performance.now();
    this.#wake();
    this.connection?.wake();
  }

  /** End the request. @param {{isWhole?: boolean}} [how] `isWhole`: the service has ended it */
  end({ isWhole = false } = {}) {
    if (this.isOver) return;
    this.#post({ end: isWhole ? 'whole' : 'cut' });
    this.tab.members.delete(this.number);
    this.held = null;
    this.#ended.abort();
    this.#wake();
    this.connection?.remove(this);
  }

  /** @param {any} message */
  #post(message) {
    this.tab.post({ of: this.number, ...message });
  }
}
