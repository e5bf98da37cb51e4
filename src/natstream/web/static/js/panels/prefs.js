// The reader's choices, which the browser remembers if it allows that.

const KEY = 'natstream';

/**
 * @typedef {object} Prefs
 * @property {'system' | 'light' | 'dark'} theme
 * @property {import('../text/time.js').Clock} clock
 * @property {boolean} wrap
 * @property {number} span       seconds that the histogram shows
 * @property {boolean} raw       whether JSON messages are shown as they came
 * @property {boolean} fold      whether groups of lines are folded
 * @property {boolean} chips     whether all chips are shown, and not one row of them
 * @property {boolean} app       whether its column is shown
 * @property {boolean} region
 * @property {boolean} machine
 */

/** @type {Prefs} */
const DEFAULTS = {
  theme: 'system', clock: 'local', wrap: true, span: 300, raw: false, fold: true, chips: false,
  app: true, region: true, machine: true,
};
/** @type {Partial<Record<keyof Prefs, readonly unknown[]>>} */
const CHOICES = {
  theme: ['system', 'light', 'dark'], clock: ['local', 'utc', 'relative'], span: [300, 900, 3600],
};

/** Return the stored choices, with a default for each that is missing or wrong.
 * @param {unknown} stored @returns {Prefs} */
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
    // A private window or a full disk: the browser forgets the choice after this visit.
  }
}
