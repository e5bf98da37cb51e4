// A link that shows a part of the logs, as `natstream link` makes it. In: what stands after the #
// of the address, which browsers send to nobody. Out: a cookie, and the viewer, which also takes
// this address' place in the history.

import { byId } from './dom.js';

/** @param {string} link @returns {Promise<string>} what is wrong; empty if nothing is */
async function send(link) {
  if (!link) return 'This link is not whole: something is missing after its #.';
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
