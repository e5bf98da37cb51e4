// The types that several modules share. Nothing here runs.

/**
 * A log line, or (with `note`) a notice or a gap, as the page keeps it.
 * @typedef {object} Entry
 * @property {string} id        the event id; empty for notices and gaps
 * @property {number} time      Unix ms of the line
 * @property {string} message
 * @property {string} app
 * @property {string} region
 * @property {string} machine
 * @property {string} group     the machine's process group; empty if it is not known
 * @property {string} release   the number of its release; empty if it is not known
 * @property {string} stream
 * @property {string} level
 * @property {string} type      `log`, `system` or `error`
 * @property {string} provider
 * @property {string} source
 * @property {boolean} persistent  whether the service's journal has the line
 * @property {string} kind      the kind of event that it marks (see text/fly.js), or empty; `release`
 *   for the first line of a newer release
 * @property {boolean} continues  whether it continues an earlier line, its head
 * @property {Note | null} note
 */

/**
 * @typedef {object} Note
 * @property {'notice' | 'error' | 'gap' | 'resumed'} tone
 * @property {number | null} missed   lines missing here (after a cut: 0 until a gap arrives);
 *   null if not known
 * @property {boolean} atMost         whether `missed` is an upper bound
 * @property {number | null} since    Unix ms after which lines are missing
 * @property {number} replayed        lines replayed after a reconnect
 * @property {number} doubled         repeated lines left out after a reconnect
 */

/** A styled part of a text: a CSS class, and colours that are not among the 16 with a class.
 * @typedef {{start: number, end: number, className: string, fg?: string, bg?: string}} Span */

export {};
