// A message that the line of a link is no longer held, which stays until the reader answers it. The
// list below shows the lines of the link's filter as they come.

import { byId, hint } from '../dom.js';

const WORDS =
  'The service no longer has that line. Below are the lines that it has.';

/** Say that a linked line is missing. @param {() => void} goToNewest */
export function sayLost(goToNewest) {
  hint('That line is no longer remembered');
  const message = byId('lost', HTMLElement);
  const [words, live, close] = message.children;
  words.textContent = WORDS;
  message.hidden = false;
  const answer = () => { message.hidden = true; };
  /** @type {HTMLElement} */ (close).onclick = answer;
  /** @type {HTMLElement} */ (live).onclick = () => {
    answer();
    goToNewest();
  };
}
