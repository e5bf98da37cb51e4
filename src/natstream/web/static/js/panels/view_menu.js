// The View menu, which shows the reader's choices and changes them.

import { byId } from '../dom.js';
import { savePrefs } from './prefs.js';

const COLUMNS = /** @type {const} */ (['app', 'region', 'machine']);

/**
 * @param {import('./prefs.js').Prefs} prefs
 * @param {{changed: () => void, toggleRaw: () => void}} handlers
 *   `toggleRaw`: the address says as well whether JSON messages are shown as they came
 */
export function startViewMenu(prefs, { changed, toggleRaw }) {
  const stage = byId('stage', HTMLElement);
  const raw = byId('raw', HTMLInputElement);
  const fold = byId('fold', HTMLInputElement);
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
      stage.classList.toggle(`no-${column}`, !prefs[column]);
      byId(`column-${column}`, HTMLInputElement).checked = prefs[column];
    }
    stage.classList.toggle('relative', prefs.clock === 'relative');
    wrap.checked = prefs.wrap;
    fold.checked = prefs.fold;
    span.value = String(prefs.span);
    for (const radio of radios) {
      radio.checked = radio.value === prefs[/** @type {'clock' | 'theme'} */ (radio.name)];
    }
    savePrefs(prefs);
    changed();
  }

  byId('view', HTMLElement).addEventListener('change', (event) => {
    const input = /** @type {HTMLInputElement} */ (event.target);
    if (input.type === 'text') return; // the name of a view
    if (input === raw) {
      prefs.raw = raw.checked;
      savePrefs(prefs);
      toggleRaw();
      return;
    }
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
    /** @param {boolean} isRaw */
    showRaw(isRaw) {
      raw.checked = isRaw;
    },
    toggleWrap() {
      prefs.wrap = !prefs.wrap;
      apply();
    },
  };
}
