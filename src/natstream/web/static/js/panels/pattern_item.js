// One pattern in the panel: its text, its verdict, a small curve and what can be done with it. In: a
// pattern of /api/patterns. Out: an element, which stays the same while its figures change.

import { h } from '../dom.js';
import { revealed } from '../text/readable.js';
import { clockTime, fullTime, perSecond } from '../text/time.js';
import { GROUPS, groupOf } from './bins.js';
import { alikeTitle, nameOf, verdictText, verdictTitle } from './pattern_words.js';

/** @typedef {import('./pattern_words.js').Pattern} Pattern */
/**
 * @typedef {object} ItemActions
 * @property {(id: string) => void} only   show only its lines, or no longer
 * @property {(id: string) => void} hide   hide its lines, or no longer
 * @property {(pattern: Pattern) => void} example   show its newest line
 * @property {(pattern: Pattern) => void} since   show its first line
 */

const SVG = 'http://www.w3.org/2000/svg';
const WIDTH = 90;
const HEIGHT = 20;

/** @param {Pattern} pattern @param {ItemActions} actions */
export function buildItem(pattern, actions) {
  const name = nameOf(pattern);
  const button = (/** @type {string} */ action, /** @type {string} */ word,
    /** @type {() => void} */ onclick) => h('button', {
    type: 'button', class: 'quiet word', 'data-action': action, 'aria-label': `${word}: ${name}`, onclick,
  }, word);
  return h('li', { class: `pattern lv-${GROUPS[groupOf(pattern.level)]}`, 'data-pattern': pattern.id },
    h('div', { class: 'pattern-top' },
      h('span', { class: 'verdict' }),
      h('span', { class: 'level' }, (pattern.level || 'no level').slice(0, 8).toUpperCase()),
      h('span', { class: 'app' }, revealed(pattern.app)),
      h('span', { class: 'rate' }),
      curve()),
    h('p', { class: 'text', title: name }, name),
    h('div', { class: 'pattern-actions' },
      button('only', 'only', () => actions.only(pattern.id)),
      button('hide', 'hide', () => actions.hide(pattern.id)),
      button('example', 'example', () => actions.example(pattern)),
      button('since', 'since', () => actions.since(pattern))));
}

/** Show the present figures of a pattern.
 * @param {HTMLElement} item @param {Pattern} pattern
 * @param {{clock: import('../text/time.js').Clock, isOnly: boolean, isHidden: boolean, isStruck: boolean, alike: number, split: boolean}}
 *   how `isStruck`: whether its lines are hidden, perhaps with those of another pattern; `alike`: listed
 *   patterns with the same first line; `split`: whether the first half of the curve is the span before */
export function updateItem(item, pattern, { clock, isOnly, isHidden, isStruck, alike, split }) {
  const { verdict = '' } = pattern;
  item.dataset.verdict = verdict;
  const badge = part(item, '.verdict');
  setText(badge, verdictText(pattern));
  badge.title = verdictTitle(pattern);
  setText(part(item, '.rate'), perSecond(pattern.rate));
  const since = part(item, '[data-action=since]');
  const time = clockTime(pattern.first_ms, clock === 'utc' ? 'utc' : 'local', Date.now()).replace(/\.\d+$/, '');
  setText(since, `since ${time}`);
  since.title = `First seen: ${fullTime(pattern.first_ms, Date.now())}\nGo to its first line`;
  since.setAttribute('aria-label', `First seen at ${time}: go to the first line of ${nameOf(pattern)}`);
  const only = part(item, '[data-action=only]');
  only.setAttribute('aria-pressed', String(isOnly));
  only.title = alikeTitle('shows', alike);
  const hide = part(item, '[data-action=hide]');
  hide.setAttribute('aria-pressed', String(isHidden));
  hide.title = alikeTitle('hides', alike);
  item.classList.toggle('is-hidden', isStruck);
  drawCurve(item, pattern, split);
}

/** @param {HTMLElement} item @param {string} selector */
const part = (item, selector) => /** @type {HTMLElement} */ (item.querySelector(selector));

/** @param {HTMLElement} element @param {string} text */
function setText(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

function curve() {
  const svg = document.createElementNS(SVG, 'svg');
  svg.setAttribute('class', 'curve');
  svg.setAttribute('viewBox', `0 0 ${WIDTH} ${HEIGHT}`);
  svg.setAttribute('role', 'img');
  return /** @type {any} */ (svg);
}

/** Draw a bar for each bin. @param {HTMLElement} item @param {Pattern} pattern @param {boolean} split */
function drawCurve(item, { series, level }, split) {
  const svg = /** @type {Element} */ (item.querySelector('.curve'));
  const most = Math.max(1, ...series);
  const step = WIDTH / Math.max(1, series.length);
  svg.setAttribute('aria-label', `The most in a bin: ${Math.max(0, ...series)} of ${level || 'its'} lines`);
  const rect = (/** @type {Record<string, string | number>} */ attributes) => {
    const element = document.createElementNS(SVG, 'rect');
    for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, String(value));
    return element;
  };
  const bars = series.map((lines, index) => {
    const height = lines ? Math.max(1.5, (lines / most) * (HEIGHT - 2)) : 0;
    const isBefore = split && index < series.length / 2;
    return rect({
      class: isBefore ? 'before' : 'now', x: index * step, y: HEIGHT - height, width: step - 0.6, height,
    });
  });
  const border = split ? [rect({ class: 'border', x: WIDTH / 2 - 0.5, y: 0, width: 1, height: HEIGHT })] : [];
  svg.replaceChildren(...border, ...bars);
}
