// The probe: an invisible row, measured to estimate the heights of rows that are not built yet.

/**
 * @param {HTMLElement} probe
 * @returns {{oneLine: number, moreLines: number, columns: number}}
 *   `oneLine`: height of a row with one line, in pixels; `moreLines`: height of each further line;
 *   `columns`: characters that fit on a line of a message
 */
export function measureProbe(probe) {
  const message = /** @type {HTMLElement} */ (probe.querySelector('.m'));
  const ruler = /** @type {HTMLElement} */ (message.firstElementChild);
  const width = ruler.getBoundingClientRect().width / (ruler.textContent?.length ?? 1);
  const lineHeight = parseFloat(getComputedStyle(message).lineHeight);
  const oneLine = probe.getBoundingClientRect().height;
  // A message is as wide as its text or as the remaining width of the row, so the row is measured.
  const end = probe.getBoundingClientRect().right - parseFloat(getComputedStyle(probe).paddingRight);
  const room = end - message.getBoundingClientRect().left;
  return {
    oneLine,
    moreLines: lineHeight || oneLine,
    columns: Math.max(10, Math.floor(room / width) || 80),
  };
}
