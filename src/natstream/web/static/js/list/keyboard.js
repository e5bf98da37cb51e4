// The keys. They belong to the list, unless a field, a menu or a dialog has the focus.

/**
 * @param {{view: import('./view.js').View, navigation: import('./navigation.js').Navigation,
 *   details: import('../panels/details.js').Details, search: import('../query/search.js').Search,
 *   flow: import('../stream/flow.js').Flow, wrap: () => void, help: () => void}} parts
 */
export function startKeyboard({ view, navigation, details, search, flow, wrap, help }) {
  const step = (/** @type {1 | -1} */ step) => {
    navigation.step(step);
    navigation.announceChosen();
  };
  const close = () => {
    if (details.isOpen) details.close();
    else view.select(null);
  };
  /** @type {Record<string, () => void>} */
  const keys = {
    '/': () => search.field.focus(),
    g: () => view.toStart(),
    G: () => flow.goToNewest(),
    n: () => navigation.find(1),
    N: () => navigation.find(-1),
    j: () => step(1),
    k: () => step(-1),
    w: wrap,
    '?': help,
    Escape: close,
  };
  // These keys also work the control that has the focus, so they are left to it.
  /** @type {Record<string, () => void>} */
  const listKeys = {
    ' ': () => flow.togglePause(),
    Enter: () => navigation.openDetails(),
    ArrowDown: () => step(1),
    ArrowUp: () => step(-1),
    ArrowRight: () => navigation.unfold(true),
    ArrowLeft: () => navigation.unfold(false),
    PageDown: () => view.page(1),
    PageUp: () => view.page(-1),
    Home: keys.g,
    End: keys.G,
  };
  document.addEventListener('keydown', (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || event.isComposing) return;
    const target = /** @type {Element} */ (event.target);
    if (target.closest('input:not([type=checkbox], [type=radio]), textarea, select, dialog')) return;
    const onControl = target.closest('button, a, input, [popover], [role=slider], .details');
    const action = keys[event.key] ?? (onControl ? undefined : listKeys[event.key]);
    if (!action || (event.key === 'Escape' && target.closest('[popover]'))) return;
    event.preventDefault();
    action();
  });
}
