// The row of the chips: one row, so that the lines have the room, until the reader unfolds it.

import { byId } from '../dom.js';
import { savePrefs } from './prefs.js';

/** @param {import('./prefs.js').Prefs} prefs  they remember whether the row is unfolded */
export function startChipRow(prefs) {
  const chips = byId('chips', HTMLElement);
  const more = byId('chips-more', HTMLButtonElement);

  function update() {
    const all = [...chips.querySelectorAll('button')];
    const end = all[0]?.getBoundingClientRect().bottom ?? 0;
    const below = all.filter((chip) => chip.getBoundingClientRect().top >= end);
    const chosen = below.filter((chip) => chip.getAttribute('aria-pressed') === 'true').length;
    chips.classList.toggle('unfolded', prefs.chips);
    more.hidden = !below.length;
    more.setAttribute('aria-expanded', String(prefs.chips));
    const words = prefs.chips ? 'fewer filters' : `more filters${chosen ? ` (${chosen} chosen)` : ''}`;
    if (more.textContent !== words) more.textContent = words;
  }

  more.addEventListener('click', () => {
    prefs.chips = !prefs.chips;
    savePrefs(prefs);
    update();
  });
  // The focus may have scrolled the row to a chip below it.
  chips.addEventListener('focusout', ({ relatedTarget }) => {
    if (!(relatedTarget instanceof Node && chips.contains(relatedTarget))) chips.scrollTop = 0;
  });
  new ResizeObserver(update).observe(chips);
  new MutationObserver(update).observe(chips, {
    childList: true, subtree: true, characterData: true, attributes: true, attributeFilter: ['aria-pressed'],
  });
}
