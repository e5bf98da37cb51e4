// Lines of the page as a file: NDJSON as the API sends it, or readable text.

import { lineOf } from '../text/entry.js';

/** @typedef {import('../types.js').Entry} Entry */

// A slice of this many lines takes a few milliseconds. The page can react between two slices.
const SLICE = 2_000;

/** @param {Iterable<Entry>} entries @param {'ndjson' | 'text'} format @param {string} name */
export async function downloadLines(entries, format, name) {
  /** @type {Blob[]} */
  const parts = [];
  let lines = [];
  for (const entry of entries) {
    lines.push(lineOf(entry, format));
    if (lines.length === SLICE) {
      parts.push(new Blob(lines));
      lines = [];
      await new Promise((resolve) => setTimeout(resolve));
    }
  }
  const type = format === 'ndjson' ? 'application/x-ndjson' : 'text/plain';
  const link = document.createElement('a');
  link.href = URL.createObjectURL(new Blob([...parts, ...lines], { type }));
  link.download = `${name}.${format === 'ndjson' ? 'ndjson' : 'txt'}`;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
}
