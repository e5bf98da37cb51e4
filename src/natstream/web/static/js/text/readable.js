// Text of strangers: control characters made visible, and the room that the text takes. Pure.

// Control characters, and characters that reorder or hide text. The page shows their names instead.
// Tabs and line breaks are not among them, and neither are a joiner or a variation selector next to
// characters beyond ASCII, which form letters and emoji. The service does the same for terminals
// (entries/escapes.py).
export const UNSEEN =
  // eslint-disable-next-line no-control-regex
  /[\x00-\x08\x0b-\x1f\x7f-\x9f\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\u3164\ufeff\uffa0\ufff0-\ufffb]|[\u{1bca0}-\u{1bca3}\u{1d173}-\u{1d17a}\u{e0000}-\u{e0fff}]|(?<=[\x00-\x9f\u200b-\u200f]|^)[\u200c\u200d]|[\u200c\u200d](?=[\x00-\x9f\ufe00-\ufe0f]|$)|(?<=[\x00-\x9f\u200b-\u200f\ufe00-\ufe0f]|^)[\ufe00-\ufe0f]/u;
const UNSEEN_ALL = new RegExp(UNSEEN.source, 'gu');

/** Return the name to show for an unseen character. @param {string} character */
function nameOf(character) {
  const code = /** @type {number} */ (character.codePointAt(0));
  if (code < 0x20) return String.fromCharCode(0x2400 + code);
  if (code === 0x7f) return '\u2421';
  return `U+${code.toString(16).toUpperCase().padStart(4, '0')}`;
}

/** Return text without the carriage returns before its line breaks and at its end, which say nothing.
 * Programs on Windows, and terminals, end each line with them.
 * @param {string} text */
const withoutReturns = (text) =>
  text.includes('\r') ? text.replace(/\r+(?:(\n|$)|)/g, (found, end) => end ?? found) : text;

/** Cut text into visible parts and unseen characters.
 * @param {string} shown @returns {{text: string, unseen: boolean}[]} */
export function splitUnseen(shown) {
  const text = withoutReturns(shown);
  const parts = [];
  let position = 0;
  for (const match of text.matchAll(UNSEEN_ALL)) {
    if (match.index > position) {
      parts.push({ text: text.slice(position, match.index), unseen: false });
    }
    parts.push({ text: nameOf(match[0]), unseen: true });
    position = match.index + match[0].length;
  }
  if (position < text.length) parts.push({ text: text.slice(position), unseen: false });
  return parts;
}

/** Return text with a name for every unseen character, where no markup is possible.
 * @param {string} text */
export const revealed = (text) =>
  withoutReturns(text).replace(UNSEEN_ALL, (character) => `\u2039${nameOf(character)}\u203a`);

/** Return how many lines of `columns` characters a text takes, but at most `most`.
 * @param {string} text @param {number} columns @param {number} most */
export function visualLines(text, columns, most) {
  if (text.length <= columns && !text.includes('\n')) return 1;
  let lines = 0;
  for (let start = 0; lines < most; ) {
    const end = text.indexOf('\n', start);
    const length = (end < 0 ? text.length : end) - start;
    lines += Math.max(1, Math.ceil(length / columns));
    if (end < 0) break;
    start = end + 1;
  }
  return Math.min(lines, most);
}

/**
 * Return the part of `text` that fills `lines` lines of `columns` characters.
 * @param {string} text @param {number} lines @param {number} columns
 */
export function firstLines(text, lines, columns) {
  let position = 0;
  for (let left = lines; left > 0; ) {
    const end = text.indexOf('\n', position);
    const length = (end < 0 ? text.length : end) - position;
    const needed = Math.max(1, Math.ceil(length / columns));
    if (needed > left) return whole(text, position + left * columns);
    left -= needed;
    if (end < 0) return text;
    if (left === 0) return text.slice(0, end);
    position = end + 1;
  }
  return text.slice(0, position);
}

/** Cut text, but not in the middle of a surrogate pair. @param {string} text @param {number} end */
function whole(text, end) {
  const last = text.charCodeAt(end - 1);
  return text.slice(0, last >= 0xd800 && last < 0xdc00 ? end - 1 : end);
}

/** @param {string} text */
export function countBreaks(text) {
  let count = 0;
  for (let i = text.indexOf('\n'); i >= 0; i = text.indexOf('\n', i + 1)) count += 1;
  return count;
}

/** Return a message without the line breaks at its end, which many programs add.
 * @param {string} message */
export const trimEnd = (message) =>
  message.endsWith('\n') || message.endsWith('\r') ? message.replace(/[\r\n]+$/, '') : message;
