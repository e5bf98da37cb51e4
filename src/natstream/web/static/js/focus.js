// Where the focus goes when its control goes, and whether it came by a pointer.
//
// A browser gives the focus to the body when the focused control is removed, hidden or disabled, for
// example when a panel is built again after a click. Keyboard and screen reader then start again at the
// top of the page. So the focus goes to the same control of the new content instead, otherwise to the
// panel around it, otherwise to the list.

// A removed row may come back anywhere, so the list around it gets the focus.
const LIST = '.lines';

/** The control that has the focus, and the elements around it, the nearest first.
 * @type {HTMLElement[]} */
let path = [];
/** The controls that a pointer has pressed, and that Tab has not reached since.
 * @type {WeakSet<Element>} */
const clicked = new WeakSet();
let isTabbing = false;

/** Whether a control has the focus because a pointer has pressed it. Then keys belong to the list.
 * @param {Element} element */
export const isClicked = (element) => clicked.has(element);

/** @param {() => HTMLElement} home return the list that is shown */
export function startFocus(home) {
  document.addEventListener('focusin', ({ target }) => {
    if (isTabbing && target instanceof Element) clicked.delete(target);
    path = [];
    for (let at = target; at instanceof HTMLElement && at !== document.body; at = at.parentElement) {
      path.push(at);
    }
  });
  document.addEventListener('keydown', ({ key }) => { isTabbing ||= key === 'Tab'; }, true);
  document.addEventListener('pointerdown', () => { isTabbing = false; }, true);
  document.addEventListener('focusout', () => setTimeout(() => {
    // The reader has clicked beside the controls.
    if (isNowhere() && path[0] && isUsable(path[0])) path = [];
  }));
  document.addEventListener('click', ({ detail, target }) => {
    if (!detail) return; // it was a key, or a screen reader
    const control = target instanceof Element ? target.closest('button, a, select, [tabindex]') : null;
    for (const one of [control, document.activeElement]) if (one) clicked.add(one);
  });
  document.addEventListener('change', ({ target }) => {
    if (target instanceof HTMLSelectElement && isClicked(target)) focus(home());
  });
  new MutationObserver((records) => {
    const [control] = path;
    if (!control || (document.activeElement !== control && !isNowhere())) return;
    const isMoved = () => records.some(({ removedNodes }) =>
      [...removedNodes].some((node) => node.contains(control)));
    if (isUsable(control)) {
      if (isNowhere() && isMoved()) focus(control);
      return;
    }
    focus(successor() ?? home());
    const next = document.activeElement;
    if (isClicked(control) && next) clicked.add(next);
  }).observe(document.body, {
    childList: true, subtree: true, attributes: true, attributeFilter: ['hidden', 'disabled', 'inert'],
  });
  // A window that is closed gives the focus back, unless it had gone to the body before.
  for (const name of ['toggle', 'close']) {
    document.addEventListener(name, ({ target }) => {
      if (!isNowhere() || !(target instanceof HTMLElement) || target.matches(':popover-open')) return;
      focus(document.querySelector(`[popovertarget="${target.id}"]`) ?? home());
    }, true);
  }
}

const isNowhere = () => document.activeElement === document.body || !document.activeElement;

/** @param {HTMLElement} element */
const focus = (element) => element.focus({ preventScroll: true });

/** @param {HTMLElement} element */
const isUsable = (element) => element.isConnected && !element.matches(':disabled')
  && !element.closest('[inert]') && element.checkVisibility({ visibilityProperty: true });

/** Return the control that has taken the position of the one that has gone. */
function successor() {
  const [control, ...around] = path;
  const list = around.find((room) => room.matches(LIST) && isUsable(room));
  if (list) return list;
  for (const room of around.filter(isUsable)) {
    const alike = [...room.querySelectorAll(control.tagName)].find((one) =>
      one instanceof HTMLElement && nameOf(one) === nameOf(control) && isUsable(one));
    if (alike instanceof HTMLElement) return alike;
    if (room.hasAttribute('tabindex')) return room;
  }
  return null;
}

/** @param {HTMLElement} control */
const nameOf = (control) =>
  control.id || control.dataset.chip || control.getAttribute('aria-label') || control.textContent;
