// Bytes of an event stream, cut where blocks end, and the ids in them. Pure.
//
// The shared worker passes whole blocks on as bytes. It reads only the event ids, because it must
// know where a tab's replay ends and where the lines of the shared stream begin.

const LINE_BREAK = 10;
const NOTHING = new Uint8Array();
/** The epoch and the number of an event id (see resume.js). */
const EVENT_ID = /^\d+-([0-9a-z]+)-(\d{1,18})$/;

/** Chunks as the network cuts them → pieces that consist of whole blocks. */
export class BlockCutter {
  #rest = NOTHING;

  /** @param {Uint8Array<ArrayBuffer>} chunk
   * @returns {Uint8Array<ArrayBuffer>} all blocks that are complete now; empty if none is */
  push(chunk) {
    const bytes = joined(this.#rest, chunk);
    let end = bytes.lastIndexOf(LINE_BREAK);
    while (end > 0 && bytes[end - 1] !== LINE_BREAK) end = bytes.lastIndexOf(LINE_BREAK, end - 1);
    const cut = end > 0 ? end + 1 : 0;
    this.#rest = bytes.slice(cut);
    return bytes.slice(0, cut);
  }
}

/** @param {Uint8Array<ArrayBuffer>} first @param {Uint8Array<ArrayBuffer>} second */
function joined(first, second) {
  if (!first.length) return second;
  const bytes = new Uint8Array(first.length + second.length);
  bytes.set(first);
  bytes.set(second, first.length);
  return bytes;
}

/** Return the id of the last log line in some blocks; empty if they have no line.
 * @param {string} text */
export const lastLineId = (text) => lastMatch(text, /(?:^|\n)id: (\S+)\ndata: /g);

/** Return the last id in some blocks, of a line or of a position; empty if they have none.
 * @param {string} text */
export const lastId = (text) => lastMatch(text, /(?:^|\n)id: (\S+)\n/g);

/** @param {string} text @param {RegExp} pattern */
function lastMatch(text, pattern) {
  let last = '';
  for (const [, id] of text.matchAll(pattern)) last = id;
  return copied(last);
}

/** Return whether a reader that has everything up to `id` has the line `border` as well; false if
 * that cannot be known, because the ids are of different segments.
 * @param {string} id @param {string} border empty for no line, which every reader has */
export function reaches(id, border) {
  if (!border) return true;
  const [reached, wanted] = [EVENT_ID.exec(id), EVENT_ID.exec(border)];
  if (!reached || !wanted) return false;
  return reached[1] === wanted[1] && BigInt(reached[2]) >= BigInt(wanted[2]);
}

/** Return the blocks after the last line that a reader has already.
 * @param {string} text whole blocks @param {string} id up to which the reader has everything; empty
 *   if it has nothing */
export function after(text, id) {
  if (!id) return text;
  let from = 0;
  for (const match of text.matchAll(/(?:^|\n)id: (\S+)\ndata: .*\n(?=\n)/g)) {
    if (reaches(id, match[1])) from = match.index + match[0].length + 1;
  }
  return text.slice(from);
}

/** Return the blocks without the first, which only says that a stream has begun.
 * @param {string} text whole blocks */
export const withoutOpening = (text) => text.slice(text.indexOf('\n\n') + 2);

/** Return a string of its own, because a piece of a longer text keeps the whole text in memory.
 * @param {string} text @returns {string} */
export const copied = (text) => JSON.parse(JSON.stringify(text));
