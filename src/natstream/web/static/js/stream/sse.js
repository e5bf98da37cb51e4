// The bytes of an event stream, decoded to text, into blocks. Pure.
//
// In: text in pieces, cut anywhere. Out: for each block what it holds of `id`, `data` and
// `retry`. A block without `data` is no event, but its `id` is a place to resume from.
// (https://html.spec.whatwg.org/multipage/server-sent-events.html#parsing-an-event-stream)

/** @typedef {{id?: string, data?: string, retry?: number}} Block */

export class SseParser {
  #rest = '';
  /** @type {Block} */
  #block = {};
  #empty = true;

  /** @param {string} text @returns {Block[]} the blocks that it completes */
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
        this.#take(line);
      }
    }
    return blocks;
  }

  /** @param {string} line */
  #take(line) {
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
 * The object of a block with `data`, and its id; null if it is no JSON object.
 *
 * Parsed in one piece on purpose: cut out of the text, the id would keep the whole chunk of
 * text alive in V8 for as long as the line is held.
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
