// The newest lines, up to a fixed number. Pure.
//
// Each line has a number, `seq`, which grows by one and is never used again. `first` is the number
// of the oldest line in the ring, `end` that of the next line. A full ring evicts its oldest line.

/** @template T */
export class Ring {
  /** @param {number} capacity */
  constructor(capacity) {
    this.capacity = capacity;
    this.first = 0;
    this.end = 0;
    /** @type {(T | undefined)[]} */
    this.slots = new Array(capacity).fill(undefined);
  }

  get length() {
    return this.end - this.first;
  }

  get full() {
    return this.length === this.capacity;
  }

  /** @param {number} seq @returns {T | undefined} */
  at(seq) {
    return seq >= this.first && seq < this.end ? this.slots[seq % this.capacity] : undefined;
  }

  /** @param {T} item @returns {number} the seq of the item */
  push(item) {
    if (this.full) this.shift();
    this.slots[this.end % this.capacity] = item;
    return this.end++;
  }

  /** Evict the oldest line. @returns {T | undefined} the line */
  shift() {
    const slot = this.first % this.capacity;
    const item = this.slots[slot];
    this.slots[slot] = undefined;
    this.first += 1;
    return item;
  }

  clear() {
    this.slots.fill(undefined);
    this.first = this.end;
  }
}
