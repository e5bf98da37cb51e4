// Lines of the page as a file. In: entries. Out: NDJSON as the API sends it, or readable text.

import { stripAnsi } from '../text/ansi.js';
import { revealed } from '../text/readable.js';
import { toEvent } from './details.js';
import { noticeText } from '../list/row.js';

/** @typedef {import('../types.js').Entry} Entry */

// A slice of this many lines takes a few milliseconds; the page stays responsive in between.
const SLICE = 2_000;

/** @param {Entry} entry @param {'ndjson' | 'text'} format */
export function lineOf(entry, format) {
  if (format === 'ndjson') return entry.note ? '' : `${JSON.stringify(toEvent(entry))}\n`;
  if (entry.note) return `# ${noticeText(entry)}\n`;
  const date = new Date(entry.time);
  const time = Number.isNaN(date.getTime()) ? '-' : date.toISOString();
  const level = entry.level ? ` [${revealed(entry.level)}]` : '';
  const message = revealed(stripAnsi(entry.message)).trimEnd().replaceAll('\n', '\n    ');
  const origin = revealed(`${entry.app || entry.source}[${entry.machine}] ${entry.region}`).trimEnd();
  return `${time} ${origin}${level} ${message}\n`;
}

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
