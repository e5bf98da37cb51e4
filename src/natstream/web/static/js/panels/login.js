// The form that asks for a token if the service requires one. In: a token. Out: a cookie, which the
// service sets. The page itself does not keep the token.

import { byId } from '../dom.js';

/** @param {() => void} entered called when the service has accepted the token */
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
    /** The service accepts this reader. */
    done,
    /** The service refuses this reader without a token. */
    ask() {
      if (!form.hidden) return;
      form.hidden = false;
      token.focus();
    },
  };
}

/** Ask the service to delete its cookie, and show the form. */
export async function logOut() {
  await fetch('api/logout', { method: 'POST' });
  location.reload();
}

/** @param {string} token @returns {Promise<string>} the problem; empty if there is none */
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
