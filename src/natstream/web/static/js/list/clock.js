// The times in the list, which change although no line arrives.

import { dayOf } from '../text/time.js';

/** Call the result every second.
 * @param {import('./view.js').View} view */
export function makeClock(view) {
  const { look } = view;
  let today = dayOf(Date.now(), look.clock);
  return () => {
    if (look.clock === 'relative') view.tick();
    else if (today !== dayOf(Date.now(), look.clock)) {
      today = dayOf(Date.now(), look.clock);
      view.relayout(); // because rows of the old day must show their day from now on
    }
  };
}
