// The views that the reader has named, in the View menu: to open, keep, rename and delete them. The
// browser keeps them (query/stored.js).

import { announce, byId, h, icon } from '../dom.js';
import { LONGEST_NAME, cleanName, deleteView, keepView, renameView, views } from '../query/stored.js';

/**
 * @param {{open: (search: string) => void, search: () => string}} handlers
 *   `open`: show a view; `search`: return the query string of the present view
 */
export function startViews({ open, search }) {
  const menu = byId('view', HTMLElement);
  const list = byId('views-list', HTMLElement);
  const form = byId('views-form', HTMLFormElement);
  const name = byId('views-name', HTMLInputElement);
  const error = byId('views-error', HTMLElement);
  let renamed = '';
  name.maxLength = LONGEST_NAME;

  /** @param {string} problem a sentence; empty if there is none */
  function show(problem = '') {
    error.textContent = problem;
    error.hidden = !problem;
    list.replaceChildren(...views().map((view) => h('li', {},
      view.name === renamed ? nameField(view.name) : h('button', {
        type: 'button', class: 'quiet view-name', title: view.search || 'all lines', onclick: () => {
          menu.hidePopover();
          open(view.search);
        },
      }, view.name),
      button('rename', `Rename the view ${view.name}`, () => edit(view.name)),
      button('delete', `Delete the view ${view.name}`, () => {
        deleteView(view.name);
        announce(`The view ${view.name} is deleted`);
        show();
        name.focus();
      }))));
  }

  /** @param {string} word @param {string} label @param {() => void} action */
  const button = (word, label, action) => h('button', {
    type: 'button', class: 'quiet', 'aria-label': label, title: label, onclick: action,
  }, word === 'delete' ? icon('close') : word);

  /** @param {string} old */
  function nameField(old) {
    return h('input', {
      type: 'text', class: 'view-name', value: old, maxlength: String(LONGEST_NAME),
      'aria-label': `New name of the view ${old}`,
      onkeydown: (/** @type {KeyboardEvent} */ event) => {
        if (event.key === 'Enter') {
          const problem = renameView(old, /** @type {HTMLInputElement} */ (event.target).value);
          if (!problem) renamed = '';
          show(problem);
        } else if (event.key === 'Escape') {
          renamed = '';
          show();
        } else return;
        event.preventDefault();
        event.stopPropagation();
      },
    });
  }

  /** @param {string} old */
  function edit(old) {
    renamed = old;
    show();
    list.querySelector('input')?.select();
  }

  form.addEventListener('submit', (event) => {
    event.preventDefault();
    const problem = keepView(name.value, search());
    if (!problem) {
      announce(`The view ${cleanName(name.value)} is kept`);
      name.value = '';
    }
    show(problem);
  });
  menu.addEventListener('toggle', () => {
    renamed = '';
    if (menu.matches(':popover-open')) show();
  });
  // Another tab has changed them.
  addEventListener('storage', () => {
    if (menu.matches(':popover-open') && !renamed) show(error.textContent ?? '');
  });
}
