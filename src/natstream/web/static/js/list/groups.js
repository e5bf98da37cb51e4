// Groups: a line and its continuation lines, for example an error and its stack trace. Pure.
//
// The service says of a line that it continues another (`continues`), and gives it the level of its
// head. It does not say which line that is: it is the newest line of the same machine and stream
// that has this level and is near enough. Lines of other machines may stand between the two.

/** @typedef {import('../types.js').Entry} Entry */
/**
 * @typedef {object} Group
 * @property {number} head        the seq of its first line that the list has
 * @property {number[]} members   the seqs of its other lines, ascending
 * @property {string} level
 * @property {number} time        of its newest line, in Unix ms
 * @property {Entry[] | null} all  all lines as the service has them, once they were asked for
 */

// As the service does it: a continuation line may stand behind 20 other lines of its machine, and
// at most a second after the line before.
const MOST_BETWEEN = 20;
const MOST_MS = 1_000;
// The page forgets the machines that were silent the longest.
const MOST_MACHINES = 2_000;

export class Groups {
  /** The groups of two lines or more, by the seqs of their lines. @type {Map<number, Group>} */
  #groups = new Map();
  /** The newest heads of each machine and stream, the newest last. @type {Map<string, Group[]>} */
  #recent = new Map();

  /**
   * Add the next line.
   * @param {number} seq @param {Entry} entry @param {number} first the oldest line of the list
   * @returns {number} the head of its group; -1 if it does not continue another line
   */
  push(seq, entry, first) {
    if (entry.note) return -1;
    const key = `${entry.app}\n${entry.machine}\n${entry.stream}`;
    const recent = this.#heads(key);
    if (entry.continues) {
      const group = recent.findLast(({ level, time, head }) =>
        level === entry.level && head >= first && !(Math.abs(entry.time - time) > MOST_MS));
      if (group) {
        if (!group.members.length) this.#groups.set(group.head, group);
        group.members.push(seq);
        group.time = entry.time;
        this.#groups.set(seq, group);
        return group.head;
      }
    }
    recent.push({ head: seq, members: [], level: entry.level, time: entry.time, all: null });
    if (recent.length > MOST_BETWEEN + 1) recent.shift();
    return -1;
  }

  /** Return the group of a line with other lines. @param {number} seq */
  of(seq) {
    return this.#groups.get(seq);
  }

  /** Return the line that a line is shown with: the head of its group, or itself.
   * @param {number} seq */
  headOf(seq) {
    return this.#groups.get(seq)?.head ?? seq;
  }

  /** Whether a line is shown with its head and not as a row. @param {number} seq */
  isMember(seq) {
    return this.headOf(seq) !== seq;
  }

  /** Keep all lines of a line's group, which the service was asked for.
   * @param {number} seq @param {Entry} entry @param {Entry[]} all */
  fill(seq, entry, all) {
    const group = this.#groups.get(seq)
      ?? { head: seq, members: [], level: entry.level, time: entry.time, all };
    group.all = all;
    this.#groups.set(seq, group);
  }

  /**
   * Forget the oldest line of the list.
   * @param {number} seq @returns {number} the line that is the head of its group now; -1 if none
   */
  evict(seq) {
    const group = this.#groups.get(seq);
    this.#groups.delete(seq);
    const next = group?.members.shift();
    if (!group || next === undefined) return -1;
    group.head = next;
    return next;
  }

  clear() {
    this.#groups.clear();
    this.#recent.clear();
  }

  /** @param {string} key */
  #heads(key) {
    const known = this.#recent.get(key);
    if (known) return known;
    if (this.#recent.size >= MOST_MACHINES) {
      this.#recent.delete(/** @type {string} */ (this.#recent.keys().next().value));
    }
    /** @type {Group[]} */
    const heads = [];
    this.#recent.set(key, heads);
    return heads;
  }
}
