// The streams of all tabs of a browser: tabs with equal queries share one connection. No DOM.
//
// A tab asks for a stream and gets an answer as if it had connected itself. The first tab with a query
// opens the connection. Another tab with an equal query first gets a replay of its own, which begins
// where that tab wants (tail, since, or the event id that it resumes from), and then the lines that
// the connection has brought meanwhile:
//
//   the connection   … 97  98 │ 99  100  101 …      │ = the tab joins; 98 is the border
//   its replay           … 98   99  100
//   the tab gets         … 98   99  100 ┊ 101 …     ┊ = the replay ends; 99 and 100 are left out
//
// The replay must reach the border, since otherwise lines between the two would be missing. If it
// does not, for example because another process has answered it, the tab gets a connection of its
// own. So sharing never costs a line. Tabs that read with different rights never share.
//
// Messages of a tab:  {ask, url, lastId} · {drop} · {taken, size} · {ping} · {bye}
// Messages to a tab:  {of, answer} · {of, waits} · {of, piece} · {of, end} · {pong} · {lock}

import { after, lastId, reaches, withoutOpening } from './blocks.js';
import { Connection, answerOf, askFor, decode, encode, piecesOf, readerOf } from './connection.js';
import { Tab } from './member.js';
import { streamKey } from './stream_key.js';

/** @typedef {import('./member.js').Member} Member */

// Browsers open six connections to a host over HTTP/1.1. The fifth is for one replay at a time, and
// the sixth for short requests.
export const MOST_STREAMS = 4;
// A tab that changes its query closes one stream and asks for another. Its place is kept for so
// long.
const HAND_OVER_MS = 50;
// A service of several machines may answer a replay from one that is a little behind.
const ROUNDS = 3;
const ROUND_MS = 300;
const FULL = 'This browser has all of its streams open.';

export class SharedStreams {
  /** @type {Set<Connection>} */
  #connections = new Set();
  /** @type {Set<Tab>} */
  #tabs = new Set();
  /** Wake the requests that wait for a stream, the oldest first. @type {Set<() => void>} */
  #waiting = new Set();
  /** Ends with the last replay of the queue. @type {Promise<unknown>} */
  #replays = Promise.resolve();
  #ask;

  /** @param {import('./connection.js').Ask} [ask] */
  constructor(ask = (address, options) => fetch(address, options)) {
    this.#ask = ask;
  }

  /** A tab wants to use the streams. @param {import('./member.js').Port} port */
  connect(port) {
    this.#tabs.add(new Tab(port, {
      asked: (member) => void this.#serve(member),
      left: (tab) => this.#tabs.delete(tab),
    }));
  }

  /** Drop the requests of frozen tabs. Call this every few seconds. @param {number} [now] */
  sweep(now = performance.now()) {
    for (const tab of this.#tabs) tab.sweep(now);
  }

  /** Find a connection for a request. @param {Member} member */
  async #serve(member) {
    const key = streamKey(member.url);
    /** @type {Set<Connection>} */
    const unfit = new Set();
    while (!member.isOver) {
      const equal = [...this.#connections].find((one) => one.key === key && !unfit.has(one));
      if (equal) {
        unfit.add(equal);
        if (await equal.opened && !member.isOver && await this.#join(member, equal)) return;
      } else if (this.#connections.size < MOST_STREAMS) {
        void this.#open(member, key);
        return;
      } else if (member.isAnswered) {
        member.end(); // it resumes by its event id
      } else if (holdsAPlace(member)) {
        // The tab closes its other stream then, and asks again.
        member.answer({ status: 503, after: null, text: JSON.stringify({ error: FULL }) });
        member.end({ isWhole: true });
      } else {
        member.wait();
        await this.#change(member);
      }
    }
  }

  /** @param {Member} member @param {string} key */
  async #open(member, key) {
    const connection = new Connection(key, this.#ask);
    this.#connections.add(connection);
    this.#wakeWaiting(); // for an equal query
    await connection.run(member);
    this.#connections.delete(connection);
    setTimeout(() => this.#wakeWaiting(), HAND_OVER_MS);
  }

  /** Wait until there may be a stream for a request, or the request is over.
   * @param {Member} member */
  #change(member) {
    return new Promise((resolve) => {
      const wake = () => {
        this.#waiting.delete(wake);
        resolve(undefined);
      };
      this.#waiting.add(wake);
      member.signal.addEventListener('abort', wake, { once: true });
    });
  }

  #wakeWaiting() {
    for (const wake of this.#waiting) wake();
  }

  /** Let a member share a connection, in its turn.
   * @param {Member} member @param {Connection} connection
   * @returns {Promise<boolean>} false if it needs another connection */
  #join(member, connection) {
    const join = this.#replays.then(() => this.#replayInto(member, connection));
    this.#replays = join;
    return join;
  }

  /** @param {Member} member @param {Connection} connection */
  async #replayInto(member, connection) {
    try {
      for (let round = 0; round < ROUNDS && !member.isOver; round++) {
        if (!this.#connections.has(connection)) return false;
        if (round) await new Promise((resolve) => setTimeout(resolve, ROUND_MS));
        const border = connection.lastLine;
        member.beginHolding();
        connection.add(member);
        if (!await this.#replay(member, connection)) return false;
        if (!member.isOverflown && reaches(member.lastId, border)) {
          release(member);
          return true;
        }
      }
    } catch {
      member.end();
    }
    if (!member.isOver) leave(member);
    return member.isOver;
  }

  /** Send a replay up to now.
   * @param {Member} member @param {Connection} connection
   * @returns {Promise<boolean>} whether its reader may share the connection */
  async #replay(member, connection) {
    const response = await askFor(this.#ask, member, member.signal, { follow: false });
    if (!response.ok || !response.body) {
      if (!member.isAnswered) member.answer(await answerOf(response));
      member.end({ isWhole: true });
      return true;
    }
    if (readerOf(response) !== connection.reader) {
      void response.body.cancel();
      leave(member);
      return false;
    }
    let isFirst = member.isAnswered;
    if (!member.isAnswered) member.answer(await answerOf(response));
    for await (const piece of piecesOf(response.body)) {
      const text = isFirst ? withoutOpening(decode(piece)) : decode(piece);
      member.send(isFirst ? encode(text) : piece);
      isFirst = false;
      member.lastId = lastId(text) || member.lastId;
      await member.room();
    }
    return true;
  }
}

/** End the replay of a member: send what the connection has brought meanwhile.
 * @param {Member} member */
function release(member) {
  const held = member.held ?? [];
  member.held = null;
  for (const piece of held) {
    const text = decode(piece);
    const rest = after(text, member.lastId);
    if (rest) member.send(rest === text ? piece : encode(rest));
  }
}

/** @param {Member} member */
function leave(member) {
  member.held = null;
  member.connection?.remove(member);
}

/** Whether the tab has another stream that ends when the tab closes it. @param {Member} member */
const holdsAPlace = (member) =>
  [...member.tab.members.values()].some((one) => one !== member && one.connection?.members.size === 1);
