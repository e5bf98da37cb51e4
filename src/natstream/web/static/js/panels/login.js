// The form that asks for a token where the service wants one. In: a token. Out: a cookie, which
// the service sets; the page itself keeps nothing.

import { byId } from '../dom.js';

/** @param {() => void} entered what to do once the service has let us in */
export function startLogin(entered) {
  const form = byId('login', HTMLFormElement);
  const token = byId('token', HTMLInputElement);
  const error = byId('login-error', HTMLElement);
  form.addEventListener('submit', async (event) => {
    event.preventDefault();
    error.textContent = '';
    const problem = await send(token.value.trim());
    if (problem) {
      error.textContent = problem;
      token.select();
      return;
    }
    done();
  });
  function done() {
    token.value = '';
    form.hidden = true;
    entered();
  }
  return {
    /** The service lets us in. */
    done,
    /** The service does not let us in. */
    ask() {
      if (!form.hidden) return;
      form.hidden = false;
      token.focus();
    },
  };
}

/** Have the service take its cookie back, and show what is left to see: the form. */
export async function logOut() {
  await fetch('api/logout', { method: 'POST' });
  location.reload();
}

/** @param {string} token @returns {Promise<string>} what is wrong; empty if nothing is */
async function send(token) {
  try {
    const response = await fetch('api/login', {
      method: 'POST',
      headers: { 'Content-Type': 'application/json' },
      body: JSON.stringify({ token }),
    });
    if (response.ok) return '';
    if (response.status === 401) return 'The service does not know this token.';
    const after = Number(response.headers.get('Retry-After'));
    if (after) return `Too many attempts: try again in ${after} seconds.`;
    const answer = await response.json().catch(() => ({}));
    return String(answer?.error ?? `The service answers ${response.status}.`);
  } catch {
    return 'The service cannot be reached.';
  }
}
