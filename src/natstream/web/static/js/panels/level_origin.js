// Where the level of a line comes from, as a sentence. Pure.

import { levelOf } from '../query/query.js';
import { revealed } from '../text/readable.js';

/**
 * @param {{level: string, continues: boolean, provider: string}} entry
 * @param {string} raw the payload as it was sent; `{}` if the service no longer has it
 */
export function levelOrigin({ level, continues, provider }, raw) {
  const sent = sentLevel(raw);
  const says = sent.level ? `; ${sent.by} says ${revealed(sent.level)}` : '';
  if (!level) return '';
  if (continues) return `from the first line of its group${says}`;
  if (raw === '{}') return '';
  if (levelOf(sent.level) === level) {
    return provider === '' || provider === 'app'
      ? `${sent.by} says it, and the message says no other`
      : `as ${sent.by} says`;
  }
  return `from the message${says}`;
}

/** Return the level beside the message, and its author.
 * @param {string} raw @returns {{level: string, by: string}} */
function sentLevel(raw) {
  try {
    const payload = JSON.parse(raw);
    const own = payload.level ?? payload.severity;
    if (typeof own === 'string' || typeof own === 'number') return { level: String(own), by: 'the sender' };
    const platform = payload.log?.level;
    return { level: typeof platform === 'string' ? platform : '', by: 'Fly' };
  } catch {
    return { level: '', by: '' };
  }
}
