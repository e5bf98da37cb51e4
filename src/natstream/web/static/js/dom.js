// A few short words for the DOM. Text only ever goes in as text: there is no innerHTML here, and
// no style attribute, since the Content-Security-Policy forbids both to work.

// Long enough to be read.
const HINT_MS = 4_000;

/**
 * @template {keyof HTMLElementTagNameMap} T
 * @param {T} tag
 * @param {Record<string, string | boolean | ((event: any) => void)>} [attributes] handlers as `onclick`
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

/** Make these the children, in this order. Those that are there already are not moved, so that a
 * press on one is not lost. @param {Element} parent @param {Element[]} children */
export function arrange(parent, children) {
  const wanted = new Set(children);
  for (const child of [...parent.children]) if (!wanted.has(child)) child.remove();
  children.forEach((child, index) => {
    const there = parent.children[index] ?? null;
    if (there !== child) parent.insertBefore(child, there);
  });
}

/** An icon of the sprite in index.html. @param {string} name */
export function icon(name) {
  const svg = document.createElementNS('http://www.w3.org/2000/svg', 'svg');
  svg.setAttribute('class', 'icon');
  svg.setAttribute('aria-hidden', 'true');
  const use = document.createElementNS('http://www.w3.org/2000/svg', 'use');
  use.setAttribute('href', `#i-${name}`);
  svg.append(use);
  return svg;
}

/** Say something to those who cannot see it change; never more than a sentence.
 * @param {string} text */
export function announce(text) {
  byId('announcer', HTMLElement).textContent = text;
}

let hintTimer = 0;
/** The same, to everybody; it goes away by itself. @param {string} text */
export function hint(text) {
  const element = byId('hint', HTMLElement);
  element.textContent = text;
  announce(text);
  clearTimeout(hintTimer);
  hintTimer = Number(setTimeout(() => { element.textContent = ''; }, HINT_MS));
}

/** Put an open menu under its button, on the screen. @param {HTMLElement} menu @param {HTMLElement} button */
export function placeMenu(menu, button) {
  const { left, right, bottom } = button.getBoundingClientRect();
  const width = menu.offsetWidth;
  const start = left + width > innerWidth - 8 ? right - width : left;
  menu.style.left = `${Math.max(8, Math.min(start, innerWidth - width - 8))}px`;
  menu.style.top = `${bottom + 6}px`;
}
