// Names in a column, for example of apps: short enough for it, and told apart all the same. Pure.
//
// In: the names as they appear. Out: for each name the parts to show, and a colour. A name that is too
// long is cut in its middle, because names that belong together often begin alike, and end with their
// own word. If two names would read alike then, the cut moves to where they differ.

/** A part of a name; `shared`: other names begin with it as well; `cut`: a mark stands for it.
 * @typedef {{text: string, shared: boolean, cut: boolean}} NamePart */

// More names are not compared with each other, for example those of machines that live for a minute.
const MOST_NAMES = 300;
// A longer name is no name. Its end is not shown.
const LONGEST = 200;
const HUES = 8;
// A name of the same family weighs as much as this many others when a colour is chosen.
const KIN = 16;
// A prefix that others share ends with its separator, so that `web2` has nothing in common with `web`.
const SEPARATOR = /[^\p{L}\p{N}]/u;

export class Names {
  /** Grows when known names are to be shown in other parts. */
  version = 0;
  /** @type {Map<string, {letters: string[], prefix: number, hue: number}>} */
  #known = new Map();
  /** The ranges of letters to show of each cut name, for one width. @type {Map<string, number[][]>} */
  #cuts = new Map();
  #width = 0;
  #isCut = false;

  /**
   * Return how to show a name. Its parts together are the whole name, up to LONGEST characters.
   * @param {string} whole @param {number} width the most letters
   * @returns {{parts: NamePart[], hue: number, isCut: boolean}}
   */
  shown(whole, width) {
    const name = whole.slice(0, LONGEST);
    const { letters, prefix, hue } = this.#known.get(name) ?? this.#learn(name);
    if (letters.length <= width) return { parts: partsOf(letters, [[0, letters.length]], prefix), hue, isCut: false };
    if (width !== this.#width) {
      this.#width = width;
      this.#isCut = false;
    }
    if (!this.#isCut) this.#cutAll();
    const ranges = this.#cuts.get(name) ?? middle(letters, width);
    return { parts: partsOf(letters, ranges, prefix), hue, isCut: true };
  }

  /** @param {string} name */
  #learn(name) {
    const letters = [...name];
    const one = { letters, prefix: 0, hue: 0 };
    const weights = new Array(HUES).fill(0);
    const isKnown = this.#known.size < MOST_NAMES;
    for (const other of this.#known.values()) {
      const prefix = sharedPrefix(letters, other.letters);
      one.prefix = Math.max(one.prefix, prefix);
      if (isKnown && prefix > other.prefix) {
        other.prefix = prefix;
        this.version += 1;
      }
      weights[other.hue] += prefix ? KIN : 1;
    }
    const first = hash(name) % HUES;
    for (let step = 0, least = Infinity; step < HUES; step++) {
      const hue = (first + step) % HUES;
      if (weights[hue] < least) [least, one.hue] = [weights[hue], hue];
    }
    if (isKnown) {
      this.#known.set(name, one);
      if (this.#width && letters.length > this.#width) this.version += 1;
      this.#isCut = false;
    }
    return one;
  }

  /** Cut all names that are too long: in the middle, or where names that would read alike differ. */
  #cutAll() {
    this.#isCut = true;
    this.#cuts.clear();
    /** @type {Map<string, string[][]>} */
    const alike = new Map();
    for (const [name, { letters }] of this.#known) {
      const isLong = letters.length > this.#width;
      const text = isLong ? textOf(letters, middle(letters, this.#width)) : name;
      const group = alike.get(text);
      if (group) group.push(letters);
      else alike.set(text, [letters]);
    }
    for (const group of alike.values()) {
      for (const letters of group) {
        if (letters.length <= this.#width) continue;
        const shared = group.filter((other) => other !== letters).map((other) => common(letters, other));
        this.#cuts.set(letters.join(''), shared.length
          ? around(letters, Math.min(...shared), Math.max(...shared), this.#width)
          : middle(letters, this.#width));
      }
    }
  }
}

/** Cut a name in its middle. @param {string[]} letters @param {number} width */
function middle(letters, width) {
  const tail = Math.floor((width - 1) / 2);
  return [[0, width - 1 - tail], [letters.length - tail, letters.length]];
}

/**
 * Show the beginning of a name, and the part from the word on in which it differs from others.
 * @param {string[]} letters @param {number} first the first letter that another name has not
 * @param {number} last the first letter that no other name has
 * @param {number} width @returns {number[][]}
 */
function around(letters, first, last, width) {
  const head = Math.max(1, Math.floor(width / 4));
  const room = width - head - 2;
  let from = first;
  while (from > 0 && !SEPARATOR.test(letters[from - 1])) from -= 1;
  if (last - from >= room) from = last;
  const end = [letters.length, letters.length];
  if (from <= head) return [[0, width - 1], end];
  // Without the mark at the end there is room for one letter more.
  if (letters.length - from <= room + 1) return [[0, head], [letters.length - room - 1, letters.length]];
  return [[0, head], [from, from + room], end];
}

/** @param {string[]} one @param {string[]} other */
function common(one, other) {
  let length = 0;
  while (length < one.length && one[length] === other[length]) length += 1;
  return length;
}

/** @param {string[]} one @param {string[]} other */
function sharedPrefix(one, other) {
  let length = common(one, other);
  if (length === one.length && length === other.length) return 0;
  while (length > 0 && !SEPARATOR.test(one[length - 1])) length -= 1;
  return length < one.length && length < other.length ? length : 0;
}

/** @param {string[]} letters @param {number[][]} ranges */
const textOf = (letters, ranges) => ranges.map(([a, b]) => letters.slice(a, b).join('')).join('…');

/** Cut a name into its parts. @param {string[]} letters @param {number[][]} ranges to show
 * @param {number} prefix @returns {NamePart[]} */
function partsOf(letters, ranges, prefix) {
  /** @type {NamePart[]} */
  const parts = [];
  let position = 0;
  const add = (/** @type {number} */ end, /** @type {boolean} */ cut) => {
    if (end > position) {
      parts.push({ text: letters.slice(position, end).join(''), shared: end <= prefix, cut });
    }
    position = Math.max(position, end);
  };
  for (const [start, end] of ranges) {
    add(start, true);
    add(Math.min(Math.max(prefix, start), end), false);
    add(end, false);
  }
  return parts;
}

/** @param {string} name */
function hash(name) {
  let sum = 7;
  for (let i = 0; i < name.length && i < 64; i++) sum = (sum * 31 + name.charCodeAt(i)) | 0;
  return sum >>> 0;
}
