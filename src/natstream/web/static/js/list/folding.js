// Opening and folding: a long line, and a line with its continuation lines.

/** @typedef {import('../types.js').Entry} Entry */

export class Folding {
  /** @param {import('./view.js').View} view */
  constructor(view) {
    this.view = view;
  }

  /** Open or fold a row. @param {number} seq @param {boolean} [opened] */
  toggle(seq, opened) {
    const { view } = this;
    view.leaveEnd(true);
    view.rows.toggle(seq, opened);
    view.drawNow();
  }

  /** Unfold or fold the group of a line. @param {number} seq @param {boolean} [unfolded] */
  toggleGroup(seq, unfolded) {
    const { view } = this;
    const head = view.groups.headOf(seq);
    view.leaveEnd(true);
    view.rows.toggleGroup(head, unfolded);
    if (view.selected !== null && view.groups.headOf(view.selected) === head) view.select(head);
    view.drawNow();
  }

  /** Unfold a line's group with all lines that the service has.
   * @param {number} seq @param {Entry[]} all */
  fillGroup(seq, all) {
    const { groups, ring } = this.view;
    const head = groups.headOf(seq);
    const entry = ring.at(head);
    if (!entry) return;
    groups.fill(head, entry, all);
    this.toggleGroup(head, true);
  }

  /** Return the lines of an entry's group; only itself if it has none.
   * @param {Entry} entry @returns {Entry[]} */
  groupOf(entry) {
    const { selected: seq, ring, groups, rows } = this.view;
    const group = seq !== null && ring.at(seq) === entry ? groups.of(seq) : undefined;
    return group ? rows.linesIn(group) : [entry];
  }
}
