// A connection to the service, and the members that share it. No DOM.

import { BlockCutter, lastLineId, withoutOpening } from './blocks.js';

/** @typedef {import('./member.js').Member} Member */
/** @typedef {typeof fetch} Ask */

const encoder = new TextEncoder();
const decoder = new TextDecoder();
/** @param {string} text */
export const encode = (text) => encoder.encode(text);
/** @param {AllowSharedBufferSource} bytes */
export const decode = (bytes) => decoder.decode(bytes);

export class Connection {
  /** @type {Set<Member>} */
  members = new Set();
  /** Whose right to read it uses, as the service names it. */
  reader = '';
  /** The id of the last line that it has brought. */
  lastLine = '';
  #stop = new AbortController();
  #wake = () => {};
  /** @type {(isOpen: boolean) => void} */
  #setOpened = () => {};
  /** Whether the service has accepted it. @type {Promise<boolean>} */
  opened = new Promise((resolve) => { this.#setOpened = resolve; });

  /** @param {string} key of its query @param {Ask} ask */
  constructor(key, ask) {
    this.key = key;
    this.ask = ask;
  }

  /** Read until the end, for a first member and for those that join.
   * @param {Member} first */
  async run(first) {
    this.add(first);
    let isWhole = false;
    try {
      const response = await askFor(this.ask, first, this.#stop.signal);
      if (response.ok && response.body) {
        this.reader = readerOf(response);
        let isFirst = first.isAnswered; // then the tab knows that its stream has begun
        if (!first.isAnswered) first.answer(await answerOf(response));
        this.#setOpened(true);
        for await (const piece of piecesOf(response.body)) {
          this.#pass(isFirst ? encode(withoutOpening(decode(piece))) : piece);
          isFirst = false;
          await this.#room();
        }
      } else first.answer(await answerOf(response));
      isWhole = true;
    } catch {
      // The members learn of it below.
    }
    this.#setOpened(false);
    for (const member of this.members) member.end({ isWhole });
  }

  /** @param {Member} member */
  add(member) {
    member.connection = this;
    this.members.add(member);
  }

  /** Remove a member, and close the connection if it was the last. @param {Member} member */
  remove(member) {
    member.connection = null;
    this.members.delete(member);
    if (!this.members.size) this.#stop.abort();
    this.wake();
  }

  /** A member has taken something. */
  wake() {
    this.#wake();
  }

  /** @param {Uint8Array<ArrayBuffer>} piece */
  #pass(piece) {
    this.lastLine = lastLineId(decode(piece)) || this.lastLine;
    for (const member of this.members) {
      if (member.held) member.hold(piece);
      else member.send(piece);
    }
  }

  /** Wait until the fastest member has room. */
  async #room() {
    const isFull = () => this.members.size && [...this.members].every((one) => !one.hasRoom);
    while (isFull()) await new Promise((resolve) => { this.#wake = () => resolve(undefined); });
  }
}

/** Ask for the stream of a member, from where it has got to.
 * @param {Ask} ask @param {Member} member @param {AbortSignal} signal
 * @param {{follow?: boolean}} [options] */
export function askFor(ask, { url, lastId, isAnswered }, signal, { follow = true } = {}) {
  const address = new URL(url);
  if (isAnswered && lastId) {
    address.searchParams.delete('tail');
    address.searchParams.delete('since');
  }
  if (!follow) address.searchParams.set('follow', 'false');
  return ask(address.href, {
    signal,
    cache: 'no-store',
    headers: { Accept: 'text/event-stream', ...(lastId && { 'Last-Event-ID': lastId }) },
  });
}

/** Return the name of the right to read with which the service has answered.
 * @param {Response} response */
export const readerOf = (response) => response.headers.get('Natstream-Reader') ?? '';

/** @param {Response} response @returns {Promise<import('./member.js').Answer>} */
export async function answerOf(response) {
  const { status, ok, headers } = response;
  return { status, after: headers.get('Retry-After'), text: ok ? '' : await response.text() };
}

/** Yield the bytes of a response in pieces that consist of whole blocks.
 * @param {ReadableStream<Uint8Array<ArrayBuffer>>} body */
export async function* piecesOf(body) {
  const reader = body.getReader();
  const cutter = new BlockCutter();
  for (;;) {
    const { value, done } = await reader.read();
    if (done) return;
    const piece = cutter.push(value);
    if (piece.length) yield piece;
  }
}
