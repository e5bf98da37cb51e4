// What this reader has chosen, remembered by the browser where it lets us.

const KEY = 'natstream';

/**
 * @typedef {object} Prefs
 * @property {'system' | 'light' | 'dark'} theme
 * @property {import('../text/time.js').Clock} clock
 * @property {boolean} wrap
 * @property {number} span       seconds that the histogram shows
 * @property {boolean} app       whether its column is shown
 * @property {boolean} region
 * @property {boolean} machine
 */

/** @type {Prefs} */
const DEFAULTS = {
  theme: 'system', clock: 'local', wrap: true, span: 300, app: true, region: true, machine: true,
};
/** @type {Partial<Record<keyof Prefs, readonly unknown[]>>} */
const CHOICES = {
  theme: ['system', 'light', 'dark'], clock: ['local', 'utc', 'relative'], span: [300, 900, 3600],
};

/** @param {unknown} stored @returns {Prefs} with a default for whatever is missing or wrong */
export function sane(stored) {
  /** @type {Record<string, unknown>} */
  const prefs = { ...DEFAULTS };
  if (stored === null || typeof stored !== 'object') return /** @type {any} */ (prefs);
  for (const [name, fallback] of Object.entries(DEFAULTS)) {
    const value = /** @type {Record<string, unknown>} */ (stored)[name];
    const choices = CHOICES[/** @type {keyof Prefs} */ (name)];
    if (choices ? choices.includes(value) : typeof value === typeof fallback) prefs[name] = value;
  }
  return /** @type {any} */ (prefs);
}

export function loadPrefs() {
  try {
    return sane(JSON.parse(localStorage.getItem(KEY) ?? 'null'));
  } catch {
    return sane(null);
  }
}

/** @param {Prefs} prefs */
export function savePrefs(prefs) {
  try {
    localStorage.setItem(KEY, JSON.stringify(prefs));
  } catch {
    // Private windows and full disks: the choice holds for this visit.
  }
}
