// The keys. They belong to the list, unless a field, a menu or a dialog has the focus. A control that
// was reached with the keyboard keeps its own keys. One that was clicked does not, because a reader who
// has clicked a chip and presses space wants to pause, and not to press the chip again.

import { byId } from '../dom.js';
import { isClicked } from '../focus.js';

/**
 * @param {{current: () => {view: import('./view.js').View, navigation:
 *   import('./navigation.js').Navigation}, neighbours: import('../panels/neighbours.js').Neighbours,
 *   details: import('../panels/details.js').Details, search: import('../query/search.js').Search,
 *   flow: import('../stream/flow.js').Flow, patterns: import('../panels/patterns.js').PatternPanel,
 *   wrap: () => void, help: () => void}} parts
 */
export function startKeyboard({ current, neighbours, details, search, flow, patterns, wrap, help }) {
  const step = (/** @type {1 | -1} */ step) => {
    current().navigation.step(step);
    current().navigation.announceChosen();
  };
  const toEnd = () => {
    if (neighbours.isOpen) current().view.follow();
    else flow.goToNewest();
  };
  const tip = byId('strip-tip', HTMLElement);
  const close = () => {
    const { selection } = current().view;
    if (!tip.hidden) tip.hidden = true;
    else if (!selection.isEmpty) selection.clear();
    else if (details.isOpen) details.close();
    else if (patterns.hasFocus) patterns.close();
    else if (neighbours.isOpen) neighbours.leave();
    else if (patterns.isOpen) patterns.close();
    else current().view.select(null);
  };
  const keys = table({
    '/': () => search.field.focus(),
    g: () => current().view.toStart(),
    G: toEnd,
    c: () => current().navigation.openContext(),
    n: () => current().navigation.find(1),
    N: () => current().navigation.find(-1),
    j: () => step(1),
    k: () => step(-1),
    w: wrap,
    p: () => patterns.toggle(),
    '?': help,
    Escape: close,
  });
  // These keys also work the control that has the focus, so they are left to it.
  const listKeys = table({
    ' ': () => flow.togglePause(),
    Enter: () => current().navigation.openDetails(),
    ArrowDown: () => step(1),
    ArrowUp: () => step(-1),
    ArrowRight: () => current().navigation.unfold(true),
    ArrowLeft: () => current().navigation.unfold(false),
    PageDown: () => current().view.page(1),
    PageUp: () => current().view.page(-1),
    Home: () => current().view.toStart(),
    End: toEnd,
  });
  // Before the controls, because a menu lies over all of them.
  document.addEventListener('keydown', (event) => {
    if (event.key !== 'Escape' || event.isComposing || isCovered()) return;
    const menu = [...document.querySelectorAll(':popover-open')].at(-1);
    if (!(menu instanceof HTMLElement)) return;
    event.preventDefault();
    event.stopPropagation();
    menu.hidePopover();
  }, true);
  // With Ctrl or Cmd, in place of what the browser does with all that the page has drawn.
  const pageKeys = table({
    a: () => {
      current().view.leaveEnd(true);
      current().view.selection.selectAll();
    },
    f: () => search.field.focus(),
  });
  document.addEventListener('keydown', (event) => {
    if (isCovered()) return;
    const command = (event.ctrlKey || event.metaKey) && !event.altKey && !event.shiftKey
      ? pageKeys.get(event.key.toLowerCase()) : undefined;
    // In the field, the browser's own keys are wanted.
    const isInField = /** @type {Element} */ (event.target).closest('input, textarea, dialog, [popover]');
    if (command && !isInField) {
      event.preventDefault();
      command();
    }
    if (event.ctrlKey || event.metaKey || event.altKey || event.isComposing) return;
    const target = /** @type {Element} */ (event.target);
    if (target.closest('input:not([type=checkbox], [type=radio]), textarea')) return;
    if (target.closest('select') && event.key !== 'Escape') return;
    const action = keys.get(event.key) ?? (keepsKey(target, event.key) ? undefined : listKeys.get(event.key));
    if (!action) return;
    event.preventDefault();
    action();
  });
}

/** Whether a dialog or the login lies over the page. */
const isCovered = () => document.querySelector('dialog:modal, #login:not([hidden])') !== null;

/** Whether a key works the control that has the focus. @param {Element} target
 * @param {string} key one of the list's */
function keepsKey(target, key) {
  if (target.closest('input')) return true;
  // The details and the menus scroll with the other keys.
  if (key === ' ') return !isClicked(target) && target.closest('button, a, pre') !== null;
  if (target.closest('[popover], .details, .patterns')) return true;
  return !isClicked(target) && target.closest('button, a, [role=slider]') !== null;
}

/** @param {Record<string, () => void>} actions by the names of their keys */
const table = (actions) => new Map(Object.entries(actions));
