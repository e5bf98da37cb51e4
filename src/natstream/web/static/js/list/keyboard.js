// The keys. They belong to the list, unless a field, a menu or a dialog has the focus.

/**
 * @param {{current: () => {view: import('./view.js').View, navigation:
 *   import('./navigation.js').Navigation}, neighbours: import('../panels/neighbours.js').Neighbours,
 *   details: import('../panels/details.js').Details, search: import('../query/search.js').Search,
 *   flow: import('../stream/flow.js').Flow, wrap: () => void, help: () => void}} parts
 */
export function startKeyboard({ current, neighbours, details, search, flow, wrap, help }) {
  const step = (/** @type {1 | -1} */ step) => {
    current().navigation.step(step);
    current().navigation.announceChosen();
  };
  const toEnd = () => {
    if (neighbours.isOpen) current().view.follow();
    else flow.goToNewest();
  };
  const close = () => {
    if (details.isOpen) details.close();
    else if (neighbours.isOpen) neighbours.leave();
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
  // With Ctrl or Cmd, in place of what the browser does with all that the page has drawn.
  const pageKeys = table({
    a: () => {
      current().view.leaveEnd(true);
      current().view.selection.selectAll();
    },
    f: () => search.field.focus(),
  });
  document.addEventListener('keydown', (event) => {
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
    if (target.closest('input:not([type=checkbox], [type=radio]), textarea, select, dialog')) return;
    const onControl = target.closest('button, a, input, [popover], [role=slider], .details');
    const action = keys.get(event.key) ?? (onControl ? undefined : listKeys.get(event.key));
    if (!action || (event.key === 'Escape' && target.closest('[popover]'))) return;
    event.preventDefault();
    action();
  });
}

/** @param {Record<string, () => void>} actions by the names of their keys */
const table = (actions) => new Map(Object.entries(actions));
