// The text of an event stream → its blocks. Pure.
//
// In: pieces of text, cut anywhere. Out: the `id`, `data` and `retry` of each block. A block
// without `data` is no event, but the stream can be resumed from its `id`.
// (https://html.spec.whatwg.org/multipage/server-sent-events.html#parsing-an-event-stream)

/** @typedef {{id?: string, data?: string, retry?: number}} Block */

export class SseParser {
  #rest = '';
  /** @type {Block} */
  #block = {};
  #empty = true;

  /** @param {string} text @returns {Block[]} the blocks that this piece completes */
  push(text) {
    const blocks = [];
    const lines = (this.#rest + text).split('\n');
    this.#rest = /** @type {string} */ (lines.pop());
    for (let line of lines) {
      if (line.endsWith('\r')) line = line.slice(0, -1);
      if (line === '') {
        if (!this.#empty) blocks.push(this.#block);
        this.#block = {};
        this.#empty = true;
      } else {
        this.#addField(line);
      }
    }
    return blocks;
  }

  /** @param {string} line */
  #addField(line) {
    const colon = line.indexOf(':');
    if (colon === 0) return; // a comment
    const name = colon < 0 ? line : line.slice(0, colon);
    const value = colon < 0 ? '' : line.slice(line[colon + 1] === ' ' ? colon + 2 : colon + 1);
    const block = this.#block;
    if (name === 'data') block.data = block.data === undefined ? value : `${block.data}\n${value}`;
    else if (name === 'id') block.id = value;
    else if (name === 'retry' && /^\d+$/.test(value)) block.retry = Number(value);
    else return;
    this.#empty = false;
  }
}

/**
 * Return the event of a block with `data`, and its id; null if the data is not a JSON object.
 *
 * Id and data are parsed as one JSON text, because an id that is cut out of a chunk of text
 * would keep the whole chunk in V8's memory.
 * @param {Block} block
 * @returns {{id: string, event: Record<string, any>} | null}
 */
export function decode(block) {
  try {
    const [id, event] = JSON.parse(`[${JSON.stringify(block.id ?? '')},${block.data}]`);
    return event !== null && typeof event === 'object' ? { id, event } : null;
  } catch {
    return null;
  }
}
