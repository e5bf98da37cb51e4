// The shapes that the other modules pass along. Types only: nothing here runs.

/**
 * A log line, or (with `note`) a word of the service, as the page keeps it.
 * @typedef {object} Entry
 * @property {string} id        the event id; empty for notices
 * @property {number} time      Unix ms of the line
 * @property {string} message
 * @property {string} app
 * @property {string} region
 * @property {string} machine
 * @property {string} stream
 * @property {string} level
 * @property {string} type      `log`, `system` or `error`
 * @property {string} provider
 * @property {string} source
 * @property {boolean} persistent  it is stored in the service's journal
 * @property {string} kind      a marker's kind (see fly.js); empty for most lines
 * @property {Note | null} note
 */

/**
 * @typedef {object} Note
 * @property {'notice' | 'error' | 'gap' | 'resumed'} tone
 * @property {number | null} missed   lines missing here (after a cut: 0 until a gap is told); null where nobody knows
 * @property {boolean} atMost         `missed` is an upper bound
 * @property {number | null} since    Unix ms after which they are missing
 * @property {number} replayed        lines replayed after a reconnect
 * @property {number} doubled         repeated lines left out after a reconnect
 */

/** A run of text with a look: a CSS class, and colours outside the 16 that classes cover.
 * @typedef {{start: number, end: number, className: string, fg?: string, bg?: string}} Span */

export {};
