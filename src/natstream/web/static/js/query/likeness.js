// "Hide lines like this": a line's message → a text that excludes similar lines. Pure.

import { stripAnsi } from '../text/ansi.js';
import { escapeRegex } from './expression.js';

// The service limits the total cost of a query's expressions. A dozen of this size are below it.
const MOST_BYTES = 56;
const MOST_GAPS = 3;

/**
 * Return a text that matches the first words of a message, with anything in place of each word that
 * contains a digit.
 * @param {string} message
 * @returns {import('./query.js').Text | null} null if the message has too few words
 */
export function likenessOf(message) {
  const start = stripAnsi(message).trim().slice(0, 100).replace(/[\ud800-\udbff]$/, '').trim();
  if (start.replace(/[^\p{L}_]/gu, '').length < 3) return null;
  // A plain text costs the service nothing.
  if (!/\d|[^\S ]/.test(start)) return { text: start, regex: false, not: true };
  let pattern = '';
  let between = ''; // not needed before the first word, nor after the last
  let gaps = 0;
  let room = MOST_BYTES;
  for (const piece of start.split(/([\w.:+-]*\d[\w.:+-]*|\s+)/)) {
    if (/^\s/.test(piece)) {
      between += piece === ' ' ? ' ' : '\\s+';
    } else if (/\d/.test(piece)) {
      gaps += pattern ? 1 : 0;
      between += '[\\w.:+-]*';
    } else if (piece) {
      const words = beginningOf(piece, room);
      if (gaps > MOST_GAPS || !words) break;
      pattern += (pattern && between) + escapeRegex(words);
      between = '';
      if (words !== piece) break;
      room -= bytesOf(piece);
    }
  }
  return /\p{L}/u.test(pattern) ? { text: pattern, regex: true, not: true } : null;
}

/** @param {string} text */
const bytesOf = (text) => new TextEncoder().encode(text).length;

/** @param {string} text @param {number} room in bytes */
function beginningOf(text, room) {
  const { read } = new TextEncoder().encodeInto(text, new Uint8Array(Math.max(0, room)));
  return text.slice(0, read);
}
