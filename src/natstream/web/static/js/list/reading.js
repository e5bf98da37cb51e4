// The line that is being read: the chosen one if it is on the screen, otherwise the first one there.
// A new query brings other lines, and this line stays where it is if it is among them. Otherwise the
// next line of the new ones takes its position. No DOM.

import { parseId } from '../stream/resume.js';

/** @typedef {import('../types.js').Entry} Entry */
/** @typedef {import('./view.js').View} View */

export class Reading {
  /**
   * @param {string} id of the line; empty if the newest lines are being read
   * @param {{chosen: string, y: number}} state `chosen`: the id of the chosen line, or empty;
   *   `y`: where the line's row begins, in pixels from the top of the window
   */
  constructor(id, { chosen, y }) {
    this.id = id;
    this.chosen = chosen;
    this.y = y;
  }

  /**
   * Return what is being read in a view.
   * @param {View} view @param {boolean} isStill whether no new lines are shown, so that the reader
   *   can read them at the end of the list as well
   */
  static of(view, isStill) {
    const { ring, groups, selected, firstVisible, lastVisible } = view;
    const chosen = (selected !== null && ring.at(selected)?.id) || '';
    const head = selected === null ? -1 : groups.headOf(selected);
    const isSeen = chosen !== '' && head >= firstVisible && head <= lastVisible;
    if (!isSeen && view.following && !isStill) return new Reading('', { chosen, y: 0 });
    let seq = isSeen && selected !== null ? selected : firstVisible;
    // A notice has no id, and a continuation line may have no row.
    while (!isSeen && ring.at(seq) && (!ring.at(seq)?.id || groups.isMember(seq))) seq += 1;
    return new Reading(ring.at(seq)?.id ?? '', { chosen, y: view.yOf(seq) });
  }

  /** Look for the line, or for the next one, and for the chosen one.
   * @param {Entry[]} entries new lines, the oldest first @param {number} first the seq of their first
   * @returns {{place: number, chosen: number}} their seqs, -1 for those that are not among them */
  seek(entries, first) {
    let place = -1;
    let chosen = -1;
    entries.forEach(({ id }, index) => {
      if (!id) return;
      if (id === this.chosen) chosen = first + index;
      if (!this.id || (place >= 0 && id !== this.id)) return;
      if (id === this.id || isAfter(id, this.id)) place = first + index;
    });
    if (place >= 0) this.id = '';
    if (chosen >= 0) this.chosen = '';
    return { place, chosen };
  }
}

/** Whether a line reached the service after another one. @param {string} id @param {string} other */
function isAfter(id, other) {
  const [one, two] = [parseId(id), parseId(other)];
  if (!one || !two) return false;
  const number = (/** @type {string} */ text) => Number(text.slice(text.lastIndexOf('-') + 1));
  return one.epoch === two.epoch ? number(id) > number(other) : one.arrived > two.arrived;
}
