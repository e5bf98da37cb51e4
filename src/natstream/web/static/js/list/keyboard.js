// Keys. They are the list's unless a field, a menu or a dialog has the focus.

/**
 * @typedef {object} Hands
 * @property {() => void} search
 * @property {() => void} pause
 * @property {() => void} oldest
 * @property {() => void} newest
 * @property {(step: 1 | -1) => void} page
 * @property {(step: 1 | -1) => void} find
 * @property {(step: 1 | -1) => void} step
 * @property {(opened: boolean) => void} open
 * @property {() => void} details
 * @property {() => void} wrap
 * @property {() => void} help
 * @property {() => void} close
 */

/** @param {Hands} hands */
export function startKeyboard(hands) {
  /** @type {Record<string, () => void>} */
  const keys = {
    '/': hands.search,
    g: hands.oldest,
    G: hands.newest,
    n: () => hands.find(1),
    N: () => hands.find(-1),
    j: () => hands.step(1),
    k: () => hands.step(-1),
    w: hands.wrap,
    '?': hands.help,
    Escape: hands.close,
  };
  // Keys that also work the control that has the focus.
  /** @type {Record<string, () => void>} */
  const listKeys = {
    ' ': hands.pause,
    Enter: hands.details,
    ArrowDown: () => hands.step(1),
    ArrowUp: () => hands.step(-1),
    ArrowRight: () => hands.open(true),
    ArrowLeft: () => hands.open(false),
    PageDown: () => hands.page(1),
    PageUp: () => hands.page(-1),
    Home: hands.oldest,
    End: hands.newest,
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
