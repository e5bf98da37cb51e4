// The page of a link that shows a part of the logs, as `natstream link` makes it. In: the text
// after the # of the address, which browsers never send. Out: a cookie, and the viewer, which
// replaces this address in the history.

import { byId } from './dom.js';

/** @param {string} link @returns {Promise<string>} the problem; empty if there is none */
async function send(link) {
  if (!link) return 'This link is not whole: the text after its # is missing.';
  try {
    const response = await fetch('api/login', {
      method: 'POST',
      headers: { 'Content-Type': 'application/json' },
      body: JSON.stringify({ link }),
    });
    if (response.ok) return '';
    if (response.status === 401) return 'This link is not valid, or has expired. Ask for another.';
    return `The service answers ${response.status}. Try again in a moment.`;
  } catch {
    return 'The service cannot be reached. Try again in a moment.';
  }
}

const problem = await send(location.hash.slice(1));
if (problem) byId('said', HTMLElement).textContent = problem;
else location.replace('./');
