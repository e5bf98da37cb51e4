// Text of strangers as nodes: with colours, marks, links, and names for control characters.

import { h } from '../dom.js';
import { coloursOf } from '../text/ansi.js';
import { CODE, documentationOf } from '../text/fly.js';
import { UNSEEN, revealed, splitUnseen } from '../text/readable.js';

/** @typedef {import('../types.js').Span} Span */
/** @typedef {import('../text/contrast.js').Rgb} Rgb */

const MOST_UNSEEN = 100;
// The characters around a match that is not shown otherwise.
const AROUND = 40;

/**
 * Append text with its colours, marks and links.
 * @param {HTMLElement} element @param {string} text @param {Span[]} spans ascending
 * @param {[number, number][]} marks ascending @param {boolean} links whether Fly's error codes
 *   become links
 */
export function paint(element, text, spans, marks, links) {
  const code = links ? CODE.exec(text) : null;
  const link = code && { start: code.index + 1, end: code.index + 1 + code[1].length };
  if (!spans.length && !marks.length && !link) {
    element.append(...visible(text));
    return;
  }
  let s = 0;
  let m = 0;
  for (let position = 0; position < text.length; ) {
    while (s < spans.length && spans[s].end <= position) s += 1;
    while (m < marks.length && marks[m][1] <= position) m += 1;
    const span = spans[s];
    const mark = marks[m];
    let next = text.length;
    for (const edge of [span?.start, span?.end, mark?.[0], mark?.[1], link?.start, link?.end]) {
      if (edge !== undefined && edge > position && edge < next) next = edge;
    }
    /** @type {(Node | string)[]} */
    let nodes = visible(text.slice(position, next));
    if (span && span.start <= position) nodes = [styled(span, nodes)];
    if (mark && mark[0] <= position) nodes = [h('mark', {}, ...nodes)];
    if (code && link && link.start <= position && position < link.end) {
      nodes = [
        h('a', {
          href: documentationOf(code[1]), target: '_blank', rel: 'noopener noreferrer',
          title: `Fly.io on ${code[1]}`,
        }, ...nodes),
      ];
    }
    element.append(...nodes);
    position = next;
  }
}

/** Return the first match in the part of a text that is not shown, with some words around it.
 * @param {string} whole @param {number} shown the characters that are shown
 * @param {import('../query/matching.js').Matcher | null} matcher
 * @returns {HTMLElement | null} null if there is none */
export function excerpt(whole, shown, matcher) {
  const match = matcher?.ranges(whole).find(([, end]) => end > shown);
  if (!match) return null;
  const [start, end] = [match[0], Math.min(match[1], match[0] + AROUND)];
  const words = (/** @type {number} */ from, /** @type {number} */ to) =>
    visible(whole.slice(from, to).replace(/\s+/g, ' '));
  return h('span', { class: 'excerpt' },
    ' … ', ...words(Math.max(0, start - AROUND), start),
    h('mark', {}, ...words(start, end)), ...words(end, end + AROUND));
}

/** @param {Span} span @param {(Node | string)[]} nodes */
function styled(span, nodes) {
  const element = h('span', { class: span.className }, ...nodes);
  const colours = coloursOf(span);
  if (!colours) return element;
  element.style.color = forThemes(colours.text);
  if (colours.ground) element.style.backgroundColor = forThemes(colours.ground);
  return element;
}

/** @param {[Rgb, Rgb]} colours */
const forThemes = ([light, dark]) => `light-dark(rgb(${light.join(' ')}), rgb(${dark.join(' ')}))`;

/** @param {string} text @returns {(Node | string)[]} */
export function visible(text) {
  if (!UNSEEN.test(text)) return [text];
  const parts = splitUnseen(text);
  if (parts.length > MOST_UNSEEN) return [revealed(text)];
  return parts.map((part) =>
    part.unseen ? h('span', { class: 'unseen', title: 'a control character' }, part.text) : part.text,
  );
}
