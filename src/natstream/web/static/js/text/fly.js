// The meaning of Fly's own lines: marks for the histogram, and links for error codes. Pure.
//
// In: a line of type `system` (its provider is runner, proxy, health, …). Out: the kind of event
// that it marks, if any. The messages were collected from Fly's public documentation and forum. A
// message that is not known marks no event.

/** @type {Record<string, {sign: string, name: string}>} */
export const KINDS = {
  deploy: { sign: '▲', name: 'deploy' },
  release: { sign: '▲', name: 'new release' },
  restart: { sign: '↻', name: 'start or stop' },
  health: { sign: '✚', name: 'health check' },
  proxy: { sign: '◆', name: 'proxy error' },
  watch: { sign: '⚑', name: 'watch that fired' },
};

const DEPLOY = /pulling container image|successfully prepared image|configuring firecracker|machine (?:created|updated)|new (?:release|deployment)/i;
const RESTART = /machine (?:exited|started|stopped|restart|became reachable|has reached its max restart|did not have a restart)|starting (?:machine|init|instance)|main child exited|sending signal|out of memory|\boom(?![a-z])|reboot:|(?:shutting|virtual machine exited) ?(?:down)?|auto(?:matically)? ?stop|downscaling|machine started in/i;
const HEALTH = /health ?check|servicecheck/i;

// https://fly.io/docs/reference/error-codes/ : two letters, the first P, and two digits.
export const CODE = /\[(P[A-Z]\d\d)\]/;

/** @param {{type: string, provider: string, level: string, message: string}} entry */
export function kindOf(entry) {
  if (entry.type !== 'system') return '';
  const { message, provider } = entry;
  if (HEALTH.test(message)) return 'health';
  if (CODE.test(message) || (provider === 'proxy' && entry.level === 'error')) return 'proxy';
  if (DEPLOY.test(message)) return 'deploy';
  return RESTART.test(message) ? 'restart' : '';
}

/** Return the address of an error code in Fly's documentation. @param {string} code */
export const documentationOf = (code) =>
  `https://fly.io/docs/reference/error-codes/#:~:text=${encodeURIComponent(code)}`;
