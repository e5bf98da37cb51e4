// Short functions for the DOM. They insert text only as text. They use neither innerHTML, because
// lines may be hostile, nor style attributes, because the Content-Security-Policy forbids them.

import { ago } from './text/time.js';

// Long enough to read a sentence.
const HINT_MS = 4_000;

/**
 * @template {keyof HTMLElementTagNameMap} T
 * @param {T} tag
 * @param {Record<string, string | boolean | ((event: any) => void)>} [attributes] handlers as
 *   `onclick`
 * @param {...(Node | string | null | undefined)} children
 * @returns {HTMLElementTagNameMap[T]}
 */
export function h(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (typeof value === 'function') element.addEventListener(name.slice(2), value);
    else if (name === 'class') element.className = String(value);
    else if (value === true) element.setAttribute(name, '');
    else if (value !== false) element.setAttribute(name, value);
  }
  for (const child of children) if (child != null) element.append(child);
  return element;
}

/** @template {HTMLElement} T @param {string} id @param {new () => T} type @returns {T} */
export function byId(id, type) {
  const element = document.getElementById(id);
  if (!(element instanceof type)) throw new Error(`no ${type.name} #${id}`);
  return element;
}

/** Make these the children, in this order. A child that has its position already is not moved, so
 * that a press on it is not lost. @param {Element} parent @param {Element[]} children */
export function arrange(parent, children) {
  const wanted = new Set(children);
  for (const child of [...parent.children]) if (!wanted.has(child)) child.remove();
  children.forEach((child, index) => {
    const there = parent.children[index] ?? null;
    if (there !== child) parent.insertBefore(child, there);
  });
}

/** Return an icon of the sprite in index.html. @param {string} name */
export function icon(name) {
  const svg = document.createElementNS('http://www.w3.org/2000/svg', 'svg');
  svg.setAttribute('class', 'icon');
  svg.setAttribute('aria-hidden', 'true');
  const use = document.createElementNS('http://www.w3.org/2000/svg', 'use');
  use.setAttribute('href', `#i-${name}`);
  svg.append(use);
  return svg;
}

/** Tell screen readers about a change, in at most a sentence.
 * @param {string} text */
export function announce(text) {
  byId('announcer', HTMLElement).textContent = text;
}

/** Build the time since a moment, such as "16 s ago", which `tickTimes` keeps right.
 * @param {number} ms Unix ms of the moment */
export const timeSince = (ms) => h('span', { 'data-since': String(ms) }, ago(ms, Date.now()));

/** Show the times since all moments as they are now. */
export function tickTimes() {
  for (const element of document.querySelectorAll('[data-since]')) {
    const text = ago(Number(/** @type {HTMLElement} */ (element).dataset.since), Date.now());
    if (element.textContent !== text) element.textContent = text;
  }
}

let hintTimer = 0;
/** Show a hint for a few seconds, and tell screen readers. @param {string} text */
export function hint(text) {
  const element = byId('hint', HTMLElement);
  element.textContent = text;
  announce(text);
  clearTimeout(hintTimer);
  hintTimer = Number(setTimeout(() => { element.textContent = ''; }, HINT_MS));
}

/** Move an open menu below its button, and onto the screen.
 * @param {HTMLElement} menu @param {HTMLElement} button */
export function placeMenu(menu, button) {
  const { left, right, bottom } = button.getBoundingClientRect();
  const width = menu.offsetWidth;
  const start = left + width > innerWidth - 8 ? right - width : left;
  menu.style.left = `${Math.max(8, Math.min(start, innerWidth - width - 8))}px`;
  menu.style.top = `${bottom + 6}px`;
}
