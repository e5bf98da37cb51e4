// The View menu, which shows the reader's choices and changes them.

import { byId } from '../dom.js';
import { savePrefs } from './prefs.js';

const COLUMNS = /** @type {const} */ (['app', 'region', 'machine']);

/** @param {import('./prefs.js').Prefs} prefs @param {() => void} changed */
export function startViewMenu(prefs, changed) {
  const lines = byId('lines', HTMLElement);
  const wrap = byId('wrap', HTMLInputElement);
  const span = byId('span', HTMLSelectElement);
  /** @type {NodeListOf<HTMLInputElement>} */
  const radios = document.querySelectorAll('#view input[type=radio]');

  /** Show the choices in the menu and on the page, and remember them. */
  function apply() {
    const root = document.documentElement;
    if (prefs.theme === 'system') delete root.dataset.theme;
    else root.dataset.theme = prefs.theme;
    for (const column of COLUMNS) {
      lines.classList.toggle(`no-${column}`, !prefs[column]);
      byId(`column-${column}`, HTMLInputElement).checked = prefs[column];
    }
    lines.classList.toggle('relative', prefs.clock === 'relative');
    wrap.checked = prefs.wrap;
    span.value = String(prefs.span);
    for (const radio of radios) {
      radio.checked = radio.value === prefs[/** @type {'clock' | 'theme'} */ (radio.name)];
    }
    savePrefs(prefs);
    changed();
  }

  byId('view', HTMLElement).addEventListener('change', (event) => {
    const input = /** @type {HTMLInputElement} */ (event.target);
    if (input.type === 'radio') Object.assign(prefs, { [input.name]: input.value });
    else Object.assign(prefs, { [input.id.replace('column-', '')]: input.checked });
    apply();
  });
  span.addEventListener('change', () => {
    prefs.span = Number(span.value);
    apply();
  });
  return {
    apply,
    toggleWrap() {
      prefs.wrap = !prefs.wrap;
      apply();
    },
  };
}
