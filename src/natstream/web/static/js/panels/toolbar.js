// The buttons and menus around the list.

import { byId, placeMenu } from '../dom.js';
import { downloadLines } from './download.js';

/**
 * @param {{current: () => {navigation: import('../list/navigation.js').Navigation},
 *   neighbours: import('./neighbours.js').Neighbours,
 *   search: import('../query/search.js').Search, flow: import('../stream/flow.js').Flow,
 *   surroundings: import('./surroundings.js').Surroundings, lines:
 * import('../list/lines.js').Lines, details: import('./details.js').Details, help: () => void}}
 * parts
 */
export function startToolbar({
  current, neighbours, search, flow, surroundings, lines, details, help,
}) {
  const actions = {
    context: () => search.toggleMarking(),
    'find-next': () => current().navigation.find(1),
    'find-previous': () => current().navigation.find(-1),
    pause: () => flow.togglePause(),
    clear: () => {
      lines.clear();
      details.close();
    },
    newest: () => flow.goToNewest(),
    earlier: () => surroundings.loadBefore(),
    mute: () => search.toggleMuted(),
    'help-button': help,
  };
  for (const [id, action] of Object.entries(actions)) {
    byId(id, HTMLElement).addEventListener('click', action);
  }

  const menu = byId('download', HTMLElement);
  menu.addEventListener('click', (event) => {
    const target = /** @type {HTMLElement} */ (event.target);
    const format = target.dataset.download;
    if (format === 'text' || format === 'ndjson') {
      const shown = neighbours.isOpen ? neighbours.all() : lines.all();
      void downloadLines([...shown], format, surroundings.fileName());
    }
    if (target.closest('a, button')) menu.hidePopover();
  });

  byId('status', HTMLElement).addEventListener('beforetoggle', (event) => {
    if (/** @type {ToggleEvent} */ (event).newState === 'open') surroundings.fillPanel();
  });
  for (const button of document.querySelectorAll('button[popovertarget]')) {
    const menu = byId(button.getAttribute('popovertarget') ?? '', HTMLElement);
    menu.addEventListener('toggle', () => {
      if (menu.matches(':popover-open')) placeMenu(menu, /** @type {HTMLElement} */ (button));
    });
  }
}
